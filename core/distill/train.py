"""Step 2, training: the drafter learns the expert's distribution from the waves. Resumes where it was cut off.

Needs torch when it runs, not before.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..headers.gguf import Header
from ..headers.kept import choose, of_drafter, restore, spelling
from ..headers.vocabulary import Tokens
from .data import waves
from .lessons import Texts
from .run import RunSettings, begin, coverage, kept_tokens
from .steps import SCORED, Span, take_steps
from .texts import split_waves
from .weights import Array, beginning, continued, output_rows, read_weights

if TYPE_CHECKING:
    from .learn import Student
    from .network import NetworkShape, Weights


@dataclass(frozen=True, kw_only=True)
class TrainSettings(RunSettings):
    """`layers` are the expert's, in order. `start` is the file of an earlier drafter to go on from: its tokens and
    layers, and `layers` behind them."""

    layers: tuple[int, ...] = (0, 1, 2, 3, 28, 29)
    start: str = ""


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
    from .network import NetworkShape

    seen, held_out = split_waves(waves(data), f"waves in {data}")
    header, arrays = begin(expert, folder, settings)
    tokens = Tokens.of(header)
    texts, test = Texts(data, seen[: settings.waves or None]), Texts(data, held_out, most=SCORED)
    earlier = read_weights(Path(settings.start)) if settings.start else None
    base = of_drafter(tokens, Tokens.of(earlier[0])).ids if earlier else ()
    counts = texts.counts(len(tokens))
    ids = kept_tokens(folder, lambda: choose(tokens, counts, settings.vocabulary, base).ids)
    words = spelling(restore(tokens, ids), tokens)
    texts.spelled = test.spelled = [tuple(words.spell(token)) or (0,) for token in range(len(tokens))]
    say(coverage(ids, counts, texts, test))
    shape = NetworkShape.of(header)

    def learner(weights: "Weights | None") -> "Student":
        made = student(shape, arrays, settings, ids, base, earlier, device, weights)
        made.quantise = quantised
        return made

    take_steps(learner, settings, texts, test, span, part, folder, say, tell)


def student(
    shape: "NetworkShape",
    arrays: Mapping[str, Array],
    settings: TrainSettings,
    kept: Sequence[int],
    base: Sequence[int],
    earlier: tuple[Header, dict[str, Array]] | None,
    device: str,
    weights: "Weights | None",
) -> "Student":
    """The drafter with these weights. Before its first step: some of the expert's layers, or an earlier drafter and
    more of them."""
    import torch

    from .learn import Student
    from .network import to_network

    if weights is None and earlier:
        places = {token: i for i, token in enumerate(base)}
        weights = to_network(continued(earlier[1], places, arrays, settings.layers, kept), shape.head)
    elif weights is None:
        weights = to_network(beginning(arrays, settings.layers, kept), shape.head)
    shape = replace(shape, layers=sum(name.endswith("attn_norm.weight") for name in weights))
    kind = torch.bfloat16 if settings.bfloat16 else torch.float32
    return Student(weights, shape, torch.from_numpy(output_rows(arrays, kept)), kept, device, kind)
