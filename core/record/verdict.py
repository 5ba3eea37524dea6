"""Who won a comparison, or why nobody did: facts for one sentence.

Only arms whose drafts an expert judged can win: the drafter alone is always the fastest, and never the question.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from ..decoding.events import Finish
from ..decoding.rules import named_lossless
from .comparison import Comparison
from .metrics import Figures

FEWEST = 8
"""Tokens of an answer whose speed says anything."""
FASTER = 1.03
"""A speed-up from here on counts: below it is noise."""
UNKNOWN = 1.05
"""The same where the expert alone was measured once."""
DEAR = 1.2
"""A call of several tokens that costs more than so many is a reason."""


class ComparisonOutcome(StrEnum):
    """What a comparison came to."""

    FASTER = "faster"
    NOT_FASTER = "not faster"
    OFF = "off"
    """Nothing was drafted in any arm: it did not pay."""
    SHORT = "short"
    UNTIMED = "untimed"
    """Probabilities were recorded, so no time counts."""


@dataclass(frozen=True, slots=True)
class ExpertCall:
    """What a call of so many tokens cost, in calls of a single one."""

    tokens: int
    cost: float

    @property
    def dear(self) -> bool:
        return self.cost > DEAR


@dataclass(frozen=True, slots=True)
class ComparisonVerdict:
    """`lossless`: the best arm that writes the expert's own text; `lossy`: another that is faster and wins more than
    it. `call`: of the lossless arm, where that is known."""

    outcome: ComparisonOutcome
    expert: Figures
    lossless: Figures
    lossy: Figures | None
    call: ExpertCall | None

    @property
    def saved(self) -> float:
        """The share of the expert's calls that the lossless arm did without."""
        return 1 - self.lossless.expert_calls / self.lossless.tokens if self.lossless.tokens else 0.0


def verdict_of(compared: Comparison, untimed: bool = False) -> ComparisonVerdict | None:
    """None where no arm is there that could win, or the expert alone was interrupted."""
    expert, *others = compared.arms
    arms = [arm for arm in others if arm.drafted is not None and arm.tokens and arm.finish != Finish.INTERRUPTED]
    own = [arm for arm in arms if named_lossless(arm.name)]
    if not own or not expert.tokens or expert.finish == Finish.INTERRUPTED:
        return None
    best = own[0] if untimed else fastest(own)
    lossy = fastest([best, *(arm for arm in arms if not named_lossless(arm.name))])
    found = None if untimed or lossy is best or not is_faster(lossy) else lossy
    return ComparisonVerdict(
        outcome(expert, arms, best, found, untimed), expert, best, found, expert_call(best, compared)
    )


def outcome(
    expert: Figures, arms: Sequence[Figures], best: Figures, lossy: Figures | None, untimed: bool
) -> ComparisonOutcome:
    if untimed:
        return ComparisonOutcome.UNTIMED
    if not any(arm.drafted for arm in arms):
        return ComparisonOutcome.OFF
    if min(expert.tokens, best.tokens) < FEWEST:
        return ComparisonOutcome.SHORT
    return ComparisonOutcome.FASTER if lossy is not None or is_faster(best) else ComparisonOutcome.NOT_FASTER


def fastest(arms: Sequence[Figures]) -> Figures:
    """The first of equals."""
    return max(arms, key=lambda arm: arm.speedup or 0.0)


def is_faster(arm: Figures) -> bool:
    """Whether an arm was faster than the expert alone by more than noise, against both of its measurements."""
    if not arm.drafted or arm.speedup is None:
        return False
    if arm.speedup_low is None:
        return arm.speedup >= UNKNOWN
    return arm.speedup >= FASTER and arm.speedup_low >= 1


def expert_call(arm: Figures, compared: Comparison) -> ExpertCall | None:
    """From the seconds in the expert, of this arm and of the expert alone, before the arms and behind them."""
    expert = compared.arms[0]
    if not (arm.drafted and arm.expert_calls and expert.expert_calls and expert.verify_seconds > 0):
        return None
    single = expert.verify_seconds / expert.expert_calls * (1 + (compared.drift or 1.0)) / 2
    return call_of(arm, single)


def call_of(arm: Figures, single: float) -> ExpertCall | None:
    """The mean call of an arm, where a call of one token takes `single` seconds; None where it drafted nothing."""
    if not (arm.drafted and arm.expert_calls and single > 0):
        return None
    return ExpertCall(round(arm.drafted / arm.expert_calls + 1), arm.verify_seconds / arm.expert_calls / single)
