"""What a round costs and what it is likely to give: seconds by batch size, chances by the drafter's confidence.

Pure numbers, kept current by the run's own calls. Knows no model, no rule and no clock.
"""

import bisect
from collections.abc import Mapping
from dataclasses import dataclass, field

EDGES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)  # of max q; between two lies one bucket
BUCKETS = len(EDGES) + 1
START = BUCKETS  # the state before anything was drafted
OWN, SHARED = 0.25, 0.05  # how much of a call's surprise goes to its own batch size, and to all the others
HOPE = 0.9  # the chance of a draft before anything is known
WEIGHT = 2.0  # judged drafts that what was known before a run counts for, in each bucket


@dataclass
class Costs:
    """Seconds: `verify(n)` of one expert call that reads n tokens, `step` of one drafter step, `catch_up` of one token
    that the drafter only has to read. Sizes that were never seen lie on the lines between those that were."""

    seen: dict[int, float]
    step: float
    catch_up: float = 0.0

    def verify(self, n: int) -> float:
        known = sorted(self.seen)
        if n in self.seen:
            return self.seen[n]
        if len(known) == 1:
            return self.seen[known[0]] * (1 + 0.3 * (n - known[0]))
        at = bisect.bisect(known, n)
        low, high = (known[at - 1], known[at]) if 0 < at < len(known) else (known[0], known[-1])
        slope = (self.seen[high] - self.seen[low]) / (high - low)
        return max(self.seen[low] + slope * (n - low), self.seen[known[0]])

    def cheapest(self, n: int, most: int) -> int:
        """The size, n or a little more, that is cheapest to read: kernels go in steps, so a padding row may save."""
        return min(range(n, min(n + 3, most) + 1), key=self.verify)

    def least(self, most: int) -> list[float]:
        """Seconds of the cheapest call that reads n tokens, by n up to `most`; of none, nothing."""
        row = [self.verify(n) for n in range(1, most + 1)]
        return [0.0, *(min(row[n - 1 : n + 3]) for n in range(1, most + 1))]

    def saw_verify(self, n: int, seconds: float) -> None:
        """One call that was timed. All sizes move a little with it: a machine that slows down slows for all."""
        if n not in self.seen:
            self.seen[n] = seconds
            return
        surprise = min(max(seconds / self.seen[n], 0.25), 4.0)
        for size in self.seen:
            self.seen[size] *= surprise ** (OWN if size == n else SHARED)

    def saw_step(self, seconds: float) -> None:
        self.step += OWN * (seconds - self.step)

    def saw_catch_up(self, seconds: float) -> None:
        """Of each token that the drafter had to read."""
        self.catch_up += OWN * (max(seconds, 0.0) - self.catch_up)


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
