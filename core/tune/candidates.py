"""What tune tries: rules at draft lengths, and the lengths that cannot pay on a machine."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..calibration.ceiling import best_of
from ..decoding.arms import distinct, parse_arm
from ..decoding.length.latency import LatencyModel
from ..decoding.rules import named_lossless

RULES = (
    "exact", "token:0.2", "token:0.5", "token:0.8", "confidence:0.2", "confidence:0.4", "comparative:0.1",
    "comparative:0.3", "top-k:2", "top-k:3",
)  # fmt: skip
"""What is tried unless rules are named. The others are these over again at temperature 0, or not better on paper."""
LENGTHS: tuple[int | str, ...] = ("auto", 1, 2, 3, 4, 6, 8)
LEAST_CEILING = 0.95
"""A fixed k is left out where it could not reach this speed-up even if every draft were accepted whole."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A rule as typed and a draft length."""

    name: str
    k: int | str

    @property
    def label(self) -> str:
        return f"{self.name} -k {self.k}"

    @property
    def lossless(self) -> bool:
        return named_lossless(self.name)


FALLBACK = Candidate("exact", "auto")
"""Never much slower than the expert alone, and its text: always a candidate, always a finalist, kept where nothing
wins."""


def candidates(rules: Sequence[str], lengths: Sequence[int | str]) -> list[Candidate]:
    """Every rule at every length, the fallback first. Raises UsageError."""
    names = [arm.name for arm in distinct(map(parse_arm, rules))]
    return list(dict.fromkeys([FALLBACK, *(Candidate(name, k) for name in names for k in lengths)]))


def unprofitable_lengths(costs: LatencyModel, lengths: Iterable[int | str]) -> dict[int, float]:
    """Fixed lengths that cannot pay on this machine, and the most they could reach."""
    best = {k: best_of(costs, k) for k in lengths if isinstance(k, int)}
    return {k: times for k, times in best.items() if times < LEAST_CEILING}
