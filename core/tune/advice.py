"""What to say about a setting that is tuned, or that makes answers slower, and which one would serve better. Pure texts
out of figures; knows no terminal, and measures nothing.
"""

from collections.abc import Sequence

from ..record.metrics import Figures
from ..settings import Settings
from .store import Tuned

SLOWER = 0.97
"""Below this an answer at a fixed k counts as slower than the expert alone: above it is noise."""
SLOWER_AUTO = 0.9
"""With `-k auto`, which tries drafts at a small loss before it leaves them off."""
FEWEST, FEWEST_AUTO = 24, 64
"""Tokens of an answer whose speed says something."""


def setting(rule: str, k: int | str) -> str:
    return f"--rule {rule} -k {k}"


def gain(tuned: Tuned) -> str:
    """`1.18x the expert alone [1.10, 1.25], 40 prompts`."""
    if tuned.speedup is None:
        return "not measured"
    interval = "" if tuned.low is None or tuned.high is None else f" [{tuned.low:.2f}, {tuned.high:.2f}]"
    return f"{tuned.speedup:.2f}x the expert alone{interval}, {tuned.prompts} prompts"


def uses(settings: Settings, tuned: Tuned) -> bool:
    """Whether this run uses what was tuned, because the profile says so."""
    return tuned.rule in settings.rule and settings.draft_tokens == tuned.draft_tokens


def said_before(settings: Settings, tuned: Tuned | None, machine: str) -> tuple[list[str], list[str]]:
    """Notices and warnings for a run of a pair that was tuned: that its setting is used, or that a better one is known.
    `machine` as it is written in `tuned`."""
    if tuned is None:
        return [], []
    notices, warnings = [], []
    best = setting(tuned.rule, tuned.draft_tokens)
    fixed = isinstance(settings.draft_tokens, int)
    here = tuned.machine == machine
    if uses(settings, tuned):
        loss = "" if tuned.quality_loss is None else f", quality loss {tuned.quality_loss:.1%}"
        found = f"{gain(tuned)}{loss}" if tuned.faster else f"nothing was faster than the expert alone; {gain(tuned)}"
        at = "" if settings.temperature == tuned.temperature else f", at temperature {tuned.temperature:g}"
        notices.append(f"tuned: {best} ({found}{at}; {tuned.date})")
        if not here:
            warnings.append(f"this was tuned on another machine or build ({tuned.machine}): run `speccas tune` here")
    elif here and fixed and not tuned.faster:
        warnings.append(
            f"tune found nothing faster than the expert alone here, so -k {settings.draft_tokens} will be slower: "
            f"use {best}"
        )
    return notices, warnings


def is_slow(times: float, tokens: int, k: int | str) -> bool:
    """Whether an answer of so many tokens, at `times` the speed of the expert alone, is one to warn of."""
    limit, fewest = (SLOWER_AUTO, FEWEST_AUTO) if k == "auto" else (SLOWER, FEWEST)
    return tokens >= fewest and times < limit


def slower(figures: Sequence[Figures], k: int | str, tuned: Tuned | None) -> str | None:
    """The warning behind answers that were slower than the expert alone, with the better setting; None where there is
    nothing to warn of. Each figure needs its speed-up."""
    ruled = [each for each in figures if each.drafted is not None and each.speedup is not None]
    slow = [each for each in ruled if is_slow(each.speedup or 0, each.tokens, k)]
    if not slow:
        return None
    told = ", ".join(f"{each.name} {each.speedup:.2f}x" for each in slow)
    best = max(ruled, key=lambda each: each.speedup or 0)
    return f"slower than the expert alone here at -k {k}: {told}. {better(slow, best, k, tuned)}"


def better(slow: Sequence[Figures], best: Figures, k: int | str, tuned: Tuned | None) -> str:
    """What to do about it: what tune found, what was faster in the same run, or what is never much slower."""
    if tuned is not None and not (tuned.draft_tokens == k and tuned.rule in [each.name for each in slow]):
        return f"speccas tune found {setting(tuned.rule, tuned.draft_tokens)} ({gain(tuned)})"
    if best not in slow and (best.speedup or 0) > 1:
        return f"{setting(best.name, k)} was faster ({best.speedup:.2f}x)"
    if k != "auto":
        return "-k auto drafts only where it pays; `speccas tune` finds what is fastest"
    return "--rule expert does without drafts; `speccas tune` finds what is fastest"
