"""What calls cost on this machine: timed on the caches of a loaded pair, which are as they were afterwards."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from ..decoding.length.constants import CONSTANTS
from ..decoding.length.latency import LatencyModel
from ..decoding.model import LanguageModel
from ..errors import Stopped, WorkerLost
from ..runtime.pair import Pair

QUICK = (1, 4)  # batch sizes that are measured at start-up; the run's own calls fill in the others
REPEATS = 2
FULL = (1, 2, 3, 4, 5, 6, 7, 8, 12, 16)  # what `doctor` and `tune` measure
FULL_REPEATS = 4
MANY = 4  # times, of which the least may be an accident
STEADY = 1.3  # spread of a size's two least times, above which something else is running
UNSTEADY = "times of the same call spread by {:.1f}x: something else is running, so these costs are not the machine's"


def measure(pair: Pair, sizes: Sequence[int], repeats: int) -> LatencyModel:
    """Seconds of expert calls of these sizes and of a drafter step, the least of `repeats`, on the caches as they are;
    they are as they were afterwards. Sizes for which the context has no room are left out."""
    return of_times(*times(pair, sizes, repeats))


Times = dict[int, list[float]]


def times(pair: Pair, sizes: Sequence[int], repeats: int) -> tuple[Times, list[float]]:
    """Seconds of each expert call and of each drafter step, size after size and then all again: what disturbs the
    machine for a moment does not meet all calls of one size."""
    expert, drafter = pair.expert, pair.drafter
    token = pair.cached[-1] if pair.cached else 0
    room = min(expert.max_rows, expert.context - len(expert))
    for model in (expert, drafter):
        model.mark()
    seen: Times = {n: [] for n in sizes if n <= room}
    steps: list[float] = []
    for _ in range(repeats):
        for n, seconds in seen.items():
            if pair.files["expert"].workers:  # a worker is sent another graph for another size, and a run keeps to one
                timed(expert, [token] * n, n)
            seconds.append(timed(expert, [token] * n, n))
        if len(drafter) < drafter.context:
            steps.append(step(pair))
    return seen, steps


def of_times(seen: Times, steps: Sequence[float]) -> LatencyModel:
    """The least of each, of four or more the second-least: one lucky call would make its size look cheap for ever."""
    step = typical(steps) if steps else 0.0
    known = {n: typical(seconds) for n, seconds in seen.items()} or {1: 10 * step or 1.0}
    return LatencyModel(known, step, CONSTANTS.catch_up_share * step)


def typical(seconds: Sequence[float]) -> float:
    return sorted(seconds)[1 if len(seconds) >= MANY else 0]


@dataclass(frozen=True, slots=True)
class Curve:
    """A whole curve, and by how much its times spread: the largest ratio of a size's second-least time to its least."""

    costs: LatencyModel
    spread: float

    @property
    def steady(self) -> bool:
        return self.spread <= STEADY


def measure_full(pair: Pair) -> Curve:
    """The whole curve, behind what the caches hold. Takes as long as a few hundred tokens of the expert alone."""
    return side_by_side([pair])[0]


def side_by_side(pairs: Sequence[Pair]) -> list[Curve]:
    """The whole curve of each pair, behind what its caches hold, all sizes on each in turn: what disturbs the machine
    meets all of them. Raises Stopped."""
    seen: list[Times] = [{} for _ in pairs]
    steps: list[list[float]] = [[] for _ in pairs]
    for _ in range(FULL_REPEATS):
        for pair, calls, own in zip(pairs, seen, steps, strict=True):
            found, stepped = times(pair, FULL, 1)
            for n, seconds in found.items():
                calls.setdefault(n, []).extend(seconds)
            own += stepped
    return [Curve(of_times(calls, own), spread(calls)) for calls, own in zip(seen, steps, strict=True)]


def spread(seen: Times) -> float:
    return max((sorted(seconds)[1] / min(seconds) for seconds in seen.values() if len(seconds) > 1), default=1.0)


ALONE_STEPS = 3
"""Single steps of the expert, timed once to know what speculation is measured against."""


def alone_speed(pair: Pair, steps: int) -> float:
    """Tokens a second of the expert alone, by single steps behind what its cache holds, taken back afterwards; 0 where
    it cannot be measured, for want of room, because it was stopped, or as its worker went away."""
    expert = pair.expert
    length = len(expert)
    steps = min(steps, pair.context - length)
    spent = 0.0
    with suppress(Stopped, WorkerLost):
        expert.mark()
        before = expert.seconds
        for _ in range(steps):
            expert.extend([pair.cached[-1]])
        spent = expert.seconds - before
    expert.truncate(length)
    return steps / spent if spent > 0 else 0.0


def step(pair: Pair) -> float:
    """Seconds of one step of the drafter, behind what its cache holds, taken back."""
    if pair.head is None:
        return timed(pair.second_model.model, [drafter_token(pair)], 1)
    head = pair.head.model
    length, before = len(head), head.seconds
    head.extend([pair.cached[-1] if pair.cached else 0], None)
    spent = head.seconds - before
    head.truncate(length)
    return spent


def timed(model: LanguageModel, ids: Sequence[int], rows: int) -> float:
    """Seconds of one extend, taken back."""
    length, before = len(model), model.seconds
    model.extend(ids, rows)
    spent = float(model.seconds - before)
    model.truncate(length)
    return spent


def drafter_token(pair: Pair) -> int:
    """Some token of the drafter's own vocabulary."""
    spelled = pair.vocabulary.spell(pair.cached[-1]) if pair.cached else ()
    return int(spelled[-1]) if spelled else 0
