"""Gemma 4's assistant (llama.cpp: src/models/gemma4-assistant.cpp): a few layers that attend to the expert's own cache.

It has no cache to fill or to cut. Each token of a draft stands at the same position, the one behind all that the expert
has read (transformers: docs, gemma4_assistant).
"""

from collections.abc import Sequence

import numpy as np

from ...decoding.sampling import Floats
from ...decoding.snapshot import Snapshot
from ...errors import ContextFull
from ..llama import LlamaContext, LlamaWeights
from .pair_cache import PairCache


class Assistant(PairCache):
    """A `HeadModel` over the cache of an expert and the state behind its last layer. A pair that it has read leaves
    nothing behind, so it only counts them."""

    def __init__(self, weights: LlamaWeights, expert: LlamaContext, length: int) -> None:
        """Raises DoesNotFit, Unavailable."""
        super().__init__(weights, expert, length, ctx_other=expert.ctx)
        self.expert = expert
        self._pairs = 0
        self._own = np.zeros((1, self.width), dtype=np.float32)

    def __len__(self) -> int:
        return self._pairs

    def extend(self, tokens: Sequence[int], states: Floats | None) -> Floats:
        """The row is true where the expert has read all tokens of the text but the last; llama.cpp lets no other
        position be asked for."""
        began = self.clock()
        if self._pairs + len(tokens) > self.context:
            raise ContextFull(f"the context of {self.context} tokens is full")
        try:
            super().truncate(0)
            given = self._own if states is None else states[-1:]
            self.decode(tokens[-1:], given, outputs=True, position=len(self.expert))
            self._pairs += len(tokens)
            self._own = self.own_states(1).copy()
            return self.row(0)
        finally:
            self.timed(1, began)

    @property
    def snapshot_bytes(self) -> int:
        return 0  # its expert says whether there can be one

    def snapshot(self) -> Snapshot:
        """Nothing: what it reads is in the expert's cache."""
        return Snapshot(self._pairs, None, 0)

    def put_back(self, snapshot: Snapshot) -> None:
        self._pairs = snapshot.length

    def truncate(self, length: int) -> None:
        self._pairs = min(self._pairs, length)
