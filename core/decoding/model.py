"""The seam to a language model: a cache of tokens that is read on and cut back.

`runtime/llama.py` implements it for GGUF files, with `rewind.py` where a model's memory takes back little;
`table.py` for a table of numbers (tests, simulated machines).
"""

from collections.abc import Sequence
from typing import Protocol

from .sampling import Distribution, Floats

Rows = Floats | Sequence[Distribution]
"""Logits, float32 (rows, vocabulary); or, of an expert that sends only some numbers, distributions that raise where
one is asked for that was not sent. `sampling.distribution` reads either."""


class LanguageModel(Protocol):
    """A model with a cache of the tokens it has read, addressed by position."""

    max_rows: int
    """Most rows one `extend` may return; fixed at load (llama.cpp: n_outputs_max)."""

    @property
    def states(self) -> Floats | None:
        """Hidden states (tokens, width) behind each token of the last `extend`, where it was made to give them: those
        of all layers that were asked for, side by side. A view that the next `extend` overwrites."""

    @property
    def seconds(self) -> float:
        """Time spent inside the model so far: evaluating, fetching rows, copying its state. Grows only."""

    def __len__(self) -> int:
        """How many tokens the cache holds."""

    def extend(self, ids: Sequence[int], rows: int = 1) -> Rows:
        """Read `ids`; return what the model predicts after the last `rows` of them.

        A dense array is a view that the next `extend` overwrites. `rows=0` only catches up.
        Raises ValueError when rows > max_rows, ContextFull, Stopped; after the last two `len()` is a
        true prefix of what was there and `ids`.
        """

    def truncate(self, length: int) -> None:
        """Forget all but the first `length` tokens: any length, whatever it costs. A model whose memory takes back
        little (recurrent, hybrid) reads some of them again with the next `extend`."""

    def mark(self) -> None:
        """Going back to here will cost little from now on: such a model keeps a copy of its state, others need none.
        Raises Stopped, ContextFull."""
