"""An MTP head (llama.cpp: LLM_GRAPH_TYPE_DECODER_MTP): a layer behind a model's own, in its file or in one beside it,
that reads the state behind the model's last layer together with the token that came next."""

from collections.abc import Sequence

import numpy as np

from ...decoding.sampling import Floats
from ..llama import LlamaWeights, api  # type: ignore[attr-defined] # it brings llama_cpp in
from .pair_cache import CHUNK, PairCache


class Mtp(PairCache):
    """A `HeadModel` over the state behind the last layer of an expert. Of several such layers it runs the first."""

    def __init__(self, weights: LlamaWeights, width: int, length: int, threads: int) -> None:
        """`weights`: loaded with these layers. `width` of a state of the expert. Raises DoesNotFit, Unavailable."""
        super().__init__(weights, length, width, threads, gathers=True, ctx_type=api.LLAMA_CONTEXT_TYPE_MTP)
        self._own = np.zeros((1, width), dtype=np.float32)

    def extend(self, tokens: Sequence[int], states: Floats | None) -> Floats:
        began = self.clock()
        try:
            for at in range(0, len(tokens), CHUNK):
                given = self._own if states is None else states[at : at + CHUNK]
                self.decode(tokens[at : at + CHUNK], given, outputs=at + CHUNK >= len(tokens))
            last = (len(tokens) - 1) % CHUNK
            row = self.row(last)
            self._own = self.own_states(last + 1, self.width)[last:].copy()
            return row
        finally:
            self.timed(len(tokens), began)

    def mark(self) -> None:
        """Needs nothing: its cache goes back anywhere."""
