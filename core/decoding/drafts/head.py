"""Drafts from a head: a layer or two that read the expert's hidden states (EAGLE-3, MTP).

The head's cache holds pairs. Pair i is the expert's state behind its token i, with token i + 1; its row is q of token
i + 2. While it drafts, its own state stands in for the expert's. What was read so is cut off again, and read with the
expert's states once they are there, for the tokens that were accepted: so the cache is never rebuilt.
"""

from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np

from ..length.policy import Policy
from ..model import Rows
from ..sampling import GREEDY, Distribution, Floats, Sampling, Shared
from ..snapshot import Snapshot
from .draft_source import Draft, Drawing, ExpertRead, Proposal
from .second_model import common_prefix
from .stepwise import proposal, write

PENDING_BYTES = 64 << 20  # of states that wait to be read; more are read at once
PLACES = 8  # to which one comes back, whose states are kept
KEPT = 32  # states before such a place: a round's, not read yet when one left


class HeadModel(Protocol):
    """A head with a cache of pairs. Pair i is the expert's state behind its token i, with token i + 1; its row is q of
    token i + 2."""

    @property
    def seconds(self) -> float:
        """Time spent inside the head so far. Grows only."""

    def __len__(self) -> int:
        """Pairs that the cache holds."""

    def extend(self, tokens: Sequence[int], states: Floats | None) -> Rows:
        """Read pairs; return q's logits over the expert's ids behind the last, (1, vocabulary), a view that the next
        call overwrites. `states` (len(tokens), width) as the expert gave them; None: one token, with the head's own
        state of the call before. Raises Stopped, ContextFull; `len()` is a true prefix then."""

    def truncate(self, length: int) -> None:
        """Forget all but the first `length` pairs."""


class Head:
    """A draft source over a head.

    Invariant: the model's cache holds pairs of `_ids`, the first `_true` of them read with the expert's states. States
    of the text are kept from the last such pair on, and before the places to which one comes back.
    """

    name = "drafter"
    gives_q = True
    mean_mass: float | None = None

    def __init__(
        self,
        model: HeadModel,
        room: int,
        shared: Shared | None = None,
        ahead: bool = False,
        longest: int | None = None,
    ) -> None:
        """`room`: the most pairs its cache holds. `shared`: which entries of a row it ever proposes; None is all.
        `ahead`: it cannot be asked any more once the expert has read the draft. `longest`: tokens of a draft at most;
        None is any number."""
        self.model = model
        self.room = room
        self.shared = shared
        self.ahead = ahead
        self.longest = longest
        self.steps = 0
        """Calls of the model so far, whatever they read."""
        self._ids: list[int] = []
        self._committed = 0  # of them; those behind were pushed
        self._true = 0
        self._states: dict[int, Floats] = {}
        self._places: deque[int] = deque(maxlen=PLACES)  # tokens of the text, when it stood there

    @property
    def seconds(self) -> float:
        return self.model.seconds

    @property
    def unread(self) -> int:
        return max(0, self._committed - 1 - self._true)

    def reach(self, ids: Sequence[int]) -> int:
        """Up to the first token whose state is wanted and not there."""
        same = common_prefix(self._ids[: self._committed], ids)
        at = max(0, min(self._true, len(self.model), same - 1, len(ids) - 2))
        while at < same and at in self._states:
            at += 1
        return at

    def observe(self, committed: Sequence[int], read: ExpertRead | None = None) -> None:
        same = common_prefix(self._ids[: self._committed], committed)
        self._true = max(0, min(self._true, len(self.model), same - 1))
        self.model.truncate(self._true)
        if same < self._committed:
            self._states = {i: state for i, state in self._states.items() if i < same}
            self._places = deque((place for place in self._places if place <= same), PLACES)
        self._ids, self._committed = list(committed), len(committed)
        if read is not None:
            self.note(read.first, read.states)
        elif committed and self._committed not in self._places:
            self._places.append(self._committed)
            self._drop(self._states)

    def note(self, first: int, states: Floats | None) -> None:
        """States of the observed text; what is behind it is left out."""
        if states is None:
            return
        wanted = self._committed - 1 - first
        known = self._true - 1
        self._states |= {i: state.copy() for i, state in enumerate(states[: max(0, wanted)], first) if i >= known}
        if len(self._states) * states.shape[1] * states.itemsize > PENDING_BYTES:
            self._read(self._known())

    def propose(self, room: int, policy: Policy, drawing: Drawing) -> Draft | None:
        draft = write(self, room, policy, drawing)
        if self.ahead and draft is not None and not drawing.rule.lossless(drawing.sampling):
            draft.q1(len(draft.tokens), ask=True)  # such a rule asks for q behind the draft
        return draft

    def catch_up(self, chunk: int = 512) -> Iterator[tuple[int, int]]:
        """All but the last pair, whose row will be wanted."""
        total = self._committed - 2
        while self._true < total <= self.room:
            before = self._true
            self._read(min(before + chunk, total, self._known()))
            if self._true == before:
                return
            yield self._true, total

    def text(self) -> Snapshot:
        self.model.truncate(self._true)
        ids = array("i", self._ids[: self._committed])
        size = len(ids) * ids.itemsize + sum(state.nbytes for state in self._states.values())
        return Snapshot(len(ids), (ids, self._true, dict(self._states), tuple(self._places)), size)

    def resume(self, text: Snapshot) -> None:
        ids, self._true, states, places = text.data
        self._ids, self._committed = ids.tolist(), len(ids)
        self._states, self._places = dict(states), deque(places, PLACES)

    def push(self, token: int) -> None:
        self._ids.append(token)

    def next(self, sampling: Sampling = GREEDY) -> Proposal | None:
        """None where the expert's states are not there, or there is no pair yet."""
        pairs = len(self._ids) - 1
        if not 0 < pairs <= self.room or (self.longest is not None and pairs >= self._committed - 1 + self.longest):
            return None
        row = None
        if len(self.model) >= pairs or self._true < self._committed - 1:  # or its row was asked for before
            self._true = min(self._true, self._committed - 2)
            self.model.truncate(self._true)
            if self._known() < self._committed - 1:
                return None
            row = self._read(self._committed - 1)
        for token in self._ids[len(self.model) + 1 :]:
            self.steps += 1
            row = self.model.extend([token], None)
        assert row is not None
        logits = row[0]
        assert not isinstance(logits, Distribution), "a head gives dense rows"
        return proposal(logits, self.shared, sampling.penalty, self._ids)

    def _known(self) -> int:
        """Up to which pair the states are there."""
        at = self._true
        while at in self._states:
            at += 1
        return min(at, self._committed - 1)

    def _read(self, until: int) -> Rows | None:
        """Read pairs up to `until` with the expert's states; the row behind the last, None where there was none."""
        if until <= self._true:
            return None
        self.model.truncate(self._true)
        before, at = self._true, range(self._true, until)
        self.steps += 1
        try:
            row = self.model.extend([self._ids[i + 1] for i in at], np.stack([self._states[i] for i in at]))
        finally:
            self._true = min(len(self.model), until)
        self._drop(range(before - 1, self._true))
        return row

    def _drop(self, states: Iterable[int]) -> None:
        """Those of these states that nobody will want again."""
        lasts = [place - 2 for place in self._places]
        for i in [i for i in states if i < self._true - 1 and not any(last - KEPT < i <= last for last in lasts)]:
            self._states.pop(i, None)
