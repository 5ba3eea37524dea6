"""Drafts that cost nothing: where the last tokens stood earlier in the text, what followed them there (prompt lookup).

Knows token ids; no model, no rule and no costs. What it proposes depends on the tokens before it alone and has no
probability, so it is judged as a point mass: `exact` accepts it with p(v).
"""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field

SHORT, LONG = 2, 4  # tokens that must agree for a match; the long one is looked for first
DEEPEST = 16  # tokens back that a match is measured
EDGES = (3, 4, 6, 9, 13)  # of a match's length; between two lies one bucket
PRIOR = (0.15, 0.25, 0.4, 0.5, 0.6, 0.7)  # chance by bucket that text goes on as it did, before this text shows it
WEIGHT = 4.0  # tokens that the prior counts for


@dataclass
class Record:
    """How often the text went on as it had before, by the length of the match. Learned from every token that is
    written, drafted or not: looking costs nothing."""

    hits: list[float] = field(default_factory=lambda: [0.0] * len(PRIOR))
    tries: list[float] = field(default_factory=lambda: [0.0] * len(PRIOR))

    def chance(self, length: int) -> float:
        """That the token behind a match of so many tokens is the one that stood there."""
        bucket = bisect.bisect(EDGES, length)
        return (self.hits[bucket] + WEIGHT * PRIOR[bucket]) / (self.tries[bucket] + WEIGHT)

    def learn(self, length: int, hit: bool) -> None:
        bucket = bisect.bisect(EDGES, length)
        self.tries[bucket] += 1
        self.hits[bucket] += hit

    def faded(self, weight: float) -> "Record":
        """The same on fewer counts, so that another text can overrule it soon."""
        scale = [min(1.0, weight / count) if count else 0.0 for count in self.tries]
        return Record(*([n * s for n, s in zip(counts, scale, strict=True)] for counts in (self.hits, self.tries)))


class Lookup:
    """The text so far, indexed by its pairs and quadruples of tokens; of several places the latest one counts."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self._ids: list[int] = []
        self._behind: dict[tuple[int, ...], int] = {}
        """Where the text goes on behind a pair or a quadruple."""
        self._at = -1
        """Where it goes on behind an earlier place that ends like the text; -1 where there is none."""

    def follow(self, ids: Sequence[int], learn: bool = True) -> None:
        """Take in what was added to the text. `learn`: the new tokens are an answer's, and go on record."""
        for token in ids[len(self._ids) :]:
            if learn and self._at >= 0:
                self.record.learn(self.length, self._ids[self._at] == token)
            self._ids.append(token)
            self._at = -1
            for size in (SHORT, LONG):
                if len(self._ids) >= size:
                    last = tuple(self._ids[-size:])
                    self._at = self._behind.get(last, self._at)
                    self._behind[last] = len(self._ids)

    @property
    def length(self) -> int:
        """Tokens that agree before the two places, DEEPEST at most; 0 where the end of the text is new."""
        if self._at < 0:
            return 0
        length, end = SHORT, len(self._ids)
        while length < min(DEEPEST, self._at) and self._ids[end - length - 1] == self._ids[self._at - length - 1]:
            length += 1
        return length

    def draft(self, count: int) -> list[int]:
        """The next `count` tokens, if the text goes on as it did; where it would run into its own end, round again."""
        drafted: list[int] = []
        if self._at >= 0:
            for i in range(self._at, self._at + count):
                drafted.append(self._ids[i] if i < len(self._ids) else drafted[i - len(self._ids)])
        return drafted
