"""Step 2 for a head: it learns to draft what the expert says, from waves whose states were kept.

Needs torch when it runs, not before.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..headers.vocabulary import Tokens
from .data import remember
from .head_lessons import HeadTexts, waves_with_states
from .steps import SCORED, Pace, Span, take_steps
from .texts import split_waves
from .weights import read_weights

FITTED = 96  # texts that the first head is fitted to


@dataclass(frozen=True)
class HeadSettings:
    """What a run depends on, beside the data. `vocabulary` tokens can be drafted; `depth` steps of a draft are learnt
    from; `batch` is the texts that a process reads in a step, `greedy` the share of the expert's most likely token in
    what is learnt; `waves` 0 takes all there are."""

    vocabulary: int = 12288
    depth: int = 3
    batch: int = 16
    rate: float = 6e-4
    muon_rate: float = 2e-3
    waves: int = 0
    seed: int = 0
    bfloat16: bool = True
    greedy: float = 0.5


def draft_tokens(folder: Path, counts: NDArray[np.int64], size: int) -> Sequence[int]:
    """Which tokens of the expert a head can draft, ascending: as remembered, or the most used, and remembered."""
    path = folder / "vocabulary.json"
    if path.exists():
        found: list[int] = json.loads(path.read_text())
        return found
    kept = sorted(np.argsort(-counts, kind="stable")[:size].tolist())
    path.write_text(json.dumps(kept) + "\n")
    return kept


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
    from .learn import Optimiser
    from .network import NetworkShape

    seen, held_out = split_waves(waves_with_states(data), f"waves with states in {data}")
    folder.mkdir(parents=True, exist_ok=True)
    remember(folder / "settings.json", {"expert": expert.name, **asdict(settings)})
    header, arrays = read_weights(expert)
    size = len(Tokens.of(header))
    texts, test = HeadTexts(data, seen[: settings.waves or None]), HeadTexts(data, held_out, most=SCORED)
    counts = texts.counts(size)
    kept = draft_tokens(folder, counts, min(settings.vocabulary, size))
    covered = counts[list(kept)].sum() / max(1, counts.sum())
    say(f"{len(kept):,} tokens cover {covered:.1%}; {texts.tokens:,} tokens to learn from, {test.tokens:,} held out")
    shape = NetworkShape.of(header)
    kind = torch.bfloat16 if settings.bfloat16 else torch.float32
    embedding = torch.from_numpy(arrays["token_embd.weight"])
    rows = torch.from_numpy(arrays.get("output.weight", arrays["token_embd.weight"])[list(kept)])
    say("fits a first head")
    first = first_head(arrays, shape, kept, texts.lessons(range(min(FITTED, len(texts)))), settings.seed)
    head = HeadStudent(first, shape, embedding, rows, kept, settings.depth, device, kind)
    optimiser = Optimiser(head.weights, settings.rate, settings.muon_rate)
    pace = Pace(settings.batch, settings.seed, settings.greedy)
    take_steps(head, optimiser, texts, test, pace, span, part, folder, say, tell)
