"""Prompt lookup: where the last tokens stood earlier in the text, what followed them there is the draft. Costs nothing.

A proposal depends on the tokens before it alone and has no probability, so it is judged as a point mass: `exact`
accepts it with p(v).
"""

from collections.abc import Iterable, Sequence

from ..length.acceptance import LookupStatistics
from ..length.policy import Policy
from .draft_source import Draft, Drawing, ExpertRead

SHORT = 2  # tokens that must agree for a match
DEEPEST = 16  # tokens back that a match is measured
PLACES = 16  # of those where the text's last tokens stood before, the latest so many are looked at


class PromptLookup:
    """A draft source over the text so far, indexed by its pairs of tokens; of several places the one that agrees
    longest counts, of equals the latest."""

    name = "lookup"
    gives_q = False
    seconds = 0.0
    steps = 0

    def __init__(self, statistics: LookupStatistics | None = None) -> None:
        """`statistics`: told of every token of the answer, whether the text went on as it had before."""
        self.statistics = LookupStatistics() if statistics is None else statistics
        self.length = 0
        """Tokens that agree before the end of the text and before the place, DEEPEST at most; 0 where there is none."""
        self._ids: list[int] = []
        self._behind: dict[tuple[int, ...], list[int]] = {}
        """Where the text goes on behind a pair, the latest place last."""
        self._at = -1
        """Where it goes on behind the place that ends like the text."""

    def propose(self, room: int, policy: Policy, drawing: Drawing) -> Draft | None:
        """As many tokens from the best place as the policy wants of a match so long."""
        drafted = self.draft(policy.lookup_length(self.length, room)) if self.length else []
        return Draft(drafted) if drafted else None

    def observe(self, committed: Sequence[int], read: ExpertRead | None = None) -> None:
        """Take in what was added to the text. The first call brings the prompt, which teaches nothing."""
        learn = bool(self._ids)
        new = committed[len(self._ids) :]
        for i, token in enumerate(new):
            if learn and self.length:
                self.statistics.learn(self.length, self._ids[self._at] == token)
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
