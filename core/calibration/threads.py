"""How many threads serve a pair best on this machine, by trying.

All cores are often the wrong number: hyper-threads share a core's arithmetic, and some cores are slower than others.
"""

from collections.abc import Mapping

from ..machine.memory import usable_cores
from ..runtime.llama import physical_cores
from ..runtime.pair import Pair
from .calibrate import times

SIZES = (1, 5)  # what the expert reads in a call: a token alone, and a draft of four
DRAFTED = 4
REPEATS = 4
GAIN = 0.03  # of the time: less is noise, and no reason to leave the default


def worth_trying(usable: int, physical: int) -> list[int]:
    """Numbers of threads, the default first: one for each physical core; all logical ones, one less, and half."""
    return list(dict.fromkeys(n for n in (physical, usable, physical - 1, physical // 2) if n > 0))


def candidates() -> list[int]:
    """Those worth trying here."""
    return worth_trying(usable_cores(), physical_cores())


def tried(pair: Pair, counts: list[int]) -> dict[int, float]:
    """Seconds of a token and of a round of four (four steps, a call of five) at each number of threads: the least of
    several of each, the numbers in turn. Caches and threads are as they were afterwards."""
    before = pair.expert.threads
    seen: dict[int, dict[int, list[float]]] = {count: {n: [] for n in SIZES} for count in counts}
    steps: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(REPEATS):
        for count in counts:
            pair.use_threads(count)
            calls, own = times(pair, SIZES, 2)  # the first of two wakes the threads
            for n, seconds in calls.items():
                seen[count][n] += seconds
            steps[count] += own
    pair.use_threads(before)
    return {
        count: sum(min(each) for each in seen[count].values() if each) + DRAFTED * min(steps[count], default=0.0)
        for count in counts
    }


def fastest(seconds: Mapping[int, float], default: int) -> int:
    """The number of threads that takes least; the default unless another is clearly faster."""
    best = min(seconds, key=lambda count: seconds[count], default=default)
    clear = default not in seconds or seconds[best] < (1 - GAIN) * seconds[default]
    return best if clear else default
