"""What a round costs and what it is likely to give: seconds by batch size, chances by the drafter's confidence.

Pure numbers, kept current by the run's own calls. Knows no model, no rule and no clock.
"""

import bisect
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

EDGES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)  # of max q; between two lies one bucket
BUCKETS = len(EDGES) + 1
START = BUCKETS  # the state before anything was drafted
LINE = 0.3  # of one call: what a further token costs while only one size is known
UP, DOWN = 0.25, 0.5  # how much of a surprise is believed; a call that was quicker than thought is no accident
OWN = 0.2  # and what part of that more for the call's own size
MISSED = 0.8  # of a size that was not called lately: how much is believed, of that size alone
FRESH = 8  # calls
STALE = 16  # calls, after which a size that was passed over is looked at again where there is doubt
DOUBT = 1.1  # a size is believed so much dearer than it once was
PADDED = 0.95  # of the time: what a padding row must save
HOPE = 0.9  # the chance of a draft before anything is known
WEIGHT = 2.0  # judged drafts that what was known before a run counts for, in each bucket


@dataclass
class Costs:
    """Seconds: `verify(n)` of one expert call that reads n tokens, `step` of one drafter step, `catch_up` of one token
    that the drafter only has to read. Sizes that were never seen lie on the lines between those that were; beyond the
    largest a token costs no more than `bulk`, one of many that are read together, as in a prompt."""

    seen: dict[int, float]
    step: float
    catch_up: float = 0.0
    bulk: float = math.inf
    calls: int = 0
    last: dict[int, int] = field(default_factory=dict)
    """By size: the call, of all so far, that had it last."""
    low: dict[int, float] = field(default_factory=dict)
    """By size: the least that was seen, drawn to what was seen where that was in doubt."""

    def verify(self, n: int) -> float:
        return self.seen[n] if n in self.seen else self.row(n)[-1]

    def row(self, most: int) -> list[float]:
        """`verify` of 1 to `most`."""
        known = sorted(self.seen)
        first, last = known[0], known[-1]
        slope = (self.seen[last] - self.seen[first]) / (last - first) if last > first else LINE * self.seen[first]
        values: list[float] = []
        for low, high in itertools.pairwise(known):
            own = (self.seen[high] - self.seen[low]) / (high - low)
            values += [self.seen[low] + own * (n - low) for n in range(len(values) + 1, high + 1)]
        beyond = min(slope, self.bulk)
        values += [self.seen[last] + beyond * (n - last) for n in range(len(values) + 1, most + 1)]
        return [max(value, self.seen[first]) for value in values[:most]]

    def cheapest(self, n: int, most: int) -> int:
        """The size, n or a little more, that is cheapest to read: kernels go in steps, so a padding row may save. One
        token alone is the kernels' own case, and never padded."""
        if n == 1:
            return 1
        row = self.row(min(n + 3, most))[n - 1 :]
        best = min(row)
        return n if best > PADDED * row[0] or self.doubtful(n) else n + row.index(best)

    def doubtful(self, n: int) -> bool:
        """Whether a size that is passed over had better be tried again: it was never called, or was dearer than it had
        been when it was. Another program that took the cores for a moment would else be believed for ever."""
        if self.calls - self.last.get(n, 0) < STALE:
            return False
        return n not in self.last or self.verify(n) > DOUBT * self.low[n]

    def least(self, most: int) -> list[float]:
        """Seconds of the cheapest call that reads n tokens, by n up to `most`; of none, nothing."""
        row = self.row(most)
        return [0.0, *(min(row[n - 1 : n + 3]) for n in range(1, most + 1))]

    def saw_verify(self, n: int, seconds: float) -> None:
        """One call that was timed. Of a size that was called just before, a surprise tells of the machine, which slows
        or recovers for all sizes alike; of another one, of that size."""
        low = self.low.get(n, seconds)
        self.low[n] = math.sqrt(low * seconds) if self.doubtful(n) else min(low, seconds)  # it may be slow for now
        fresh = n in self.last and self.calls - self.last[n] < FRESH
        self.calls += 1
        self.last[n] = self.calls
        surprise = min(max(seconds / self.verify(n), 0.25), 4.0)
        if n not in self.seen:
            self.seen[n] = seconds
        elif not fresh:
            self.seen[n] *= surprise**MISSED
        else:
            believed = UP if surprise > 1 else DOWN
            for size in self.seen:
                self.seen[size] *= surprise**believed
            self.bulk *= surprise**believed
            self.seen[n] *= surprise ** (OWN * believed)

    def saw_bulk(self, seconds: float) -> None:
        """Of each token of a prompt: the least counts, for the first one may wait for the file to be read."""
        self.bulk = min(self.bulk, seconds)

    def saw_step(self, seconds: float) -> None:
        self.step += UP * (seconds - self.step)

    def saw_catch_up(self, seconds: float) -> None:
        """Of each token that the drafter had to read."""
        self.catch_up += UP * (max(seconds, 0.0) - self.catch_up)


@dataclass
class Chances:
    """How likely a draft is accepted, by the bucket of max q at its position; learned from what was judged.

    `accepted` and `judged` are counts by bucket, `follows` and `followed` the same by the bucket one before.
    """

    accepted: list[float] = field(default_factory=lambda: [0.0] * BUCKETS)
    judged: list[float] = field(default_factory=lambda: [0.0] * BUCKETS)
    follows: list[float] = field(default_factory=lambda: [0.0] * (BUCKETS + 1))
    followed: list[float] = field(default_factory=lambda: [0.0] * (BUCKETS + 1))

    @staticmethod
    def bucket(confidence: float) -> int:
        return bisect.bisect(EDGES, confidence)

    def chance(self, bucket: int) -> float:
        """Of a position in this bucket. Before anything is known a drafter is believed nearly as much as it believes
        itself."""
        middle = (([0.0, *EDGES])[bucket] + ([*EDGES, 1.0])[bucket]) / 2
        return (self.accepted[bucket] + WEIGHT * (0.1 + 0.85 * middle)) / (self.judged[bucket] + WEIGHT)

    def next(self, bucket: int) -> float:
        """Expected chance of the position behind one in this bucket (START: of the first one). A bucket that is little
        known leans on all of them, and all of them on hope: a drafter that is never tried is never known."""
        everywhere = (sum(self.follows) + WEIGHT * HOPE) / (sum(self.followed) + WEIGHT)
        return (self.follows[bucket] + WEIGHT * everywhere) / (self.followed[bucket] + WEIGHT)

    def learn(self, buckets: list[int], accepted: int) -> None:
        """One judged draft: the buckets of its positions, and how many of them were accepted, from the left."""
        for i, bucket in enumerate(buckets[: accepted + 1]):
            self.judged[bucket] += 1
            self.accepted[bucket] += i < accepted
        for i, before in enumerate([START, *buckets][: min(accepted + 1, len(buckets))]):
            self.followed[before] += 1
            self.follows[before] += i < accepted

    def faded(self, weight: float) -> "Chances":
        """The same chances on fewer counts, so that a new text can overrule them soon."""

        def fade(values: list[float], counts: list[float]) -> tuple[list[float], list[float]]:
            scale = [min(1.0, weight / count) if count else 0.0 for count in counts]
            return [v * s for v, s in zip(values, scale, strict=True)], [min(weight, count) for count in counts]

        accepted, judged = fade(self.accepted, self.judged)
        follows, followed = fade(self.follows, self.followed)
        return Chances(accepted, judged, follows, followed)

    def as_json(self) -> dict[str, list[float]]:
        return {
            "accepted": self.accepted,
            "judged": self.judged,
            "follows": self.follows,
            "followed": self.followed,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, list[float]]) -> "Chances":
        """Raises ValueError, KeyError or TypeError where the data is of another shape."""
        chances = cls(*(list(map(float, data[name])) for name in ("accepted", "judged", "follows", "followed")))
        if [len(chances.accepted), len(chances.judged), len(chances.follows)] != [BUCKETS, BUCKETS, BUCKETS + 1]:
            raise ValueError("counts of another shape")
        return chances
