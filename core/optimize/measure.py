"""What calls of two pairs cost on this machine, measured side by side: size after size on each in turn."""

from collections.abc import Sequence

from ..bench.overlap import spread_over
from ..bench.suites import load_suite
from ..calibration.calibrate import FULL, Curve, of_times, spread, times
from ..conversation.template import Message
from ..runtime.generate import drain, read_prompt
from ..runtime.pair import Pair
from ..runtime.prompt import prompt_of, require_room

ROUNDS = 4
"""Of all sizes on all pairs: what disturbs the machine for a moment does not meet all calls of one size."""


def curves(pairs: Sequence[Pair]) -> list[Curve]:
    """The whole curve of each pair, behind what its caches hold: the least of several times a call, the pairs in turn.
    Raises Stopped."""
    seen: list[dict[int, list[float]]] = [{n: [] for n in FULL} for _ in pairs]
    steps: list[list[float]] = [[] for _ in pairs]
    for _ in range(ROUNDS):
        for i, pair in enumerate(pairs):
            calls, own = times(pair, FULL, 1)
            for n, seconds in calls.items():
                seen[i][n] += seconds
            steps[i] += own
    known = [{n: seconds for n, seconds in each.items() if seconds} for each in seen]
    return [Curve(of_times(each, own), spread(each)) for each, own in zip(known, steps, strict=True)]


def read_something(pair: Pair) -> None:
    """Fill both caches with a built-in prompt: calls cost a little more behind a text. Raises UsageError where it does
    not fit, Stopped."""
    item = spread_over(load_suite("builtin").items, 1)[0]
    drain(read_prompt(pair, require_room(pair, prompt_of(pair, [Message("user", item.prompt)]))))
