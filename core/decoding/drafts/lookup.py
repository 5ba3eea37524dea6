"""Drafts that cost nothing: where the last tokens stood earlier in the text, what followed them there (prompt lookup).

Knows token ids; no model, no rule and no costs. What it proposes depends on the tokens before it alone and has no
probability, so it is judged as a point mass: `exact` accepts it with p(v).
"""

import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

SHORT = 2  # tokens that must agree for a match
DEEPEST = 16  # tokens back that a match is measured
PLACES = 16  # of those where the text's last tokens stood before, the latest so many are looked at
EDGES = (3, 4, 6, 9, 13)  # of a match's length; between two lies one bucket
PRIOR = (0.4, 0.45, 0.6, 0.65, 0.75, 0.9)
"""Chance by bucket that text goes on as it did, before this text shows it: a little below what it was in answers of
Qwen2.5-Coder-1.5B to `builtin`, which seldom copy (0.45 to 0.64). In those to `copying` it was 0.66 to 0.97."""
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
    """The text so far, indexed by its pairs of tokens; of several places the one that agrees longest counts, of equals
    the latest."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.length = 0
        """Tokens that agree before the end of the text and before the place, DEEPEST at most; 0 where there is none."""
        self._ids: list[int] = []
        self._behind: dict[tuple[int, ...], list[int]] = {}
        """Where the text goes on behind a pair, the latest place last."""
        self._at = -1
        """Where it goes on behind the place that ends like the text."""

    def follow(self, ids: Sequence[int], learn: bool = True) -> None:
        """Take in what was added to the text. `learn`: the new tokens are an answer's, and go on record."""
        new = ids[len(self._ids) :]
        for i, token in enumerate(new):
            if learn and self.length:
                self.record.learn(self.length, self._ids[self._at] == token)
            self._ids.append(token)
            places = self._behind.setdefault(tuple(self._ids[-SHORT:]), [])
            wanted = learn or i == len(new) - 1
            self.length, self._at = self._longest(reversed(places[-PLACES:])) if wanted else (0, -1)
            places.append(len(self._ids))

    def _longest(self, places: Iterable[int]) -> tuple[int, int]:
        best, at = 0, -1
        for place in places:
            length = self._agree(place)
            if length > best:
                best, at = length, place
        return best, at

    def _agree(self, place: int) -> int:
        """How many tokens before `place` are those before the end."""
        ids, end, length = self._ids, len(self._ids), 0
        while length < min(DEEPEST, place) and ids[end - length - 1] == ids[place - length - 1]:
            length += 1
        return length

    def draft(self, count: int) -> list[int]:
        """The next `count` tokens, if the text goes on as it did; where it would run into its own end, round again."""
        drafted: list[int] = []
        if self.length:
            for i in range(self._at, self._at + count):
                drafted.append(self._ids[i] if i < len(self._ids) else drafted[i - len(self._ids)])
        return drafted
