"""Latency model: seconds of an expert call by batch size and of the drafter's steps, learned from timed calls."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from .constants import CONSTANTS, PolicyConstants

FOUR = 4  # tokens that kernels of a CPU multiply at once


@dataclass
class LatencyModel:
    """Seconds: `verify(n)` of an expert call of batch size n, `step` of a drafter step, `catch_up` of each token that
    the drafter only has to read, `prefill_token` of each token of a long prompt (batched prefill cost).

    What was measured or kept from earlier holds as ratios: a call that is slower than expected tells of the machine.
    Kernels of a CPU read tokens by fours, and what is left over one by one, so between two sizes that were seen each
    further token costs as much as a single one, until the next multiple of four is cheaper. Beyond the largest size
    those multiples go on at the mean slope, but at `prefill_token` a token at most.
    """

    seen: dict[int, float]
    """Seconds by batch size, for those that were measured or called."""
    step: float
    catch_up: float = 0.0
    prefill_token: float = math.inf
    calls: int = 0
    """Expert calls learned from."""
    last_call: dict[int, int] = field(default_factory=dict)
    """By batch size: the number of its last call, among all of them."""
    least: dict[int, float] = field(default_factory=dict)
    """By batch size: the least seconds of a call, drawn to those of a call that was made in doubt."""
    constants: PolicyConstants = field(default=CONSTANTS, repr=False, compare=False)

    def verify(self, n: int) -> float:
        return self.seen[n] if n in self.seen else self.curve(n)[-1]

    def __post_init__(self) -> None:
        for n, seconds in self.seen.items():
            self.last_call.setdefault(n, 0)
            self.least.setdefault(n, seconds)

    def curve(self, most: int) -> list[float]:
        """`verify` of 1 to `most`; no size is cheaper than the smallest seen one."""
        known = sorted(self.seen)
        first, last = known[0], known[-1]
        single = self.seen[first]
        slope = (self.seen[last] - single) / (last - first) if last > first else self.constants.further_token * single
        ends = self._ends(known, min(slope, self.prefill_token), most)
        values = [single] * (first - 1)
        for (low, here), (high, there) in itertools.pairwise(ends):
            values.append(here)
            values += [min(here + (n - low) * single, there) for n in range(low + 1, high)]
        values.append(ends[-1][1])
        return [value if value > single else single for value in values[:most]]

    def _ends(self, known: Sequence[int], beyond: float, most: int) -> list[tuple[int, float]]:
        """Where runs of single tokens begin: sizes that were seen, and multiples of four between and behind them, up to
        one that is no less than `most`."""
        ends: list[tuple[int, float]] = []
        for low, high in itertools.pairwise([*known, max(most, known[-1]) + FOUR]):
            here = self.seen[low]
            ends.append((low, here))
            rise = (self.seen[high] - here) / (high - low) if high in self.seen else beyond
            ends += [(n, here + rise * (n - low)) for n in range((low // FOUR + 1) * FOUR, high, FOUR)]
        return ends

    def cheapest_size(self, n: int, most: int) -> int:
        """The batch size, n or a little more, whose call is cheapest: kernels go in steps, so padding may save time.
        A single token is never padded: kernels treat it as a case of its own."""
        if n == 1:
            return 1
        curve = self.curve(min(n + self.constants.padding_limit, most))[n - 1 :]
        best = min(curve)
        return n if best > self.constants.padding_gain * curve[0] or self.doubtful(n) else n + curve.index(best)

    def cheapest_seconds(self, most: int) -> list[float]:
        """Seconds of the cheapest call that reads n tokens, at index n, up to `most`; 0 at index 0."""
        curve = self.curve(most)
        return [0.0, *(min(curve[n - 1 : n + self.constants.padding_limit]) for n in range(1, most + 1))]

    def doubtful(self, n: int) -> bool:
        """Whether a batch size that was not called for long had better be called again: it never was, or its expected
        time is well above its least. Otherwise one moment of interference would be believed for ever."""
        if self.calls - self.last_call.get(n, 0) < self.constants.doubt_calls:
            return False
        return n not in self.last_call or self.verify(n) > self.constants.doubt_ratio * self.least[n]

    def learn_verify(self, n: int, seconds: float) -> None:
        """One expert call of batch size n took so long. If its size was called shortly before, the ratio of measured to
        expected tells of the machine, which slows or recovers for all sizes alike; otherwise of that size alone."""
        c = self.constants
        least = self.least.get(n, seconds)
        self.least[n] = math.sqrt(least * seconds) if self.doubtful(n) else min(least, seconds)  # may be slow for now
        fresh = n in self.last_call and self.calls - self.last_call[n] < c.fresh_calls
        self.calls += 1
        self.last_call[n] = self.calls
        surprise = min(max(seconds / self.verify(n), c.least_surprise), c.largest_surprise)
        if n not in self.seen:
            self.seen[n] = seconds
        elif not fresh:
            self.seen[n] *= surprise**c.stale_size_weight
        else:
            weight = c.slower_weight if surprise > 1 else c.faster_weight
            for size in self.seen:
                self.seen[size] *= surprise**weight
            self.prefill_token *= surprise**weight
            self.seen[n] *= surprise ** (c.own_size_weight * weight)

    def learn_prefill(self, seconds: float) -> None:
        """Each token of a prompt took so long. The least counts: the first prompt may wait for the file to be read."""
        self.prefill_token = min(self.prefill_token, seconds)

    def learn_draft(self, steps: int, read: int, seconds: float) -> None:
        """The drafter took so many steps, and read so many tokens before. Few tell of a step, many of a token read."""
        weight = self.constants.slower_weight
        if read > self.constants.long_reading:
            self.catch_up += weight * (max(seconds - steps * self.step, 0.0) / read - self.catch_up)
        else:
            self.step += weight * (max(seconds - read * self.catch_up, 0.0) / steps - self.step)
