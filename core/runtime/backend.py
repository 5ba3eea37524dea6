"""The seam to an engine that runs models: llama.cpp is one, a table of numbers another.

A backend opens a file (what it says, without loading), loads its weights, and makes contexts over them; several
contexts may share weights.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..conversation.tokenize import Tokenizer
from ..decoding.answer import Lexicon
from ..decoding.drafts.chain import Inner
from ..decoding.drafts.head import HeadModel
from ..decoding.length.constants import CONSTANTS
from ..decoding.model import LanguageModel
from ..decoding.snapshot import Snapshot
from ..files.source import Source
from ..headers.gguf import Header
from ..machine.fit import Footprint
from .stop import StopFlag

ROLES = ("drafter", "expert")
MAX_DRAFT = CONSTANTS.longest_draft  # the expert's rows are reserved for a whole draft

INNER = Inner()

OnLoad = Callable[[str, float], None]
"""Hears the role that is being loaded and the share of it that is."""


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a pair is loaded. `ctx` in tokens: 0 is the largest that fits, None the smaller trained length, at most
    4096. `threads` None: one for each physical core. Layers on a GPU: -1 is all."""

    ctx: int | None = None
    threads: int | None = None
    gpu_layers: int = -1
    drafter_gpu_layers: int = -1
    memory_check: bool = True
    """Whether a pair that seems not to fit is refused."""
    inner: Inner = INNER
    """Of a chain: how its drafter judges what the first one drafts."""

    def layers(self, role: str) -> int:
        return self.gpu_layers if role == "expert" else self.drafter_gpu_layers


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model that a server runs. `context` in tokens, 0 where it does not say."""

    url: str
    api: str
    """Of which kind the server is."""
    name: str
    context: int

    def __str__(self) -> str:
        return f"{self.api} at {self.url}"


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model as its file describes it. `bytes` counts every part of a split one."""

    path: Path
    header: Header
    bytes: int
    modified_ns: int = 0
    """When the file was changed last; with its name and size it stands for its content."""
    inside: bool = False
    """Whether it is the head in the expert's file: it has no weights of its own to load. `header` and `bytes` are of
    the head alone."""
    with_head: bool = False
    """Whether the head in it is loaded too."""
    workers: tuple[str, ...] = ()
    """Where its layers go: HOST:PORT of each worker; none where they stay here."""
    output_here: bool = False
    """Whether the output layer stays here all the same."""
    server: ServedModel | None = None
    """What runs it, where that is no file of this machine: `path` is its name then, `header` has the drafter's
    vocabulary and no weights, and `bytes` are none."""


class Costs(Protocol):
    """What a cache over loaded weights says of what it costs."""

    @property
    def context(self) -> int:
        """Positions that the cache has."""

    @property
    def threads(self) -> int:
        """Threads that it computes with."""

    @property
    def evaluated(self) -> int:
        """Tokens read since it was made."""

    @property
    def prefill_token(self) -> float:
        """Least seconds a token of those that were read many together; infinite before any were."""

    def use_threads(self, threads: int) -> None:
        """Compute with so many from the next call on."""

    def use_clock(self, clock: Callable[[], float]) -> None:
        """Count `seconds` by this clock from the next call on."""

    @property
    def snapshot_bytes(self) -> int:
        """About how much a snapshot would take now; more than any bound where none can be made."""

    def snapshot(self) -> Snapshot:
        """A copy of what it holds."""

    def put_back(self, snapshot: Snapshot) -> None:
        """Hold what it held when the snapshot was taken, and nothing else. Raises NativeError; it holds nothing
        then."""


class Context(LanguageModel, Costs, Protocol):
    """A cache over loaded weights: a language model."""

    def reach(self, length: int) -> int:
        """How many of its first `length` tokens need not be read again when it is cut there."""


class HeadContext(HeadModel, Costs, Protocol):
    """A head over an expert's states: what drafts from them."""

    def mark(self) -> None:
        """As `LanguageModel.mark`."""

    def close(self) -> None:
        """Free the cache."""


class Weights(Tokenizer, Protocol):
    """Loaded weights with their vocabulary. Tokenises; makes contexts."""

    def context(self, length: int, max_rows: int, threads: int | None = None, states: Sequence[int] = ()) -> Context:
        """A cache of `length` positions whose calls return at most `max_rows` rows, and the hidden states at the input
        of these layers; the number of all layers is what is behind the last. Raises DoesNotFit, Unavailable."""

    def lexicon(self) -> Lexicon:
        """Bytes of each token, and which tokens end an answer."""

    def close(self) -> None:
        """Free the weights and every context over them."""


class Backend(Protocol):
    """Opens, sizes and loads models."""

    def open(self, source: Source, pull: str = "") -> ModelFile:
        """Find a model on this machine and read what it says of itself; nothing is loaded. `pull`: the name of the pair
        to pull where the model is not here. Raises Unavailable, UsageError, IntegrityError, CannotPair."""

    def footprint(self, file: ModelFile, max_rows: int, gpu_layers: int, stretch: float) -> Footprint:
        """What its memory depends on once it is loaded. `stretch`: its context in terms of the pair's."""

    def free_gpu_bytes(self) -> int | None:
        """Free memory of the GPUs that it uses; None where it uses none."""

    def free_worker_bytes(self, file: ModelFile) -> int:
        """Free memory of the workers that a model's layers go to, asked now. Raises Unavailable."""

    def load(
        self, file: ModelFile, gpu_layers: int, stop: StopFlag, on_load: Callable[[float], None] | None
    ) -> Weights:
        """Load the weights; `on_load` hears the share that is loaded. Raises CannotPair, NativeError, Stopped."""
