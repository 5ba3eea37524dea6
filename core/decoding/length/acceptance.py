"""How likely drafts are accepted: the drafter's by its confidence, looked-up ones by the length of their match."""

import bisect
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from .constants import CONSTANTS, PolicyConstants

BUCKETS = len(CONSTANTS.confidence_edges) + 1
START = BUCKETS  # in place of a bucket: before the first position of a draft


@dataclass
class AcceptanceModel:
    """Acceptance of the drafter's drafts by the bucket of max q at their position, learned from judged drafts.

    `accepted` and `judged` are counts by bucket, `follows` and `followed` the same by the bucket of the position one
    before (START for the first one). They are of all texts. How this text differs from them is its `level`: what is
    added to the log odds of every chance, drawn for each text anew with a deviation of `text_spread`, and learned from
    its own drafts (a step of Newton for each, the posterior taken as normal). `optimism`: so many deviations of what is
    not known of the level are added to it.
    """

    accepted: list[float] = field(default_factory=lambda: [0.0] * BUCKETS)
    judged: list[float] = field(default_factory=lambda: [0.0] * BUCKETS)
    follows: list[float] = field(default_factory=lambda: [0.0] * (BUCKETS + 1))
    followed: list[float] = field(default_factory=lambda: [0.0] * (BUCKETS + 1))
    constants: PolicyConstants = field(default=CONSTANTS, repr=False, compare=False)
    level: float = field(default=0.0, compare=False)
    """Log odds, of this text against all."""
    precision: float = field(default=0.0, compare=False)
    """Of the level: one over its variance."""

    def __post_init__(self) -> None:
        if not self.precision:
            known = self.followed[START] / (self.followed[START] + self.constants.pair_drafts)
            spread = self.constants.text_spread**2 + (1 - known) * self.constants.pair_spread**2
            self.precision = 1 / spread

    def bucket(self, confidence: float) -> int:
        """Of a position where max q is so much."""
        return bisect.bisect(self.constants.confidence_edges, confidence)

    def shifted(self, chance: float, optimism: float = 0.0) -> float:
        """A chance in all texts, for this one."""
        level = self.level + optimism / math.sqrt(self.precision)
        if not level:
            return chance
        odds = chance * math.exp(level)
        return odds / (odds + 1 - chance)

    def chance(self, bucket: int, optimism: float = 0.0) -> float:
        """Acceptance of a position in this bucket."""
        return self.shifted(self.mean_chance(bucket), optimism)

    def next_chance(self, bucket: int, optimism: float = 0.0) -> float:
        """Expected acceptance of the position behind one in this bucket (START: of the first one), before its q is
        known."""
        return self.shifted(self.mean_next_chance(bucket), optimism)

    def mean_chance(self, bucket: int) -> float:
        """`chance` in all texts; the prior grows with max q."""
        c = self.constants
        middle = (([0.0, *c.confidence_edges])[bucket] + ([*c.confidence_edges, 1.0])[bucket]) / 2
        prior = c.prior_base + c.prior_slope * middle
        return (self.accepted[bucket] + c.prior_drafts * prior) / (self.judged[bucket] + c.prior_drafts)

    def mean_next_chance(self, bucket: int) -> float:
        """`next_chance` in all texts. The prior of a bucket is the mean over all of them, whose own prior is
        `hoped_acceptance`."""
        c = self.constants
        mean = (sum(self.follows) + c.hoped_drafts * c.hoped_acceptance) / (sum(self.followed) + c.hoped_drafts)
        return (self.follows[bucket] + c.follow_drafts * mean) / (self.followed[bucket] + c.follow_drafts)

    def learn(self, buckets: list[int], accepted: int, refused: int | None = None) -> None:
        """One judged draft: the buckets of its positions, and how many of them were accepted, from the left. `refused`:
        the bucket of the position behind, which was not drafted for what q said. It counts as its chance: only what is
        taken is judged, and that is the better part."""
        for i, bucket in enumerate(buckets[: accepted + 1]):
            expected = self.chance(bucket)
            self.precision += expected * (1 - expected)
            self.level += ((i < accepted) - expected) / self.precision
            self.judged[bucket] += 1
            self.accepted[bucket] += i < accepted
        for i, before in enumerate([START, *buckets][: min(accepted + 1, len(buckets))]):
            self.followed[before] += 1
            self.follows[before] += i < accepted
        if refused is not None and accepted == len(buckets):
            before = buckets[-1] if buckets else START
            self.followed[before] += self.constants.refused_weight
            self.follows[before] += self.constants.refused_weight * self.mean_chance(refused)

    def faded(self, weight: float) -> "AcceptanceModel":
        """The same acceptance for another text, from at most `weight` counts a bucket."""
        accepted = [n * s for n, s in zip(self.accepted, _scale(self.judged, weight), strict=True)]
        follows = [n * s for n, s in zip(self.follows, _scale(self.followed, weight), strict=True)]
        judged, followed = ([min(weight, n) for n in counts] for counts in (self.judged, self.followed))
        return AcceptanceModel(accepted, judged, follows, followed, self.constants)

    @classmethod
    def measured(cls, share: float, positions: int) -> "AcceptanceModel":
        """From a share of so many positions, whatever the drafter's confidence was."""
        follows, followed = ([0.0] * BUCKETS + [count] for count in (share * positions, float(positions)))
        return cls(follows=follows, followed=followed)

    def as_json(self) -> dict[str, list[float]]:
        return {
            "accepted": self.accepted,
            "judged": self.judged,
            "follows": self.follows,
            "followed": self.followed,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, list[float]]) -> "AcceptanceModel":
        """Raises ValueError, KeyError or TypeError where the data is of another shape."""
        names = ("accepted", "judged", "follows", "followed")
        accepted, judged, follows, followed = (list(map(float, data[name])) for name in names)
        model = cls(accepted, judged, follows, followed)
        if [len(model.accepted), len(model.judged), len(model.follows)] != [BUCKETS, BUCKETS, BUCKETS + 1]:
            raise ValueError("counts of another shape")
        return model


@dataclass
class LookupStatistics:
    """How often a text went on as it had before, by the length of the match: `hits` of `tries`, by bucket. Learned from
    every token that is written, drafted or not, since looking costs nothing."""

    hits: list[float] = field(default_factory=lambda: [0.0] * len(CONSTANTS.match_prior))
    tries: list[float] = field(default_factory=lambda: [0.0] * len(CONSTANTS.match_prior))
    constants: PolicyConstants = field(default=CONSTANTS, repr=False, compare=False)

    def chance(self, length: int) -> float:
        """That the token behind a match of `length` tokens is the one that stood there."""
        bucket = bisect.bisect(self.constants.match_edges, length)
        prior, weight = self.constants.match_prior[bucket], self.constants.match_prior_tokens
        return (self.hits[bucket] + weight * prior) / (self.tries[bucket] + weight)

    def learn(self, length: int, hit: bool) -> None:
        bucket = bisect.bisect(self.constants.match_edges, length)
        self.tries[bucket] += 1
        self.hits[bucket] += hit

    def faded(self, weight: float) -> "LookupStatistics":
        """The same chances from at most `weight` counts a bucket, so that another text can overrule them soon."""
        scale = _scale(self.tries, weight)
        hits, tries = ([n * s for n, s in zip(counts, scale, strict=True)] for counts in (self.hits, self.tries))
        return LookupStatistics(hits, tries, self.constants)


def _scale(counts: list[float], weight: float) -> list[float]:
    """By bucket: the factor that leaves at most `weight`."""
    return [min(1.0, weight / count) if count else 0.0 for count in counts]
