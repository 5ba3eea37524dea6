"""Drafts from a second, smaller model. Knows both models' ids through a `Spelling`, and nothing of rules.

The cache is trimmed to what is still right and never rebuilt: each committed token is read once.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Protocol

from ..model import LanguageModel, Mark, Proposal
from ..sampling import Distribution, Shared

LEAST = 16  # positions, before a mean over them says anything


class Spelling(Protocol):
    """How the drafter writes the expert's tokens. `core/headers/vocabulary.py` makes one from two GGUF headers."""

    @property
    def shared(self) -> Shared | None:
        """Which entries of the drafter's row are tokens of the expert; None when the vocabularies are one."""

    def spell(self, token: int) -> Sequence[int]:
        """The drafter's ids for one token of the expert."""


class Heading:
    """The beginning of a text that the drafter reads in words of its own: its template's rendering of a prompt."""

    __slots__ = ("ids", "own")

    def __init__(self, ids: Sequence[int], own: Sequence[int]) -> None:
        """`ids`: the expert's; `own`: the drafter's, for what it reads in their place."""
        self.ids = list(ids)
        self.own = list(own)


class ModelDrafter:
    """A `Drafter` over a language model.

    Invariant: the model's cache holds a prefix of the spelling of `_ids`, and `_ends[i]` is the length of the
    spelling of the first i+1 of them. Ids of a heading have one end, that of all of it.
    """

    def __init__(self, model: LanguageModel, spelling: Spelling, room: int) -> None:
        """`room`: the most of its own tokens the drafter's context holds."""
        self.model = model
        self.spelling = spelling
        self.room = room
        self.heading: Heading | None = None
        """Counts from the next `follow` on, for texts that begin with its ids."""
        self._headed: Heading | None = None
        self._ids: list[int] = []
        self._spelled: list[int] = []
        self._ends: list[int] = []
        self._masses: list[float] = [0.0, 0.0]  # sum, and of how many
        self._mark: Mark | None = None
        self._marked = 0

    @property
    def seconds(self) -> float:
        return self.model.seconds

    @property
    def behind(self) -> int:
        """Its tokens of the text that it has not read yet."""
        return len(self._spelled) - len(self.model)

    def follow(self, committed: Sequence[int]) -> None:
        heading = self.heading
        if heading is not None and list(committed[: len(heading.ids)]) != heading.ids:
            heading = None
        held = None
        if heading is not self._headed:
            held = self._spelled[: len(self.model)]
            self._headed = heading
            self._ids, self._spelled = ([], []) if heading is None else (heading.ids.copy(), heading.own.copy())
            self._ends = [len(self._spelled)] * len(self._ids)
        same = common_prefix(self._ids, committed)
        length = self._ends[same - 1] if same else 0
        del self._ids[same:], self._ends[same:], self._spelled[length:]
        if held is None:
            self._trim(length)
        for token in committed[same:]:
            self.push(token)
        if held is not None:  # begun anew, with a heading or with none: what is spelled the same stays in the cache
            self._trim(common_prefix(held, self._spelled))
        if self.model.rollback is not None:  # a recurrent cache: read what is committed, and mark it
            for _ in self.catch_up():
                pass
            self._mark, self._marked = self.model.mark(), len(self.model)

    def push(self, token: int) -> None:
        self._ids.append(token)
        self._spelled.extend(self.spelling.spell(token))
        self._ends.append(len(self._spelled))

    def catch_up(self, chunk: int = 512) -> Iterator[tuple[int, int]]:
        """Read all that is pending but the last token, whose row will be wanted; yields (read, of how many). A text
        that has no room is not read: nothing will be drafted behind it."""
        total = len(self._spelled) - 1
        while len(self.model) < total <= self.room:
            self.model.extend(self._spelled[len(self.model) : min(len(self.model) + chunk, total)], rows=0)
            yield len(self.model), total

    def next(self) -> Proposal | None:
        if not 0 < len(self._spelled) <= self.room:
            return None
        if len(self.model) == len(self._spelled):  # its row was asked for before: read the last token again
            self._trim(len(self._spelled) - 1)
        row = self.model.extend(self._spelled[len(self.model) :], rows=1)[0]
        shared = self.spelling.shared
        if shared is None:
            return Proposal(Distribution(row.copy()))
        mine = Distribution(shared.of(row), shared)
        if shared.whole:
            return Proposal(mine)
        log_mass = Distribution(row).log_mass
        mass = math.exp(mine.log_mass - log_mass)
        self._masses[0] += mass
        self._masses[1] += 1
        return Proposal(Distribution(mine.logits, shared, log_mass), mass)

    @property
    def mean_mass(self) -> float | None:
        """Of its probability, what lay on tokens of the expert so far; None before it was asked for LEAST positions."""
        total, count = self._masses
        return total / count if count >= LEAST else None

    def _trim(self, length: int) -> None:
        if len(self.model) <= length:
            return
        if self.model.rollback is None:
            self.model.truncate(length)
        elif self._mark is not None and self._marked <= length:
            self.model.restore(self._mark)
        else:
            self.model.truncate(0)
            self._mark = None


def common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    """How many leading items two sequences share."""
    length = min(len(left), len(right))
    if left[:length] == right[:length]:
        return length
    return next((i for i in range(length) if left[i] != right[i]), length)
