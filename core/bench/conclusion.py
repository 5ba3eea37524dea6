"""The sentence over a report: what was shown to be faster than the expert alone, at what cost, or that nothing was."""

from collections.abc import Sequence

from ..decoding.arms import BASELINES
from ..decoding.rules import named_lossless
from .stats import FASTER, LEAST, NOT_SHOWN
from .summary import ArmSummary


def conclusion(arms: Sequence[ArmSummary]) -> str:
    """Of the arms with a deferral rule: the drafter alone is always the fastest, and never the question, and a
    sequential cascade may write all of its text. "" where none has a speed."""
    named = [arm for arm in arms if arm.rule is not None and arm.speedup.value is not None]
    ruled = [arm for arm in named if arm.name.partition(":")[0] not in BASELINES] or named
    if not ruled:
        return ""
    own = best([arm for arm in ruled if named_lossless(arm.name)])
    other = best([arm for arm in ruled if not named_lossless(arm.name)])
    over = f"over {ruled[0].prompts} prompt{'s' * (ruled[0].prompts != 1)}"
    if all(arm.speedup.low is None for arm in ruled):
        figures = "; ".join(told(arm) for arm in (own, other) if arm is not None)
        return f"Too few prompts to show anything ({LEAST} have an interval). {over.capitalize()}: {figures}."
    winners = [arm for arm in (own, other) if arm is not None and arm.verdict == FASTER]
    if winners:
        rest = f"; `{own.label}` was not shown to be faster ({speed(own)})" if own and own not in winners else ""
        return f"Faster than the expert alone {over}: {'; '.join(map(told, winners))}{rest}."
    first = best(ruled)
    assert first is not None
    flat = first.speedup_if_flat
    elsewhere = f" Where a call of the expert costs as one token, that would be {flat:.1f}x." if flat else ""
    return f"Nothing was shown to be faster than the expert alone {over}. The best was {told(first)}.{elsewhere}"


def best(arms: Sequence[ArmSummary]) -> ArmSummary | None:
    """The fastest of those that were shown to be faster, else the fastest."""
    return max(arms, key=lambda arm: (arm.verdict == FASTER, arm.speedup.value or 0.0), default=None)


def told(arm: ArmSummary) -> str:
    """`token:0.5`, its speed-up, and what it costs: a speed never stands without that."""
    cost = (
        "the expert's own text" if named_lossless(arm.name) else f"quality loss: {arm.quality_loss}{by_log_prob(arm)}"
    )
    return f"`{arm.label}` {speed(arm)}, {cost}"


def by_log_prob(arm: ArmSummary) -> str:
    """Where a score shows nothing and the expert's log-prob shows a loss, that too: few answers show little."""
    score = arm.scores.get("log-prob")
    if arm.quality_loss != NOT_SHOWN or arm.quality_by in (None, "log-prob") or score is None:
        return ""
    lost = score.change
    if lost.value is None or lost.high is None or lost.high >= 0:
        return ""
    return f" by {arm.quality_by}, log-prob {lost.value:+.2f} [{lost.low:+.2f}, {lost.high:+.2f}]"


def speed(arm: ArmSummary) -> str:
    found = arm.speedup
    interval = "" if found.low is None or found.high is None else f" [{found.low:.2f}, {found.high:.2f}]"
    return f"{found.value:.2f}x{interval}"
