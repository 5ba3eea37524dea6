"""An EAGLE-3 head (llama.cpp: src/models/eagle3.cpp): an encoder that fuses the expert's states, and a decoder of one
layer over pairs of a token and what was fused."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...decoding.sampling import Floats, Shared
from ...errors import IntegrityError, NativeError, Stopped
from ...headers.gguf import Header
from ..llama import LlamaContext, LlamaWeights, api, log_tail  # type: ignore[attr-defined] # it brings llama_cpp in
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


class Eagle3(PairCache):
    """A `HeadModel` over the states of three layers of an expert."""

    def __init__(self, weights: LlamaWeights, expert: LlamaContext, length: int) -> None:
        """A file without them takes embeddings and output layer from `expert`. Raises DoesNotFit, Unavailable."""
        super().__init__(weights, expert, length, api.llama_model_n_embd(weights.model), ctx_other=expert.ctx)
        self._own = np.zeros((1, self.width), dtype=np.float32)
        self._features = api.llama_batch_init(CHUNK, expert.states_width, 1)
        self._open.callback(api.llama_batch_free, self._features)
        self._features_in = np.ctypeslib.as_array(self._features.embd, shape=(CHUNK, expert.states_width))
        self._features_at = np.ctypeslib.as_array(self._features.pos, shape=(CHUNK,))
        for i in range(CHUNK):
            self._features.n_seq_id[i], self._features.seq_id[i][0] = 1, 0

    def extend(self, tokens: Sequence[int], states: Floats | None) -> Floats:
        began = self.clock()
        try:
            for at in range(0, len(tokens), CHUNK):
                part = tokens[at : at + CHUNK]
                fused = self._own if states is None else self._fuse(states[at : at + CHUNK])
                self.decode(part, fused, outputs=at + CHUNK >= len(tokens))
            last = (len(tokens) - 1) % CHUNK
            row = self.row(last)
            self._own = self.own_states(last + 1)[last:].copy()
            return row
        finally:
            self.timed(len(tokens), began)

    def _fuse(self, states: Floats) -> Floats:
        """What the encoder makes of the expert's states, (rows, width); a copy."""
        n, first = len(states), len(self)
        self._features.n_tokens = n
        self._features_in[:n] = states
        self._features_at[:n] = range(first, first + n)  # not looked at, but they must follow the cache's
        code = api.llama_encode(self.ctx, self._features)
        if code == 2:
            raise Stopped("stopped")
        if code:
            raise NativeError(f"llama_encode failed with code {code}: {log_tail()}")
        return self.own_states(n).copy()
