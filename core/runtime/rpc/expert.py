"""An expert whose layers are on workers, as a backend: its vocabulary is here, its caches are those of a process.

llama.cpp ends the process where a worker goes away. What it held is then lost, and told so: the answer ends with
WorkerLost, the caches here hold nothing, and the next call that reads starts another process.
"""

import math
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...decoding.answer import Lexicon
from ...decoding.sampling import Floats
from ...decoding.snapshot import Snapshot
from ...errors import CannotPair, ContextFull, NativeError, SpeccasError, WorkerLost
from ...files.source import HERE, Source
from ...files.workers import addresses
from ...machine.fit import CPU_CHUNK, Footprint
from ..backend import ModelFile
from ..llama import MANY, LlamaBackend, LlamaWeights, physical_cores
from ..stop import StopFlag
from .library import require_rpc, version
from .pipe import FLOAT, SharedMemory
from .process import ExpertProcess, ProcessEnded
from .wire import WorkerFacts, find_workers, listens

NOTHING: Floats = np.empty((0, 0), dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class RemoteCopy:
    """A copy of what a cache held, in the process that it was made in."""

    number: int
    generation: int


class RpcBackend:
    """GGUF files through llama.cpp, on workers. The file itself is here: its weights travel when it is loaded."""

    def __init__(self) -> None:
        self.local = LlamaBackend()

    def open(self, source: Source, pull: str = "") -> ModelFile:
        return replace(
            self.local.open(source, pull), workers=addresses(source.rpc), output_here=source.rpc_output == HERE
        )

    def footprint(self, file: ModelFile, max_rows: int, gpu_layers: int, stretch: float) -> Footprint:
        return Footprint(
            file.header,
            file.bytes,
            max_rows,
            CPU_CHUNK,
            mapped=True,
            gpu_layers=gpu_layers,
            stretch=stretch,
            elsewhere=True,
            output_here=file.output_here,
        )

    def free_gpu_bytes(self) -> int | None:
        return None

    def free_worker_bytes(self, file: ModelFile) -> int:
        """Raises NoRpc and NoWorker too."""
        require_rpc()
        return sum(each.free for each in find_workers(file.workers, version()))

    def load(
        self,
        file: ModelFile,
        gpu_layers: int = -1,
        stop: StopFlag | None = None,
        on_load: Callable[[float], None] | None = None,
    ) -> "RemoteWeights":
        """Raises NoRpc, NoWorker, Unavailable, WorkerLost too."""
        return RemoteWeights(file, gpu_layers, StopFlag() if stop is None else stop, on_load)


class RemoteWeights:
    """A model on workers; contexts over it are caches of one process, which is started anew where it was lost."""

    def __init__(
        self, file: ModelFile, gpu_layers: int, stop: StopFlag, on_load: Callable[[float], None] | None
    ) -> None:
        require_rpc()
        self.file = file
        self.gpu_layers = gpu_layers
        self.stop = stop
        self._open = ExitStack()
        self._made = 0  # contexts and copies
        self._dropped: list[int] = []  # copies that nobody wants any more
        self._process: ExpertProcess | None = None
        self._loaded = False
        self.generation = 0
        """Of how many processes the last one is."""
        self.found: tuple[WorkerFacts, ...] = ()
        """The workers as they answered before the last load."""
        self._open.callback(self._end)
        self.limited = False
        try:
            self.begin(on_load)
            self.vocabulary = LlamaWeights(file, 0, stop, None, vocabulary_only=True)
            self._open.callback(self.vocabulary.close)
        except BaseException:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        return self._process is not None

    @property
    def process(self) -> int | None:
        """The number of the process that holds the model; None where it is gone."""
        return None if self._process is None else self._process.process

    @property
    def trip(self) -> float:
        """Seconds of a round trip to every worker, one after another, as a call makes it."""
        return sum(each.trip for each in self.found)

    def begin(self, on_load: Callable[[float], None] | None = None) -> None:
        """Start a process and load the model on the workers, where there is none."""
        if self._process is not None:
            return
        self.found = find_workers(self.file.workers, version())
        self._process = ExpertProcess(self.stop)
        self.generation += 1
        self._dropped, self._loaded = [], False
        what = {"path": str(self.file.path), "workers": self.file.workers, "layers": self.gpu_layers}
        what["output_here"] = self.file.output_here
        try:
            found = self.ask({"do": "load", **what, "flag": self._process.flag}, on_load)
        except SpeccasError:
            self._end()
            raise
        self._loaded = True
        self.limited, self.size = bool(found["limited"]), int(found["size"])

    def ask(self, message: dict[str, Any], on_load: Callable[[float], None] | None = None) -> dict[str, Any]:
        """Raises WorkerLost, and whatever the process raises."""
        process = self._process
        if process is None:
            raise WorkerLost("the process of the expert is gone")
        drop, self._dropped = self._dropped, []
        try:
            return process.ask({**message, "drop": drop}, on_load)
        except BaseException as error:
            if process.ended:
                self._process = None
            if isinstance(error, ProcessEnded):
                raise self._lost(str(error)) from None
            raise

    def _lost(self, words: str) -> WorkerLost:
        gone = [each for each in self.file.workers if not listens(each)]
        names = " and ".join(gone or self.file.workers)
        what = "is gone" if gone else "ended the connection"
        why = "" if gone or not words else f" ({words})"
        if not self._loaded:
            return WorkerLost(f"the worker at {names} {what} while it was sent the model{why}", gone=gone)
        return WorkerLost(
            f"the worker at {names} {what}{why}, and with it what it had read",
            "ask again once it is there: everything is read anew",
            gone=gone,
        )

    def number(self) -> int:
        self._made += 1
        return self._made

    def drop(self, copy: int, generation: int) -> None:
        """Nobody wants this copy any more; the process hears of it with the next request."""
        if generation == self.generation:
            self._dropped.append(copy)

    def context(
        self, length: int, max_rows: int, threads: int | None = None, states: Sequence[int] = ()
    ) -> "RemoteContext":
        if states:
            raise CannotPair(
                "a head reads the expert's hidden states, and no worker sends those",
                "take a drafter that is a model, or an expert that is here",
            )
        made = RemoteContext(self, length, max_rows, threads or physical_cores())
        self._open.callback(made.close)
        return made

    def tokenize(self, text: str, *, special: bool, begin: bool = False, inside: bool = False) -> list[int]:
        return self.vocabulary.tokenize(text, special=special, begin=begin, inside=inside)

    def lexicon(self) -> Lexicon:
        return self.vocabulary.lexicon()

    def _end(self) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None

    def close(self) -> None:
        """End the process, and free the vocabulary."""
        self._open.close()


class RemoteContext:
    """A cache of the process. It is cut with the next request, so cutting costs nothing and fails never."""

    states: Floats | None = None
    states_width = 0

    def __init__(self, weights: RemoteWeights, length: int, max_rows: int, threads: int) -> None:
        """Raises DoesNotFit, WorkerLost."""
        self.weights = weights
        self.context = length
        self.max_rows = max_rows
        self.threads = threads
        self.clock: Callable[[], float] = time.perf_counter
        self.seconds = 0.0
        self.evaluated = 0
        self.prefill_token = math.inf
        self._length = 0
        self._cut = False  # whether the process holds more
        self._number = 0
        self._generation = 0
        self._shared: SharedMemory | None = None
        self._rows: Floats = NOTHING
        self._begin()

    @property
    def _here(self) -> bool:
        """Whether the process that has this cache is there."""
        return self.weights.alive and self._generation == self.weights.generation

    def _begin(self) -> None:
        """A cache of the process that is there now, empty; where it is another one than before, a new one."""
        self.weights.begin()
        if self._here:
            return
        self.close()
        self._length, self._cut = 0, False
        size = max(1, self.max_rows) * self.weights.size * FLOAT
        shared = SharedMemory(size=size)
        number = self.weights.number()
        try:
            self.weights.ask({
                "do": "context", "number": number, "length": self.context, "rows": self.max_rows,
                "threads": self.threads, "path": shared.path,
            })  # fmt: skip
        except BaseException:
            shared.close()
            raise
        shared.unlink()
        self._shared, self._rows = shared, shared.rows(self.weights.size)
        self._number, self._generation = number, self.weights.generation

    def _ask(self, do: str, **what: Any) -> dict[str, Any]:
        """Raises what the process raises; the length is then what it holds."""
        cut = {"cut": self._length} if self._cut else {}
        try:
            found = self.weights.ask({"do": do, "number": self._number, **cut, **what})
        except SpeccasError as error:
            here = self._here
            self._length = int(error.facts.get("length", self._length)) if here else 0
            self.evaluated += int(error.facts.get("evaluated", 0))
            self._cut = False
            raise
        self._length, self._cut = int(found["length"]), False
        self.evaluated += int(found["evaluated"])
        return found

    def use_threads(self, threads: int) -> None:
        """Of what this machine computes; a worker has its own."""
        self.threads = threads
        if self._here:
            with suppress(WorkerLost):
                self._ask("use_threads", threads=threads)

    def use_clock(self, clock: Callable[[], float]) -> None:
        self.clock = clock

    def __len__(self) -> int:
        if not self._here:
            self._length = 0
        return self._length

    def extend(self, ids: Sequence[int], rows: int = 1) -> Floats:
        """Raises WorkerLost, and where the process has to be started, NoWorker and Unavailable."""
        if not rows <= min(self.max_rows, len(ids)):
            raise ValueError(f"{rows} rows of {len(ids)} tokens, at most {self.max_rows}")
        if self._length + len(ids) > self.context:
            raise ContextFull(f"the context of {self.context} tokens is full")
        if not self._here:
            self._anew()
        began = self.clock()
        try:
            self._ask("extend", ids=list(map(int, ids)), rows=rows)
            if not rows and len(ids) >= MANY:
                self.prefill_token = min(self.prefill_token, (self.clock() - began) / len(ids))
        finally:
            self.seconds += self.clock() - began
        return self._rows[:rows]

    def _anew(self) -> None:
        """Start another process. What was read is gone, so this can only be the beginning of a text."""
        lost, self._length = self._length, 0
        self._begin()
        if lost:  # and nobody has asked since how much is left
            raise WorkerLost("what the expert had read was lost with its worker", "ask again", gone=[])

    def truncate(self, length: int) -> None:
        if length < self._length:
            self._length, self._cut = length, True

    def mark(self) -> None:
        """A lost worker is told of by the next call that reads."""
        if self.weights.limited and self._length and self._here:
            with suppress(WorkerLost):
                self._ask("mark")

    def reach(self, length: int) -> int:
        if not self.weights.limited or not self._here:
            return min(length, self._length)
        return int(self._ask("reach", length=length)["reach"])

    @property
    def snapshot_bytes(self) -> int:
        return int(self._ask("snapshot_bytes")["bytes"]) if self._here else 0

    def snapshot(self) -> Snapshot:
        """The copy stays with the process, and is lost with it."""
        copy = RemoteCopy(self.weights.number(), self._generation)
        found = self._ask("snapshot", copy=copy.number)
        weakref.finalize(copy, self.weights.drop, copy.number, copy.generation).atexit = False
        places = found["places"]
        return Snapshot(self._length, copy, int(found["bytes"]), None if places is None else tuple(places))

    def put_back(self, snapshot: Snapshot) -> None:
        copy = snapshot.data
        if not self._here or copy.generation != self._generation:
            self.truncate(0)
            raise NativeError("the copy of the expert's cache was lost with its worker")
        self._ask("put_back", copy=copy.number)

    def close(self) -> None:
        """Free the rows; the process frees the cache when it ends."""
        self._rows = NOTHING
        if self._shared is not None:
            self._shared.close()
            self._shared = None
