"""Step 2 for a head: it learns to draft what the expert says, from waves whose states were kept.

Needs torch when it runs, not before.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..headers.vocabulary import Tokens
from .head_lessons import HeadTexts, waves_with_states
from .run import RunSettings, begin, coverage, kept_tokens
from .steps import SCORED, Span, take_steps
from .texts import split_waves
from .weights import output_rows

if TYPE_CHECKING:
    from .head_learn import HeadStudent
    from .network import Weights

FITTED = 96  # texts that the first head is fitted to


@dataclass(frozen=True, kw_only=True)
class HeadSettings(RunSettings):
    """`depth` steps of a draft are learnt from. Rates are two thirds of those of a small drafter: higher ones lost more
    of the fitted start in the first steps (docs/tiny-drafter.md)."""

    batch: int = 16
    rate: float = 4e-4
    muon_rate: float = 1.3e-3
    greedy: float = 0.5
    depth: int = 3


def train_head(
    expert: Path,
    data: Path,
    folder: Path,
    settings: HeadSettings,
    span: Span,
    part: tuple[int, int],
    device: str,
    say: Callable[[str], None],
    tell: Callable[[float], None] = lambda share: None,
) -> None:
    """Trains, as process `part` of so many; `tell` hears how far it is. ModuleNotFoundError without torch, UsageError
    without data."""
    import torch

    from .head_learn import HeadStudent
    from .head_start import first_head
    from .network import NetworkShape

    seen, held_out = split_waves(waves_with_states(data), f"waves with states in {data}")
    header, arrays = begin(expert, folder, settings)
    size = len(Tokens.of(header))
    texts, test = HeadTexts(data, seen[: settings.waves or None]), HeadTexts(data, held_out, most=SCORED)
    counts = texts.counts(size)
    kept = kept_tokens(folder, lambda: sorted(np.argsort(-counts, kind="stable")[: settings.vocabulary].tolist()))
    say(coverage(kept, counts, texts, test))
    shape = NetworkShape.of(header)
    kind = torch.bfloat16 if settings.bfloat16 else torch.float32
    embedding, rows = (torch.from_numpy(each) for each in (arrays["token_embd.weight"], output_rows(arrays, kept)))

    def learner(weights: "Weights | None") -> "HeadStudent":
        if weights is None:
            say("fits a first head")
            weights = first_head(arrays, shape, kept, texts.lessons(range(min(FITTED, len(texts)))), settings.seed)
        return HeadStudent(weights, shape, embedding, rows, kept, settings.depth, device, kind)

    take_steps(learner, settings, texts, test, span, part, folder, say, tell)
