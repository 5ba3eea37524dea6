"""An MTP head (llama.cpp: LLM_GRAPH_TYPE_DECODER_MTP): layers behind a model's own, in its file or in one beside it,
that read the state behind the model's last layer together with the token that came next."""

from collections.abc import Sequence

import numpy as np

from ...decoding.sampling import Floats
from ...decoding.snapshot import Snapshot
from ..llama import LlamaContext, LlamaWeights, api  # type: ignore[attr-defined] # it brings llama_cpp in
from .pair_cache import CHUNK, PairCache


class Mtp(PairCache):
    """A `HeadModel` over the state behind the last layer of an expert.

    A single layer drafts on by itself. Of several, each writes one token of a draft: it reads all pairs that the expert
    gave, and of the draft its own reading of those before it (llama.cpp: common/speculative.cpp, chain_heads).
    """

    def __init__(self, weights: LlamaWeights, expert: LlamaContext, length: int) -> None:
        """`weights`: loaded with these layers. Raises DoesNotFit, Unavailable."""
        super().__init__(weights, expert, length, ctx_type=api.LLAMA_CONTEXT_TYPE_MTP)
        self.layers: int = api.llama_model_n_layer_nextn(weights.model)
        self._given = 0  # pairs with states of the expert
        self._drafted: list[int] = []
        self._own = [np.zeros(self.width, dtype=np.float32)]  # states: behind the last given pair, and each drafted one

    def extend(self, tokens: Sequence[int], states: Floats | None) -> Floats:
        began = self.clock()
        try:
            if states is None:
                return self._draft(tokens[0])
            for at in range(0, len(tokens), CHUNK):
                part = slice(at, at + CHUNK)
                self._read(tokens[part], states[part], last=at + CHUNK >= len(tokens))
            self._own = []
            return self._row((len(tokens) - 1) % CHUNK)
        finally:
            self.timed(len(tokens), began)

    def _read(self, tokens: Sequence[int], states: Floats, last: bool) -> None:
        """With every layer, the first last: its row is wanted."""
        before, self._drafted = len(self), []
        del self._own[1:]
        for layer in reversed(range(self.layers)):
            try:
                super().truncate(before)
                self._choose(layer)
                self.decode(tokens, states, outputs=last and layer == 0)
            except Exception:
                super().truncate(before)  # what another layer read is not the first one's
                raise
        self._given = len(self)

    def _draft(self, token: int) -> Floats:
        """Go on with the state of the step before."""
        tokens, states = [token], self._own[-1:]
        if self.layers > 1:
            tokens, states = [*self._drafted, token], self._own
            super().truncate(self._given)
            self._choose(min(len(tokens), self.layers - 1))
        try:
            self.decode(tokens, np.stack(states), outputs=True)
        except Exception:
            self.truncate(self._given)  # a draft that is half there has no states of its own to go on from
            raise
        self._drafted.append(token)
        return self._row(len(tokens) - 1)

    def _row(self, i: int) -> Floats:
        """Behind pair i of the last call, whose state is kept."""
        row = self.row(i)
        self._own.append(self.own_states(i + 1)[i].copy())
        return row

    def _choose(self, layer: int) -> None:
        if self.layers > 1:
            self._symbols.choose_layer(self.ctx, layer)

    def put_back(self, snapshot: Snapshot) -> None:
        super().put_back(snapshot)
        self._given = len(self)

    def truncate(self, length: int) -> None:
        super().truncate(length)
        self._given = min(self._given, length)
        del self._drafted[length - self._given :]
        del self._own[1 + length - self._given :]
