"""A language model that is a table of numbers: for tests, and for machines simulated on a virtual clock."""

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from ..errors import ContextFull, RollbackRefused, Stopped
from .rewind import State
from .sampling import Floats
from .snapshot import Snapshot

Row = Callable[[tuple[int, ...]], ArrayLike]
TOKEN_BYTES = 100  # that a token in its cache is said to take


class VirtualClock:
    """Time that passes only where a model spends it. Give the same one to both models and to the engine."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class TableModel:
    """A `LanguageModel` whose next-token logits depend on the last `order` tokens, and on nothing else.

    `table` is an array of shape (vocabulary,) * (order + 1), in which tokens before the first count as 0, or a
    function of those tokens, which are fewer at the start; it must answer for none. What was asked is kept in
    `extends`, one (position, tokens) for every call, so that a test can say why a figure is what it is.
    """

    def __init__(
        self,
        table: Floats | Row,
        order: int = 1,
        *,
        max_rows: int = 17,
        rollback: int | None = None,
        room: int | None = None,
        stop_after: int | None = None,
        cost: Callable[[int], float] | None = None,
        clock: VirtualClock | None = None,
        gives_states: bool = False,
    ) -> None:
        """`rollback`: as of a hybrid or recurrent model: one truncate after each extend, of so many tokens at most and
        always fewer than that one read; only emptying the cache is always allowed. `room`: positions in the cache.
        `stop_after`: from the call after so many on, `extend` reads half of its tokens and raises Stopped; set it to
        None to go on. `cost(n)`: seconds that reading n tokens takes. `gives_states`: a state is the last `order`
        tokens as numbers, 0 before the first."""
        self._table = table if callable(table) else self._lookup(table)
        self.order = order
        self.max_rows = max_rows
        self.rollback = rollback
        self.room = room
        self.stop_after = stop_after
        self.cost = cost or (lambda n: 0.0)
        self.clock = clock or VirtualClock()
        self.gives_states = gives_states
        self.states: Floats | None = None
        self.seconds = 0.0
        self.threads = 1
        self.prefill_token = math.inf
        self.ids: list[int] = []
        self.extends: list[tuple[int, int]] = []
        self._back = 0
        self._rows: Floats = np.empty((max_rows, np.asarray(self._table(())).size), dtype=np.float32)

    def _lookup(self, table: Floats) -> Row:
        return lambda last: table[(0,) * (self.order - len(last)) + last]

    def row(self, ids: Sequence[int]) -> ArrayLike:
        """The logits behind these tokens."""
        return self._table(tuple(ids[-self.order :]))

    @property
    def context(self) -> int:
        """Positions in the cache; a table without a limit says a large number."""
        return 1 << 30 if self.room is None else self.room

    @property
    def evaluated(self) -> int:
        """How many positions were read so far, again and again counted again."""
        return sum(tokens for _, tokens in self.extends)

    def __len__(self) -> int:
        return len(self.ids)

    def extend(self, ids: Sequence[int], rows: int = 1) -> Floats:
        if not rows <= min(self.max_rows, len(ids)):
            raise ValueError(f"{rows} rows of {len(ids)} tokens, at most {self.max_rows}")
        if self.room is not None and len(self.ids) + len(ids) > self.room:
            raise ContextFull(f"the table's room of {self.room} tokens is full")
        stopped = self.stop_after is not None and len(self.extends) >= self.stop_after
        read = ids[: len(ids) // 2] if stopped else ids
        self.extends.append((len(self.ids), len(read)))
        self.ids.extend(read)
        self._back = 0 if self.rollback is None else max(0, min(self.rollback, len(read) - 1))
        self.states = self._states(len(read)) if self.gives_states else None
        self._spend(self.cost(len(read)))
        self._rows.fill(np.nan)  # whoever still looks at the last view learns it
        if stopped:
            raise Stopped("stopped")
        for row, end in enumerate(range(len(self.ids) - rows + 1, len(self.ids) + 1)):
            self._rows[row] = self.row(self.ids[max(0, end - self.order) : end])
        return self._rows[:rows]

    def _states(self, tokens: int) -> Floats:
        padded = [0] * self.order + self.ids
        ends = range(len(padded) - tokens + 1, len(padded) + 1)
        rows = [padded[end - self.order : end] for end in ends]
        return np.array(rows, dtype=np.float32).reshape(tokens, self.order)

    def _spend(self, seconds: float) -> None:
        self.seconds += seconds
        self.clock.seconds += seconds

    def truncate(self, length: int) -> None:
        back = len(self.ids) - length
        if back <= 0:
            return
        if self.rollback is not None and length > 0 and back > self._back:
            raise RollbackRefused(f"the table takes back {self._back} tokens now, not {back}")
        self._back = 0
        del self.ids[length:]

    def mark(self) -> None:
        """Needs nothing."""

    def save(self) -> State:
        return State(len(self.ids), tuple(self.ids))

    def restore(self, state: State) -> None:
        """Only where the cache still begins with those tokens, as of a hybrid model."""
        if tuple(self.ids[: state.length]) != state.data:
            raise RollbackRefused("the table's cache is another than that of the copy")
        self.ids, self._back = list(state.data), 0

    def reach(self, length: int) -> int:
        return min(length, len(self.ids)) if self.rollback is None or length >= len(self.ids) else 0

    @property
    def snapshot_bytes(self) -> int:
        return TOKEN_BYTES * len(self.ids)

    def snapshot(self) -> Snapshot:
        places = None if self.rollback is None else ()
        return Snapshot(len(self.ids), tuple(self.ids), self.snapshot_bytes, places)

    def put_back(self, snapshot: Snapshot, states: Iterable[State] = ()) -> None:
        """`states` need nothing: each holds its tokens."""
        self.ids, self._back = list(snapshot.data), 0

    def use_threads(self, threads: int) -> None:
        self.threads = threads

    def use_clock(self, clock: Callable[[], float]) -> None:
        """It spends time on its own clock."""
