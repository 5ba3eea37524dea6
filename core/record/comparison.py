"""How fast arms were against the expert alone, which is measured before them and again behind them.

What is measured one after another is compared unfairly by a machine that changes in between: the two measurements say
how much it changed, and so how exact a speed-up can be. No arm is told faster than its counts allow, whatever the
clock said.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..decoding.events import Judged
from .metrics import Figures

AGAIN = 128  # tokens, at most, that the expert writes once more for its time
TOLD = 0.1
"""A change of the expert's time, or a speed-up beyond what counts allow, that is more than noise."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Arms of one run, the expert alone first. `drift`: its seconds for the same tokens behind the arms over before
    them; None where it was not measured again."""

    arms: Sequence[Figures]
    drift: float | None

    @property
    def drifted(self) -> bool:
        """Whether the machine changed by more than noise between the first arm and the last."""
        return self.drift is not None and max(self.drift, 1 / self.drift) > 1 + TOLD

    @property
    def impossible(self) -> list[Figures]:
        """Arms that the clock calls faster than their counts allow: something else ran while the expert did."""
        expert = self.arms[0]
        return [arm for arm in self.arms if (most := most_possible(arm)) and ratio(arm, expert) > most * (1 + TOLD)]


def drift_of(before: Sequence[Judged], behind: Sequence[Judged]) -> float | None:
    """The expert's own seconds behind the arms over before them, for as many tokens as both runs have; None without
    any, or on a machine that takes no time."""
    count = min(len(before), len(behind))
    first, second = (sum(each.verify_ms for each in rounds[:count]) for rounds in (before, behind))
    return second / first if first > 0 and second > 0 else None


def most_possible(figures: Figures) -> float | None:
    """The largest speed-up that an arm's counts allow: no call of the expert costs less than one of a single token.
    None where it did without the expert."""
    return figures.tokens / figures.expert_calls if figures.expert_calls and figures.tokens else None


def ratio(figures: Figures, expert: Figures) -> float:
    """Of the two speeds, as the clock has them."""
    return (figures.tokens_per_second or 0.0) / (expert.tokens_per_second or float("inf"))


def compare_arms(figures: Sequence[Figures], drift: float | None) -> Comparison:
    """Arms in the order they were played, with speed-ups: against the expert alone as it was at that time, on a line
    from before the arms to behind them; low and high against the faster and the slower of the two."""
    expert = figures[0]

    def told(place: int, arm: Figures) -> Figures:
        if not arm.tokens_per_second or not expert.tokens_per_second:
            return arm
        change = 1.0 if drift is None else drift
        found = [
            ratio(arm, expert) * slower if place else 1.0
            for slower in (1 + (change - 1) * place / len(figures), min(1.0, change), max(1.0, change))
        ]
        most = most_possible(arm)
        speedup, low, high = (value if most is None else min(value, most) for value in found)
        if drift is None:
            return replace(arm, speedup=speedup)
        return replace(arm, speedup=speedup, speedup_low=low, speedup_high=high)

    return Comparison(tuple(told(place, arm) for place, arm in enumerate(figures)), drift)


def digits(low: float | None, high: float | None) -> int:
    """Decimals of a figure whose measurements lie between these: none that they disagree about. One where it was
    measured once."""
    if low is None or high is None:
        return 1
    return 2 if high - low < 0.055 else 1 if high - low < 0.55 else 0
