"""Step 2, training: the drafter learns the expert's distribution from the waves. Resumes where it was cut off.

Needs torch when it runs, not before.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..headers.gguf import Header
from ..headers.kept import Kept, choose, of_drafter, restore, spelling
from ..headers.vocabulary import Tokens
from .data import remember, waves
from .lessons import Texts
from .steps import SCORED, Pace, Span, take_steps
from .texts import split_waves
from .weights import Array, beginning, continued, read_weights

if TYPE_CHECKING:
    from .learn import Student


@dataclass(frozen=True)
class TrainSettings:
    """What a run depends on, beside the data. `layers` are the expert's, in order; `waves` 0 takes all there are.

    `batch` is the texts that a process reads in a step, `greedy` the share of the expert's most likely token in what is
    learnt.
    `start` is the file of an earlier drafter to go on from: its tokens and layers, and `layers` behind them.
    """

    layers: tuple[int, ...] = (0, 1, 2, 3, 28, 29)
    vocabulary: int = 12288
    batch: int = 32
    rate: float = 6e-4
    muon_rate: float = 2e-3
    waves: int = 0
    seed: int = 0
    bfloat16: bool = True
    start: str = ""
    greedy: float = 0.0


def kept_tokens(folder: Path, expert: Tokens, counts: NDArray[np.int64], size: int, base: Sequence[int]) -> Kept:
    """The run's vocabulary: as remembered, or chosen by `counts` and remembered."""
    path = folder / "vocabulary.json"
    if path.exists():
        return restore(expert, json.loads(path.read_text()))
    kept = choose(expert, counts, size, base)
    path.write_text(json.dumps(kept.ids) + "\n")
    return kept


def train(
    expert: Path,
    data: Path,
    folder: Path,
    settings: TrainSettings,
    span: Span,
    part: tuple[int, int],
    quantised: bool,
    device: str,
    say: Callable[[str], None],
    tell: Callable[[float], None] = lambda share: None,
) -> None:
    """Trains, as process `part` of so many; `tell` hears how far it is. ModuleNotFoundError without torch, UsageError
    without data."""
    from .learn import Optimiser

    seen, held_out = split_waves(waves(data), f"waves in {data}")
    folder.mkdir(parents=True, exist_ok=True)
    remember(folder / "settings.json", {"expert": expert.name, **asdict(settings), "layers": list(settings.layers)})
    header, arrays = read_weights(expert)
    tokens = Tokens.of(header)
    texts, test = Texts(data, seen[: settings.waves or None]), Texts(data, held_out, most=SCORED)
    earlier = read_weights(Path(settings.start)) if settings.start else None
    base = of_drafter(tokens, Tokens.of(earlier[0])).ids if earlier else ()
    counts = texts.counts(len(tokens))
    kept = kept_tokens(folder, tokens, counts, settings.vocabulary, base)
    words = spelling(kept, tokens)
    texts.spelled = test.spelled = [tuple(words.spell(token)) or (0,) for token in range(len(tokens))]
    covered = counts[list(kept.ids)].sum() / max(1, counts.sum())
    say(
        f"{len(kept.ids):,} tokens cover {covered:.1%}; {texts.tokens:,} tokens to learn from, {test.tokens:,} held out"
    )

    drafter = student(header, arrays, settings, kept, base, earlier, device)
    drafter.quantise = quantised
    optimiser = Optimiser(drafter.weights, settings.rate, settings.muon_rate)
    pace = Pace(settings.batch, settings.seed, settings.greedy)
    take_steps(drafter, optimiser, texts, test, pace, span, part, folder, say, tell)


def student(
    header: Header,
    arrays: Mapping[str, Array],
    settings: TrainSettings,
    kept: Kept,
    base: Sequence[int],
    earlier: tuple[Header, dict[str, Array]] | None,
    device: str,
) -> "Student":
    """The drafter before its first step: some of the expert's layers, or an earlier drafter and more of them."""
    import torch

    from .learn import Student
    from .network import NetworkShape, to_network

    shape = NetworkShape.of(header)
    if earlier:
        places = {token: i for i, token in enumerate(base)}
        first = to_network(continued(earlier[1], places, arrays, settings.layers, kept.ids), shape.head)
    else:
        first = to_network(beginning(arrays, settings.layers, kept.ids), shape.head)
    shape = replace(shape, layers=sum(name.endswith("attn_norm.weight") for name in first))
    kind = torch.bfloat16 if settings.bfloat16 else torch.float32
    rows = torch.from_numpy(arrays["token_embd.weight"][list(kept.ids)])
    return Student(first, shape, rows, kept.ids, device, kind)
