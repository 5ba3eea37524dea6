"""Going back anywhere with a model whose memory takes back little: recurrent and hybrid ones.

Such a memory is a running sum of what was read. Copies of it are kept at places to which one goes back, and what lies
behind the nearest is read again, together with the next call.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..errors import RollbackRefused
from .sampling import Floats
from .snapshot import Snapshot

KEPT = 4  # copies of the state at marked places, the cheapest to do without going first
COPIES = KEPT + 1  # at most, with the one that moves along
UNREAD = 4  # tokens that are read again within the call that judges a draft; more are read before it, once


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class State:
    """A copy of a model's state behind so many tokens."""

    length: int
    data: Any


class LimitedModel(Protocol):
    """A model over one cache that goes back only as far as its memory does."""

    max_rows: int
    rollback: int | None
    """How many tokens of its last `extend` `truncate` may take back, once, and always fewer than that one read; None is
    any number of any."""
    seconds: float
    threads: int
    prefill_token: float

    @property
    def states(self) -> Floats | None: ...

    @property
    def context(self) -> int: ...

    @property
    def evaluated(self) -> int: ...

    def __len__(self) -> int: ...

    def extend(self, ids: Sequence[int], rows: int = 1) -> Floats:
        """As `LanguageModel.extend`, but that it may hold nothing after an error, until it is restored or read anew."""

    def truncate(self, length: int) -> None:
        """Raises RollbackRefused beyond what `rollback` says; 0 always works."""

    def save(self) -> State:
        """A copy of its state."""

    def restore(self, state: State) -> None:
        """Back to a state. Raises RollbackRefused where the cache was cut shorter since."""

    @property
    def snapshot_bytes(self) -> int: ...

    def snapshot(self) -> Snapshot:
        """A copy of all that it holds: not of the running state alone, as `save` makes."""

    def put_back(self, snapshot: Snapshot, states: Iterable[State] = ()) -> None:
        """Hold that again, and nothing else. `states` were saved before the snapshot was taken, and can be restored
        from now on. Raises NativeError; it holds nothing then."""

    def use_threads(self, threads: int) -> None: ...
    def use_clock(self, clock: Callable[[], float]) -> None: ...


class Rewindable:
    """A limited model that goes back anywhere. See `LanguageModel` for the contract of each method.

    `len()` counts what was asked to be read; the model may hold less, and reads the rest with the next call. Copies of
    its state are kept where it was marked, and one more that moves along: in front of a call of several rows that it
    could not take back, and in front of a token read alone behind text that stands (a drafter's guess).
    """

    def __init__(self, model: LimitedModel) -> None:
        self.model = model
        self.max_rows = model.max_rows
        self.rollback = model.max_rows if model.rollback is None else model.rollback
        self._ids: list[int] = []
        self._marked: list[State] = []
        self._moving: State | None = None
        self._back = False
        """Whether it went back since the last call."""
        self._stands = False
        """Whether what it has read stands, and what is read next may be a guess."""
        self._asked = 0
        """Tokens of the last call, without those that were read again."""

    def __len__(self) -> int:
        return len(self._ids)

    def extend(self, ids: Sequence[int], rows: int = 1) -> Floats:
        if not rows <= min(self.max_rows, len(ids)):
            raise ValueError(f"{rows} rows of {len(ids)} tokens, at most {self.max_rows}")
        judges = rows - 1 > self.rollback
        if judges and len(self._unread()) > UNREAD:
            self.extend([], rows=0)
        if (judges or self._stands) and self._nearest(len(self.model)) != len(self.model):
            self._moving = self.model.save()
        unread, self._asked = self._unread(), len(ids)
        try:
            found = self.model.extend([*unread, *ids], rows)
        except Exception:  # whatever stopped it: what is held must be told right, and it goes on up
            self._ids = [*self._ids, *ids][: max(len(self._ids), len(self.model))]
            if not len(self.model):
                self._go_back()
            raise
        self._ids += ids
        self._stands = rows == 1 and (self._back or len(unread) + len(ids) > 1)
        self._back = False
        return found

    def _unread(self) -> list[int]:
        return self._ids[len(self.model) :]

    def truncate(self, length: int) -> None:
        """Never refused. What cannot be taken back is read again, from the nearest copy of the state on."""
        if length >= len(self._ids):
            return
        del self._ids[length:]
        self._marked = [state for state in self._marked if state.length <= length]
        if self._moving is not None and self._moving.length > length:
            self._moving = None
        if length < len(self.model):
            try:
                self.model.truncate(length)
            except RollbackRefused:
                self._go_back()
        self._back = True

    def _states(self) -> list[State]:
        return [*self._marked, *([] if self._moving is None else [self._moving])]

    def _nearest(self, length: int) -> int:
        """Behind how many tokens the nearest copy of the state is that is no longer; 0 where there is none."""
        return max((state.length for state in self._states() if state.length <= length), default=0)

    def _go_back(self) -> None:
        """To the nearest copy, or to the beginning."""
        nearest = max(self._states(), key=lambda state: state.length, default=None)
        if nearest is None:
            self.model.truncate(0)
        else:
            self.model.restore(nearest)

    def mark(self) -> None:
        """Keep a copy of the state here. Raises what `extend` raises, where something is to be read first."""
        if self._unread():
            self.extend([], rows=0)
        here = len(self._ids)
        if not here or any(state.length == here for state in self._marked):
            return
        moving = self._moving
        self._marked.append(moving if moving is not None and moving.length == here else self.model.save())
        if len(self._marked) > KEPT:
            del self._marked[self._dispensable()]

    def _dispensable(self) -> int:
        """Which copy but the last saves the least reading."""
        places = [0, *(state.length for state in self._marked)]
        return min(range(len(self._marked) - 1), key=lambda i: places[i + 2] - places[i])

    def reach(self, length: int) -> int:
        held = len(self.model)
        return held if held <= length else self._nearest(length)

    @property
    def snapshot_bytes(self) -> int:
        return self.model.snapshot_bytes + sum(len(state.data) for state in self._marked)

    def snapshot(self) -> Snapshot:
        """With the marked places: whoever puts it back can go back to them."""
        inner, marked = self.model.snapshot(), tuple(self._marked)
        size = inner.bytes + sum(len(state.data) for state in marked)
        places = tuple(state.length for state in marked)
        return Snapshot(inner.length, (inner, self._ids[: inner.length], marked), size, places)

    def put_back(self, snapshot: Snapshot) -> None:
        inner, ids, marked = snapshot.data
        self._ids, self._marked, self._moving, self._back, self._stands = [], [], None, False, False
        self.model.put_back(inner, marked)
        self._ids, self._marked = list(ids), list(marked)

    def use_threads(self, threads: int) -> None:
        self.model.use_threads(threads)

    def use_clock(self, clock: Callable[[], float]) -> None:
        self.model.use_clock(clock)

    @property
    def states(self) -> Floats | None:
        found = self.model.states
        return None if found is None else found[len(found) - self._asked :]

    @property
    def seconds(self) -> float:
        return self.model.seconds

    @property
    def context(self) -> int:
        return self.model.context

    @property
    def threads(self) -> int:
        return self.model.threads

    @property
    def evaluated(self) -> int:
        return self.model.evaluated

    @property
    def prefill_token(self) -> float:
        return self.model.prefill_token
