"""Drafts from a second, smaller model, in the expert's token ids whatever its own vocabulary is.

The cache is trimmed to what is still right and never rebuilt: each committed token is read once.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..length.policy import Policy
from ..model import LanguageModel
from ..penalty import NO_PENALTY, Penalty
from ..sampling import GREEDY, Distribution, Floats, Sampling, Shared
from ..snapshot import Snapshot
from .draft_source import Draft, Drawing, ExpertRead, Proposal
from .stepwise import proposal, write

LEAST = 16  # positions, before a mean over them says anything


class Spelling(Protocol):
    """How the drafter writes the expert's tokens. `core/headers/vocabulary.py` makes one from two GGUF headers."""

    @property
    def shared(self) -> Shared | None:
        """Which entries of the drafter's row are tokens of the expert; None when the vocabularies are one."""

    def spell(self, token: int) -> Sequence[int]:
        """The drafter's ids for one token of the expert."""


@dataclass(frozen=True, slots=True)
class DrafterPrompt:
    """A prompt that the drafter reads in its own words: its own template's rendering, by its own tokenizer."""

    ids: tuple[int, ...]
    """The expert's, in whose place the drafter reads `own`."""
    own: tuple[int, ...]


class SecondModel:
    """A draft source over a second, smaller language model; it can also write alone, token by token.

    Invariant: the model's cache holds a prefix of the spelling of `_ids`, and `_ends[i]` is the length of the
    spelling of the first i+1 of them. Ids of a drafter prompt have one end, that of all of it.
    """

    name = "drafter"
    gives_q = True

    def __init__(self, model: LanguageModel, spelling: Spelling, room: int) -> None:
        """`room`: the most of its own tokens the drafter's context holds."""
        self.model = model
        self.spelling = spelling
        self.room = room
        self.prompt: DrafterPrompt | None = None
        """Counts from the next `observe` on, for texts that begin with its ids."""
        self.steps = 0
        """Calls of the model so far, whatever they read."""
        self._prompted: DrafterPrompt | None = None
        self._ids: list[int] = []
        self._spelled: list[int] = []
        self._ends: list[int] = []
        self._masses: list[float] = [0.0, 0.0]  # sum, and of how many

    @property
    def seconds(self) -> float:
        return self.model.seconds

    @property
    def spelled(self) -> Sequence[int]:
        """The text in its own tokens; its cache holds a prefix of them."""
        return tuple(self._spelled)

    @property
    def unread(self) -> int:
        """Its tokens of the text that it has not read yet."""
        return len(self._spelled) - len(self.model)

    def observe(self, committed: Sequence[int], read: ExpertRead | None = None) -> None:
        """Make `committed` what comes before the next proposal; keeps as much of the cache as it can."""
        prompt = self.prompt
        if prompt is not None and tuple(committed[: len(prompt.ids)]) != prompt.ids:
            prompt = None
        before = None
        if prompt != self._prompted:
            before = self._spelled[: len(self.model)]
            self._ids, self._spelled = ([], []) if prompt is None else (list(prompt.ids), list(prompt.own))
            self._ends = [len(self._spelled)] * len(self._ids)
        self._prompted = prompt
        same = common_prefix(self._ids, committed)
        length = self._ends[same - 1] if same else 0
        del self._ids[same:], self._ends[same:], self._spelled[length:]
        if before is None:
            self.model.truncate(length)
        for token in committed[same:]:
            self.push(token)
        if before is not None:  # begun anew: what is spelled the same stays in the cache
            self.model.truncate(common_prefix(before, self._spelled))

    def propose(self, room: int, policy: Policy, drawing: Drawing) -> Draft | None:
        return write(self, room, policy, drawing)

    def reach(self, ids: Sequence[int]) -> int:
        """All: it reads the text by itself."""
        return len(ids)

    def note(self, first: int, states: Floats | None) -> None:
        """Needs nothing."""

    def text(self) -> Snapshot:
        own = () if self._prompted is None else (self._prompted.ids, self._prompted.own)
        known = [array("i", each) for each in (self._ids, self._spelled, self._ends, *own)]
        return Snapshot(len(self._ids), known, sum(len(each) * each.itemsize for each in known))

    def resume(self, text: Snapshot) -> None:
        self._ids, self._spelled, self._ends, *own = (each.tolist() for each in text.data)
        self._prompted = DrafterPrompt(*map(tuple, own)) if own else None

    def push(self, token: int) -> None:
        """Go on as if `token` (an expert id) came next."""
        self._ids.append(token)
        self._spelled.extend(self.spelling.spell(token))
        self._ends.append(len(self._spelled))

    def catch_up(self, chunk: int = 512) -> Iterator[tuple[int, int]]:
        """Read all that is pending but the last token, whose row will be wanted; yields (read, of how many). A text
        that has no room is not read: nothing will be drafted behind it. One will come back to where it ends."""
        total = len(self._spelled) - 1
        while len(self.model) < total <= self.room:
            self.steps += 1
            self.model.extend(self._spelled[len(self.model) : min(len(self.model) + chunk, total)], rows=0)
            yield len(self.model), total
        self.model.mark()

    def next(self, sampling: Sampling = GREEDY) -> Proposal | None:
        """The distribution of the token after what was observed and pushed, tokens that stand there held back; None
        when it has no room."""
        if not 0 < len(self._spelled) <= self.room:
            return None
        if len(self.model) == len(self._spelled):  # its row was asked for before: read the last token again
            self.model.truncate(len(self._spelled) - 1)
        self.steps += 1
        row = self.model.extend(self._spelled[len(self.model) :], rows=1)[0]
        assert not isinstance(row, Distribution), "a drafter gives dense rows"
        return self._found(row, sampling.penalty)

    def through(self, tokens: Sequence[int]) -> list[Proposal]:
        """The distributions behind what was observed and pushed, and behind each of `tokens`, which are pushed, from
        one call; nothing is held back. Of fewer tokens where one call gives fewer rows; none where it has no room."""
        before = len(self._spelled)
        for i, token in enumerate(tokens):
            if len(self._spelled) + len(self.spelling.spell(token)) - before >= self.model.max_rows:
                tokens = tokens[:i]
                break
            self.push(token)
        if not 0 < before <= len(self._spelled) <= self.room:
            return []
        if len(self.model) >= before:
            self.model.truncate(before - 1)
        self.steps += 1
        rows = self.model.extend(self._spelled[len(self.model) :], rows=len(self._spelled) - before + 1)
        found = []
        for end in [before, *self._ends[len(self._ends) - len(tokens) :]]:
            row = rows[end - before]
            assert not isinstance(row, Distribution), "a drafter gives dense rows"
            found.append(self._found(row, NO_PENALTY))
        return found

    def _found(self, row: Floats, penalty: Penalty) -> Proposal:
        shared = self.spelling.shared
        found = proposal(row, shared, penalty, self._ids)
        if shared is not None and not shared.whole:
            self._masses[0] += found.mass
            self._masses[1] += 1
        return found

    @property
    def mean_mass(self) -> float | None:
        """Of its probability, what lay on tokens of the expert so far; None before it was asked for LEAST positions."""
        total, count = self._masses
        return total / count if count >= LEAST else None


def common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    """How many leading items two sequences share."""
    length = min(len(left), len(right))
    if left[:length] == right[:length]:
        return length
    return next((i for i in range(length) if left[i] != right[i]), length)
