"""A served expert as weights and contexts: the cache here is the list of ids, and what of it is kept in memory is the
server's."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...conversation.tokenize import Tokenizer
from ...decoding.answer import Lexicon
from ...decoding.sampling import Distribution, Floats
from ...decoding.snapshot import Snapshot
from ...decoding.sparse import SparseDistribution, Told
from ...errors import ContextFull, Stopped
from ..backend import Weights
from ..stop import StopFlag
from .answers import Api, Verified

LONG = 32
"""Tokens from which on a text is read before it is judged, so that its time is that of the prompt."""
ID_BYTES = 36  # of an int in a list


@dataclass(frozen=True, slots=True)
class RowAsker:
    """Asks for what was not sent of one row."""

    api: Api
    ids: tuple[int, ...]
    """The text that the row stands behind."""
    sent: int

    def log_prob(self, token: int) -> float:
        return self.api.verify([*self.ids, token], 2, self.sent).followed[0][1]

    def draws(self, count: int) -> Sequence[Told]:
        return self.api.draws(self.ids, count)


class ServedContext:
    """See `LanguageModel` for the contract of each method. Its rows are SparseDistribution."""

    states: Floats | None = None

    def __init__(
        self, api: Api, size: int, sent: int, length: int, max_rows: int, stop: StopFlag, threads: int = 1
    ) -> None:
        """`size`: of the vocabulary; `sent`: how many tokens of a row the server tells; `threads`: the drafter's."""
        self.api = api
        self.size = size
        self.sent = sent
        self.context = length
        self.max_rows = max_rows
        self.stop = stop
        self.threads = threads
        self.clock: Callable[[], float] = time.perf_counter
        self.seconds = 0.0
        self.evaluated = 0
        self.prefill_token = math.inf
        self._ids: list[int] = []
        self._read = 0  # of them, the server has read so many for us

    def __len__(self) -> int:
        return len(self._ids)

    def extend(self, ids: Sequence[int], rows: int = 1) -> Sequence[Distribution]:
        if not rows <= min(self.max_rows, len(ids)):
            raise ValueError(f"{rows} rows of {len(ids)} tokens, at most {self.max_rows}")
        if len(self._ids) + len(ids) > self.context:
            raise ContextFull(f"the context of {self.context} tokens is full")
        if self.stop:
            raise Stopped("stopped")
        text = [*self._ids, *ids]
        found = self._ask(text, rows) if rows else None
        self._ids = text
        self.evaluated += len(ids)
        if found is None:
            return []
        return [self._row(found, i, tuple(text[: len(text) - rows + 1 + i])) for i in range(rows)]

    def _row(self, found: Verified, i: int, text: tuple[int, ...]) -> SparseDistribution:
        last = i == len(found.rows) - 1
        return SparseDistribution(
            self.size,
            found.rows[i],
            (found.drawn,) if last else (found.followed[i],),
            drawn=found.drawn if last else None,
            more=RowAsker(self.api, text, self.sent),
        )

    def _ask(self, text: Sequence[int], rows: int) -> Verified:
        began = self.clock()
        try:
            found = self.api.verify(text, rows, self.sent)
            self._read = len(text)
            return found
        finally:
            self.seconds += self.clock() - began

    def truncate(self, length: int) -> None:
        del self._ids[length:]
        self._read = min(self._read, length)

    def mark(self) -> None:
        """A long text that the server has not read is read now. Raises Stopped, ExpertLost."""
        unread = len(self._ids) - self._read
        if unread >= LONG:
            before = self.seconds
            self._ask(self._ids, 1)
            self.prefill_token = min(self.prefill_token, (self.seconds - before) / unread)

    def reach(self, length: int) -> int:
        return min(length, len(self._ids))

    @property
    def snapshot_bytes(self) -> int:
        return ID_BYTES * len(self._ids)

    def snapshot(self) -> Snapshot:
        return Snapshot(len(self._ids), tuple(self._ids), self.snapshot_bytes)

    def put_back(self, snapshot: Snapshot) -> None:
        """The server may have the text still, or reads it anew."""
        self._ids = list(snapshot.data)
        self._read = 0

    def use_threads(self, threads: int) -> None:
        self.threads = threads

    def use_clock(self, clock: Callable[[], float]) -> None:
        self.clock = clock


class ServedWeights:
    """The expert of a pair whose drafter has its vocabulary: that one tokenises for both."""

    def __init__(self, api: Api, spoken: Weights, size: int, sent: int, stop: StopFlag, close: Callable[[], None]):
        self.api = api
        self.spoken = spoken
        self.size = size
        self.sent = sent
        """How many most likely tokens of a row the server tells."""
        self.stop = stop
        self.close = close

    @property
    def tokenizer(self) -> Tokenizer:
        return self.spoken

    def tokenize(self, text: str, *, special: bool, begin: bool = False, inside: bool = False) -> list[int]:
        return self.spoken.tokenize(text, special=special, begin=begin, inside=inside)

    def lexicon(self) -> Lexicon:
        return self.spoken.lexicon()

    def context(
        self, length: int, max_rows: int, threads: int | None = None, states: Sequence[int] = ()
    ) -> ServedContext:
        assert not states, "a server sends no hidden states"
        return ServedContext(self.api, self.size, self.sent, length, max_rows, self.stop, threads or 1)
