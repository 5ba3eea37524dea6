"""Which files are best on this machine: a pair's speed predicted from its curve and acceptance, within a limit of loss.

Pure: what was measured goes in, a choice comes out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..calibration.calibrate import Curve
from ..decoding.length.latency import LatencyModel
from .quality import Quality

LENGTHS = range(9)
"""Draft lengths that a prediction looks at; 0 is the expert alone."""
WORTH = 1.03
"""The least that other files must promise, over the files as they are."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """`times` the speed of a pair's own expert alone, at the best draft length `k`; 0 where no draft pays."""

    k: int
    times: float


def predict(costs: LatencyModel, acceptance: float) -> Prediction:
    """Of `exact`, with each draft accepted alike with this chance a: E = 1 + a + ... + a^k tokens a round, which takes
    k steps of the drafter and a call of k + 1 (Leviathan et al. 2023, with a measured call)."""

    def times(k: int) -> float:
        tokens = sum(acceptance**i for i in range(k + 1))
        return tokens * costs.verify(1) / (k * costs.step + costs.verify(k + 1))

    best = max(LENGTHS, key=times)
    return Prediction(best, times(best))


@dataclass(frozen=True, slots=True)
class JudgedFiles:
    """A pair of files, with what was measured of it. `own` and `source` are curves of these files and of the files as
    they are, from the same side-by-side run; `quality` None where the expert is the source itself."""

    name: str
    files: Mapping[str, Path]
    """By role."""
    own: Curve
    source: Curve
    acceptance: float
    quality: Quality | None = None
    vocabulary: int = 0
    """Tokens of a trimmed drafter; 0 where it has all of them."""
    languages: float | None = None
    """Acceptance on prompts in other languages, where the drafter was trimmed."""

    @property
    def cost(self) -> float:
        """Nats a token that the new expert loses against its source."""
        return self.quality.cost if self.quality is not None else 0.0

    @property
    def prediction(self) -> Prediction:
        return predict(self.own.costs, self.acceptance)

    @property
    def one(self) -> float:
        """How many times as fast the expert alone is as the source expert alone."""
        return self.source.costs.verify(1) / self.own.costs.verify(1)

    @property
    def times(self) -> float:
        """Predicted speed over that of the source expert alone."""
        return self.one * self.prediction.times

    @property
    def step(self) -> float:
        """What a step of the drafter costs, in tokens of the expert alone."""
        return self.own.costs.step / self.own.costs.verify(1)


def most_possible(costs: LatencyModel, acceptance: float, fewer_bits: float) -> float:
    """The most that other files of the same models could be faster than these, both drafted at their best: if a call of
    any size cost as one token, which reads `fewer_bits` (a share) of the bytes."""
    flat = LatencyModel({1: costs.verify(1) * fewer_bits, max(LENGTHS) + 1: costs.verify(1) * fewer_bits}, costs.step)
    ideal = predict(flat, acceptance).times / fewer_bits
    return ideal / predict(costs, acceptance).times


def within(found: Iterable[JudgedFiles], max_loss: float) -> list[JudgedFiles]:
    """Those whose expert loses no more than so many nats a token."""
    return [each for each in found if each.cost <= max_loss]


def best(source: JudgedFiles, found: Sequence[JudgedFiles], max_loss: float) -> JudgedFiles | None:
    """The fastest within the limit; None where none promises clearly more than the source does."""
    allowed = within(found, max_loss)
    chosen = max(allowed, key=lambda each: each.times, default=None)
    return chosen if chosen is not None and chosen.times >= WORTH * source.prediction.times else None
