"""An EAGLE-3 head (llama.cpp: src/models/eagle3.cpp): an encoder that fuses the expert's states, and a decoder of one
layer over pairs of a token and what was fused."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ...decoding.sampling import Floats, Shared
from ...errors import IntegrityError, NativeError, Stopped
from ...headers.gguf import Header
from ..llama import LlamaWeights, api, log_tail  # type: ignore[attr-defined] # it brings llama_cpp in
from .pair_cache import CHUNK, PairCache


def draft_vocabulary(header: Header, path: Path, size: int) -> Shared | None:
    """The tokens, of the expert's `size`, that a head with a smaller vocabulary proposes; None where it proposes any.
    Raises IntegrityError where the file names others."""
    tensor = next((each for each in header.tensors if each.name == "d2t"), None)
    if tensor is None:
        return None
    count = tensor.shape[0]
    with path.open("rb") as file:
        file.seek(tensor.offset)
        ids = np.frombuffer(file.read(8 * count), dtype="<i8")
    if tensor.type_name != "I64" or len(ids) != count or not ((ids >= 0) & (ids < size)).all():
        raise IntegrityError(f"{path} is damaged: d2t does not name tokens of its expert")
    entries = ids.astype(np.int32)
    return Shared(size, count, entries, entries, whole=True)


class Eagle3:
    """A `HeadModel` over the states of three layers of an expert."""

    def __init__(self, weights: LlamaWeights, expert: object, width: int, length: int, threads: int) -> None:
        """`expert`: its llama_context, from which a file without them takes embeddings and output layer. `width`: of a
        row of its states. Raises DoesNotFit, Unavailable."""
        self.size: int = api.llama_model_n_embd(weights.model)
        self.cache = PairCache(weights, length, self.size, threads, ctx_other=expert)
        self._own = np.zeros((1, self.size), dtype=np.float32)
        self._features = api.llama_batch_init(CHUNK, width, 1)
        self._features_in = np.ctypeslib.as_array(self._features.embd, shape=(CHUNK, width))
        self._positions = np.ctypeslib.as_array(self._features.pos, shape=(CHUNK,))
        for i in range(CHUNK):
            self._features.n_seq_id[i], self._features.seq_id[i][0] = 1, 0

    def close(self) -> None:
        api.llama_batch_free(self._features)
        self.cache.close()

    def __len__(self) -> int:
        return len(self.cache)

    def extend(self, tokens: Sequence[int], states: Floats | None) -> Floats:
        cache, began = self.cache, self.cache.clock()
        try:
            for at in range(0, len(tokens), CHUNK):
                part = tokens[at : at + CHUNK]
                fused = self._own if states is None else self._fuse(states[at : at + CHUNK])
                cache.decode(part, fused, outputs=at + CHUNK >= len(tokens))
            last = (len(tokens) - 1) % CHUNK
            row = cache.row(last)
            self._own = cache.own_states(last + 1, self.size)[last:].copy()
            return row
        finally:
            cache.timed(len(tokens), began)

    def _fuse(self, states: Floats) -> Floats:
        """What the encoder makes of the expert's states, (rows, size); a copy."""
        n, first = len(states), len(self.cache)
        self._features.n_tokens = n
        self._features_in[:n] = states
        self._positions[:n] = range(first, first + n)  # not looked at, but they must follow the cache's
        code = api.llama_encode(self.cache.ctx, self._features)
        if code == 2:
            raise Stopped("stopped")
        if code:
            raise NativeError(f"llama_encode failed with code {code}: {log_tail()}")
        return self.cache.own_states(n, self.size).copy()

    def truncate(self, length: int) -> None:
        self.cache.truncate(length)

    def mark(self) -> None:
        """Needs nothing: its cache goes back anywhere."""

    def use_threads(self, threads: int) -> None:
        self.cache.use_threads(threads)

    def use_clock(self, clock: Callable[[], float]) -> None:
        self.cache.use_clock(clock)

    @property
    def seconds(self) -> float:
        return self.cache.seconds

    @property
    def context(self) -> int:
        return self.cache.context

    @property
    def threads(self) -> int:
        return self.cache.threads

    @property
    def evaluated(self) -> int:
        return self.cache.evaluated

    @property
    def prefill_token(self) -> float:
        return self.cache.prefill_token
