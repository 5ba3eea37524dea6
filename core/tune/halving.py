"""Successive halving: how many prompts each round has, which candidates are eliminated in it, and why."""

import math
from collections.abc import Sequence
from statistics import fmean, stdev

from ..bench.stats import CONFIDENCE
from ..bench.suites import Item
from .candidates import FALLBACK, Candidate
from .standing import Standing

FIRST_ROUND = 2
"""Prompts of the first round; each later one has twice as many."""
FINALISTS = 4
SLOWER_HALF = "slower than those that went on"


def search_half(items: Sequence[Item]) -> list[Item]:
    """Half of the prompts, with its share of every group, in their order: the search may use these and no others, for
    what a setting was chosen by must not be what it is judged by."""
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.group, []).append(item)
    in_groups = [item for group in groups.values() for item in group]
    mine = {item.id for item in in_groups[: len(items) // 2 * 2 : 2]}
    return [item for item in items if item.id in mine]


def halving_sizes(prompts: int) -> list[int]:
    """How many prompts have been played after each round, of so many that the search may use."""
    sizes = [min(FIRST_ROUND, prompts)]
    while sizes[-1] < prompts:
        sizes.append(min(2 * sizes[-1], prompts))
    return sizes


def survivors(alive: int) -> int:
    """How many go on from a round."""
    return max(FINALISTS, math.ceil(alive / 2))


def answers(alive: int, played: int, search: int, prompts: int, repeats: int, block: int) -> int:
    """Answers that are still to come at most, those of the expert alone in every block of `block` arms included.
    `played` of the `search` prompts have been; `prompts` there are in all."""
    total = 0
    for size in halving_sizes(search):
        if size <= played:
            continue
        if played and alive <= FINALISTS:
            break
        total += (size - played) * (alive + math.ceil(alive / block))
        alive, played = min(alive, survivors(alive)), size
    return total + (prompts - played) * repeats * (min(alive, FINALISTS) + 1)


def shown_above(values: Sequence[float], limit: float) -> bool:
    """Whether the 95 % interval (Student's t) of the mean lies above the limit; never for one value."""
    if len(values) < 2:
        return False
    from scipy import stats as distributions

    width = float(distributions.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * error(values)
    return fmean(values) - width > limit


def error(values: Sequence[float]) -> float:
    """Standard error of the mean; infinite for fewer than two values."""
    return stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.inf


def losses(found: Standing, floor: float) -> list[tuple[list[float], float]]:
    """Both measures as values by prompt where more is worse, each with its limit; none for `exact`."""
    if found.candidate.lossless:
        return []
    return [
        ([-change for change in found.log_prob.values()], -math.log1p(-floor)),
        ([-change for change in found.score.values()], floor),
    ]


def elimination_reason(found: Standing, floor: float) -> str:
    """Why a candidate is out before it met all prompts; empty where it is not."""
    if any(shown_above(values, limit) for values, limit in losses(found, floor)):
        return f"loses more than {floor:.1%}"
    if shown_above([-math.log(ratio) for ratio in found.speed.values()], 0.0):
        return "slower than the expert alone"
    return ""


def ordered(found: Sequence[Standing], floor: float) -> list[Standing]:
    """Best first: those whose loss is at most a standard error above the floor, by speed; then the others, by speed.
    Of equals the one that stands first goes first."""

    def doubtful(each: Standing) -> bool:
        return any(len(v) > 1 and fmean(v) - error(v) > limit for v, limit in losses(each, floor))

    return sorted(found, key=lambda each: (doubtful(each), -each.times))


def prune(found: Sequence[Standing], floor: float, keep: int) -> tuple[list[Candidate], dict[Candidate, str]]:
    """Who goes on from a round, best first, and why the others do not. The fallback and the fastest lossless candidate
    always go on: they are what a lossy one must beat."""
    eliminated = {each.candidate: why for each in found if (why := elimination_reason(each, floor))}
    eliminated.pop(FALLBACK, None)
    alive = ordered([each for each in found if each.candidate not in eliminated], floor)
    safe = {FALLBACK, *(each.candidate for each in [e for e in alive if e.candidate.lossless][:1])}
    places = keep - len([each for each in alive if each.candidate in safe])
    going: list[Candidate] = []
    for each in alive:
        if each.candidate not in safe and places <= 0:
            eliminated[each.candidate] = SLOWER_HALF
            continue
        places -= each.candidate not in safe
        going.append(each.candidate)
    return going, eliminated
