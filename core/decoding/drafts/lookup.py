"""Drafts that cost nothing: where the last tokens stood earlier in the text, what followed them there (prompt lookup).

Knows token ids; no model, no rule and no costs. What it proposes depends on the tokens before it alone and has no
probability, so it is judged as a point mass: `exact` accepts it with p(v).
"""

from collections.abc import Iterable, Sequence

from ..length.acceptance import LookupStatistics

SHORT = 2  # tokens that must agree for a match
DEEPEST = 16  # tokens back that a match is measured
PLACES = 16  # of those where the text's last tokens stood before, the latest so many are looked at


class Lookup:
    """The text so far, indexed by its pairs of tokens; of several places the one that agrees longest counts, of equals
    the latest."""

    def __init__(self, record: LookupStatistics) -> None:
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
