"""A context of llama.cpp that reads pairs of a token and a hidden state: the cache of a head, whatever its kind."""

import contextlib
import ctypes
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...decoding.sampling import Floats
from ...decoding.snapshot import Snapshot
from ...errors import ContextFull, DoesNotFit, NativeError, RollbackRefused, Stopped
from ..llama import (  # type: ignore[attr-defined] # it brings llama_cpp in
    MANY,
    LlamaContext,
    LlamaWeights,
    api,
    copied,
    fill,
    log_tail,
    put,
    snapshot_bytes,
)
from ..states import Views, symbols
from .load import ROWS

CHUNK = ROWS  # pairs a decode reads at most: a head's graph computes logits behind each, wanted or not


class PairCache:
    """One sequence of pairs. Rows and own states are those of the last call that was to give them."""

    def __init__(self, weights: LlamaWeights, expert: LlamaContext, length: int, width: int = 0, **more: Any) -> None:
        """`length` pairs; `width` of a state that the graph reads beside a token, and of its own: the expert's, unless
        another is given; `more` parameters of llama.cpp's context. Raises DoesNotFit, Unavailable."""
        self.weights = weights
        self.context = length
        self.width = width or expert.states_width
        self.threads = expert.threads
        self.stop = weights.stop
        self.clock: Callable[[], float] = time.perf_counter
        self.seconds = 0.0
        self.evaluated = 0
        self.prefill_token = math.inf
        self._symbols, self._views = symbols(), Views()
        self._length = 0
        self._open = contextlib.ExitStack()
        self.ctx = self._context(more)
        self.memory = api.llama_get_memory(self.ctx)
        self._symbols.hand_out_last(self.ctx, True, True)
        self._batch()

    def _context(self, more: dict[str, Any]) -> Any:
        params = fill(
            api.llama_context_default_params(),
            n_ctx=self.context,
            n_batch=CHUNK,
            n_ubatch=CHUNK,
            n_seq_max=1,
            n_outputs_max=CHUNK,
            swa_full=True,
            n_threads=self.threads,
            n_threads_batch=self.threads,
            abort_callback=self.stop.callback,
            abort_callback_data=self.stop.data,
            **more,
        )
        ctx = api.llama_init_from_model(self.weights.model, params)
        if not ctx:
            name = self.weights.path.name
            raise DoesNotFit(f"llama.cpp cannot make a context of {self.context} tokens for {name}: {log_tail()}")
        self._open.callback(api.llama_free, ctx)
        return ctx

    def _batch(self) -> None:
        """One batch for the cache's life, with tokens and states: llama_batch_init makes room for one of the two."""
        batch = self.batch = api.llama_batch_init(CHUNK, self.width, 1)
        tokens = (api.llama_token * CHUNK)()
        batch.token = tokens
        self._tokens = np.ctypeslib.as_array(tokens)
        self._states = np.ctypeslib.as_array(batch.embd, shape=(CHUNK, self.width))
        self._positions = np.ctypeslib.as_array(batch.pos, shape=(CHUNK,))
        self._flags = np.ctypeslib.as_array(batch.logits, shape=(CHUNK,))
        for i in range(CHUNK):
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = 0

        def free() -> None:
            batch.token = ctypes.POINTER(api.llama_token)()  # it is ours
            api.llama_batch_free(batch)

        self._open.callback(free)

    def close(self) -> None:
        """Free the context. Views of rows die with it."""
        self._open.close()

    def __len__(self) -> int:
        return self._length

    def use_threads(self, threads: int) -> None:
        self.threads = threads
        api.llama_set_n_threads(self.ctx, threads, threads)

    def use_clock(self, clock: Callable[[], float]) -> None:
        self.clock = clock

    def timed(self, tokens: int, began: float) -> None:
        """A call of so many pairs is over."""
        spent = self.clock() - began
        self.seconds += spent
        if tokens >= MANY:
            self.prefill_token = min(self.prefill_token, spent / tokens)

    def decode(self, tokens: Sequence[int], states: Floats, outputs: bool, position: int | None = None) -> None:
        """Read up to CHUNK pairs, `states` (len(tokens), width), with rows behind each of them or behind none: some
        graphs gather the rows that are wanted, some not, and llama.cpp copies states as if all did. `position`: of the
        first, where that is not the cache's length.
        Raises Stopped, ContextFull; nothing of the call is in the cache then."""
        if self.stop:
            raise Stopped("stopped")
        n = self.batch.n_tokens = len(tokens)
        if self._length + n > self.context:
            raise ContextFull(f"the context of {self.context} tokens is full")
        first = self._length if position is None else position
        self._tokens[:n] = tokens
        self._states[:n] = states
        self._positions[:n] = range(first, first + n)
        self._flags[:n] = outputs
        code = api.llama_decode(self.ctx, self.batch)
        if code == 0:
            self._length += n
            self.evaluated += n
            return
        self.remove(self._length)
        if code == 2:
            raise Stopped("stopped")
        if code == 1:
            raise ContextFull("llama.cpp found no room in its cache")
        raise NativeError(f"llama_decode failed with code {code}: {log_tail()}")

    def row(self, i: int) -> Floats:
        """Logits behind pair `i` of the last decode, (1, vocabulary): a view that the next call overwrites."""
        pointer = api.llama_get_logits_ith(self.ctx, i)
        return self._views(pointer, 1, self.weights.size)

    def own_states(self, count: int) -> Floats:
        """The head's own states of the last call, (count, width): a view."""
        return self._views(self._symbols.last(self.ctx), count, self.width)

    def remove(self, length: int) -> None:
        if not api.llama_memory_seq_rm(self.memory, 0, length, -1):
            raise RollbackRefused(f"llama.cpp cannot take pairs back from the cache of {self.weights.path.name}")

    def truncate(self, length: int) -> None:
        if length < self._length:
            self.remove(length)
            self._length = length

    def mark(self) -> None:
        """Needs nothing: it goes back anywhere."""

    @property
    def snapshot_bytes(self) -> int:
        return snapshot_bytes(self.ctx)

    def snapshot(self) -> Snapshot:
        """Of the pairs; a state of its own that it would go on from is not among them."""
        data = copied(self.ctx)
        return Snapshot(len(self), data, len(data))

    def put_back(self, snapshot: Snapshot) -> None:
        self.truncate(0)
        if snapshot.length:
            put(self.ctx, snapshot.data, self.weights.path.name)
        self._length = snapshot.length
