"""What is to be said of a tuned pair before an answer, and of slow answers behind it: facts, no texts.

An answer counts as slow only where its speed says something: below a limit, and of enough tokens.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ..record.metrics import Figures
from .store import Tuned

SLOWER = 0.95
"""Below this an answer at a fixed k counts as slower than the expert alone: above it is noise."""
SLOWER_AUTO = 0.9
"""The same where the draft length is `auto`, which tries drafts at a small loss before it leaves them off."""
FEWEST, FEWEST_AUTO = 24, 64
"""Tokens of an answer whose speed says something."""


@dataclass(frozen=True, slots=True)
class TunedNotice:
    """How a run stands to what was tuned for its pair."""

    tuned: Tuned
    used: bool
    """The run uses the setting that was found."""
    here: bool
    """It was found on this machine and build."""
    same_temperature: bool
    slow_length: int | None
    """The run's fixed draft length, where the search found that none pays on this machine."""


def tuned_notice(
    rules: Collection[str], draft_tokens: int | str, temperature: float, tuned: Tuned | None, machine: str
) -> TunedNotice | None:
    """What to say before an answer; None where there is nothing. `machine` as it is written in `tuned`."""
    if tuned is None:
        return None
    here = tuned.machine == machine
    used = tuned.rule in rules and draft_tokens == tuned.draft_tokens
    slow = draft_tokens if isinstance(draft_tokens, int) and here and not used and not tuned.faster else None
    if not used and slow is None:
        return None
    return TunedNotice(
        tuned=tuned, used=used, here=here, same_temperature=temperature == tuned.temperature, slow_length=slow
    )


class Remedy(StrEnum):
    """Why another setting would serve better than one that made answers slower."""

    TUNED = "tuned"
    """A search found it."""
    FASTER_HERE = "faster here"
    """It was faster in the same run."""
    AUTO = "auto"
    """The draft length `auto` drafts only where that pays."""
    EXPERT = "expert"
    """The expert alone drafts nothing."""


@dataclass(frozen=True, slots=True)
class SlowerAdvice:
    """Arms that were slower than the expert alone at a draft length, each with its speed-up, and what is better."""

    draft_tokens: int | str
    slower: tuple[tuple[str, float], ...]
    remedy: Remedy
    rule: str | None = None
    """The better rule, where the remedy names one."""
    better_draft_tokens: int | str | None = None
    speedup: float | None = None
    """What the better rule reached in the same run."""
    tuned: Tuned | None = None


def is_slow(times: float, tokens: int, k: int | str) -> bool:
    """Whether an answer of so many tokens, at `times` the speed of the expert alone, is one to warn of."""
    limit, fewest = (SLOWER_AUTO, FEWEST_AUTO) if k == "auto" else (SLOWER, FEWEST)
    return tokens >= fewest and times < limit


def is_slower(figures: Figures, k: int | str) -> bool:
    """The same of an arm with drafts, against both measurements of the expert alone where there are two."""
    times = figures.speedup if figures.speedup_high is None else figures.speedup_high
    return bool(figures.drafted) and times is not None and is_slow(times, figures.tokens, k)


def slower_advice(figures: Sequence[Figures], k: int | str, tuned: Tuned | None) -> SlowerAdvice | None:
    """What to say behind answers at draft length `k`, each with its speed-up; None where none was slow.

    Better is what a search found, else what was faster in the same run, else what is never much slower.
    """
    ruled = [(each.name, each.speedup) for each in figures if each.drafted is not None and each.speedup is not None]
    slow = tuple((each.name, each.speedup) for each in figures if each.speedup is not None and is_slower(each, k))
    if not slow:
        return None
    names = [name for name, _ in slow]
    best, fastest = max(ruled, key=lambda each: each[1])
    if tuned is not None and not (tuned.draft_tokens == k and tuned.rule in names):
        return SlowerAdvice(k, slow, Remedy.TUNED, tuned.rule, tuned.draft_tokens, tuned=tuned)
    if best not in names and fastest > 1 / SLOWER:
        return SlowerAdvice(k, slow, Remedy.FASTER_HERE, best, k, fastest)
    return SlowerAdvice(k, slow, Remedy.EXPERT if k == "auto" else Remedy.AUTO)
