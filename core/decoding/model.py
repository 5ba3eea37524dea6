"""The two seams of the engine: a language model, and a source of drafts. Nothing else is known of either.

`llama.py` implements the first for GGUF files, `table.py` for a table of numbers (tests, simulated machines).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from .sampling import Distribution, Floats

Mark = object
"""What `LanguageModel.mark` returns: only the model that made it can read it."""


class LanguageModel(Protocol):
    """A model with a cache of the tokens it has read, addressed by position."""

    max_rows: int
    """Most rows one `extend` may return; fixed at load (llama.cpp: n_outputs_max)."""
    rollback: int | None
    """How many tokens `truncate` may take back after the last `extend`; None is any number."""
    seconds: float
    """Time spent inside the model so far: evaluating and fetching rows. Grows only."""

    def __len__(self) -> int:
        """How many tokens the cache holds."""

    def extend(self, ids: Sequence[int], rows: int = 1) -> Floats:
        """Read `ids`; return the logits after the last `rows` of them, float32 (rows, vocabulary).

        The array is a view that the next `extend` overwrites. `rows=0` only catches up.
        Raises ValueError when rows > max_rows, ContextFull, Stopped; after the last two `len()` is a
        true prefix of what was there and `ids`.
        """

    def truncate(self, length: int) -> None:
        """Forget all but the first `length` tokens. Raises RollbackRefused."""

    def mark(self) -> Mark:
        """Remember this state: a length, or for a recurrent model a copy of its state."""

    def restore(self, mark: Mark) -> None:
        """Go back to a marked state. Raises RollbackRefused."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a drafter thinks comes next, over the expert's ids."""

    q1: Distribution
    """At temperature 1 and not renormalised: mass on tokens the expert lacks counts as doubt."""
    mass: float = 1.0
    """Share of the drafter's probability that lies on tokens of the expert."""


class Drafter(Protocol):
    """Where drafts come from. Speaks the expert's token ids whatever its own vocabulary is."""

    @property
    def seconds(self) -> float:
        """Time spent inside the drafter's model so far."""

    def follow(self, committed: Sequence[int]) -> None:
        """Make `committed` what comes before the next proposal; keeps as much of its cache as it can."""

    def next(self) -> Proposal | None:
        """The distribution of the token after what it follows and was pushed; None when it has no room."""

    def push(self, token: int) -> None:
        """Go on as if `token` (an expert id) came next."""
