"""A GGUF file as a `LanguageModel`, through the low-level API of llama-cpp-python (the only import of llama_cpp).

Its traps are met here: shared memory, aborts, row limits.
"""

import contextlib
import ctypes
import itertools
import math
import os
import platform
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as api
import numpy as np

from ..decoding.answer import Lexicon
from ..decoding.rewind import Rewindable, State
from ..decoding.sampling import Floats
from ..decoding.snapshot import Snapshot
from ..errors import ContextFull, DoesNotFit, IntegrityError, NativeError, RollbackRefused, Stopped
from ..files.local import hash_file, locate, require_parts, size_of
from ..files.source import Source
from ..headers.gguf import Header, read_header
from ..headers.head_kind import HeadKind, kind_of
from ..headers.heads import require_model
from ..machine.build import require_known
from ..machine.fit import CPU_CHUNK, GPU_CHUNK, Footprint
from ..machine.memory import usable_cores
from .backend import ModelFile
from .breaks import require_breaks
from .states import HiddenStates, symbols
from .stop import StopFlag

CHECK_AT_LOAD = 64 << 20  # bytes; a larger file is hashed by `verify`, not on every start
ENDLESS = 1 << 62  # bytes; more than any bound
MANY = 32  # tokens of one extend, from which on a token costs what it does in a long prompt
GPU_TYPES = {1, 2}  # ggml-backend.h: GPU, IGPU of enum ggml_backend_dev_type
NO_MMAP, AUTO = 0, -1  # llama.h: enum llama_load_mode
PARTIAL = api.LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY  # the running state without the attention cache
OUTPUT = rb"^(output|token_embd)\.weight$"  # one table for both, where a file has no output of its own
REPACKED = {
    "x86": {"Q4_0", "Q4_K", "IQ4_NL", "MXFP4"},
    "arm": {"Q4_0", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "IQ4_NL"},
}

STRANGE = "\ue000"
"""A character that no token has, so that nothing is merged with it."""

_log: deque[str] = deque(maxlen=40)


@api.llama_log_callback  # type: ignore[untyped-decorator]
def _remember(level: int, text: bytes, _data: object) -> None:
    _log.append(text.decode("utf-8", "replace").rstrip())


_started = False


def start() -> None:
    """Bring llama.cpp up once, quietly: its log goes to memory, and its end into error messages."""
    global _started
    if not _started:
        os.environ.setdefault("GGML_NO_BACKTRACE", "1")  # an abort would call a debugger, for a hundred lines
        api.llama_log_set(_remember, ctypes.c_void_p(0))
        api.llama_backend_init()
        _started = True


def log_tail(lines: int = 3) -> str:
    """The last words of llama.cpp's log, for an error message."""
    return " | ".join(line.strip() for line in list(_log)[-lines:] if line.strip())


def system_info() -> str:
    """What this build of llama.cpp can use (llama_print_system_info)."""
    start()
    text: bytes = api.llama_print_system_info()
    return text.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU as this build of llama.cpp sees it, memory in bytes."""

    name: str
    free: int
    total: int


def devices() -> list[Device]:
    """The GPUs that this build uses, and their memory; [] where it was built for none, or does not tell."""
    start()
    if not api.llama_supports_gpu_offload():
        return []
    try:
        from llama_cpp._ggml import libggml

        device, size = ctypes.c_void_p, ctypes.c_size_t
        libggml.ggml_backend_dev_count.restype = size
        libggml.ggml_backend_dev_get.restype, libggml.ggml_backend_dev_get.argtypes = device, [size]
        libggml.ggml_backend_dev_description.restype = ctypes.c_char_p
        for name in ("ggml_backend_dev_description", "ggml_backend_dev_type"):
            getattr(libggml, name).argtypes = [device]
        libggml.ggml_backend_dev_memory.argtypes = [device, ctypes.POINTER(size), ctypes.POINTER(size)]
        libggml.ggml_backend_dev_memory.restype = None
        found = []
        for i in range(libggml.ggml_backend_dev_count()):
            each, free, total = libggml.ggml_backend_dev_get(i), size(), size()
            if libggml.ggml_backend_dev_type(each) in GPU_TYPES:
                libggml.ggml_backend_dev_memory(each, ctypes.byref(free), ctypes.byref(total))
                name = libggml.ggml_backend_dev_description(each).decode("utf-8", "replace")
                found.append(Device(name, free.value, total.value))
        return found
    except (ImportError, AttributeError):  # a private module of the binding
        return []


def fill(struct: Any, **values: Any) -> Any:
    """Set fields of a ctypes struct. ctypes takes any name silently, so a name that is no field is a bug of ours."""
    fields = {name for name, _ in struct._fields_}
    for name, value in values.items():
        if name not in fields:
            raise AttributeError(f"{type(struct).__name__} has no field {name!r} in this llama-cpp-python")
        setattr(struct, name, value)
    return struct


class TensorPlace(ctypes.Structure):
    """llama.h: llama_model_tensor_buft_override, whose fields the binding leaves out."""

    _fields_ = (("pattern", ctypes.c_char_p), ("buffer_type", ctypes.c_void_p))


def physical_cores() -> int:
    """Cores that this process may use, hyper-threads counted once where the system says."""
    usable = usable_cores()
    with contextlib.suppress(OSError):
        siblings = {
            path.read_text() for path in Path("/sys/devices/system/cpu").glob("cpu[0-9]*/topology/thread_siblings")
        }
        return max(1, min(usable, len(siblings) or usable))
    return usable


def repacked_types() -> frozenset[str]:
    """Tensor types that this build copies into another layout on this processor."""
    machine, info = "arm" if platform.machine().lower() in {"arm64", "aarch64"} else "x86", system_info()
    wide = {"Q2_K"} if machine == "x86" and "AVX512 = 1" in info else set()
    return frozenset(REPACKED[machine] | wide if "REPACK" in info else ())


def repacks(header: Header) -> bool:
    """Whether some of the file's tensors are copied into another layout: mmap would then hold those twice."""
    return any(tensor.type_name in repacked_types() for tensor in header.tensors)


def chunk_size(gpu_layers: int) -> int:
    """Tokens a decode reads at most. A build with RPC says that it offloads even where it has no GPU."""
    return GPU_CHUNK if gpu_layers and devices() else CPU_CHUNK


class LlamaBackend:
    """GGUF files through llama.cpp, in this process."""

    def open(self, source: Source, pull: str = "") -> ModelFile:
        """A small file whose hash is known is hashed; of a larger one `verify` does that."""
        path = require_parts(locate(source, pull))
        header = read_header(path)
        require_model(header, path)
        require_known(header, path)
        if source.sha256 and header.file_bytes <= CHECK_AT_LOAD:
            found = hash_file(path)
            if found != source.sha256:
                raise IntegrityError(
                    f"{path} is not the file of this pair: its SHA-256 is {found}", f"expected {source.sha256}"
                )
        return ModelFile(path, header, size_of(path), path.stat().st_mtime_ns)

    def footprint(self, file: ModelFile, max_rows: int, gpu_layers: int, stretch: float) -> Footprint:
        return Footprint(
            file.header,
            file.bytes,
            max_rows,
            chunk_size(gpu_layers),
            mapped=not repacks(file.header),
            repacked=repacked_types(),
            gpu_layers=gpu_layers if devices() else 0,
            stretch=stretch,
        )

    def free_gpu_bytes(self) -> int | None:
        gpus = devices()
        return sum(gpu.free for gpu in gpus) if gpus else None

    def free_worker_bytes(self, file: ModelFile) -> int:
        return 0

    def load(
        self,
        file: ModelFile,
        gpu_layers: int = -1,
        stop: StopFlag | None = None,
        on_load: Callable[[float], None] | None = None,
    ) -> "LlamaWeights":
        return LlamaWeights(file, gpu_layers, StopFlag() if stop is None else stop, on_load)


class LlamaWeights:
    """A loaded model and its vocabulary; contexts are made over it."""

    def __init__(
        self,
        file: ModelFile,
        gpu_layers: int,
        stop: StopFlag,
        on_load: Callable[[float], None] | None,
        elsewhere: Sequence[int] = (),
        vocabulary_only: bool = False,
        output: int | None = None,
    ) -> None:
        """`elsewhere`: devices of workers that get the layers, instead of those of this machine; `output`: the kind of
        memory that the output layer gets nevertheless; `vocabulary_only`: it tokenises, and nothing else. Raises
        CannotPair (no language model and no head), NativeError (llama.cpp's own words), Stopped."""
        start()
        require_model(file.header, file.path)
        self.path = file.path
        self.stop = stop
        # One micro-batch a decode, so an abort leaves the cache at a chunk's edge; a worker hears of none.
        self.chunk = CPU_CHUNK if elsewhere else chunk_size(gpu_layers)
        self._open = contextlib.ExitStack()
        self.model = self._load(file, gpu_layers, on_load, elsewhere, vocabulary_only, output)
        self.vocab = api.llama_model_get_vocab(self.model)
        self.size: int = api.llama_vocab_n_tokens(self.vocab)
        self.limited = bool(api.llama_model_is_recurrent(self.model) or api.llama_model_is_hybrid(self.model))
        """Whether the memory is a running state, whole or in part: it takes back little."""
        self._pieces: dict[int, bytes] = {}
        self._tokenizer = tuple(file.header.get(f"tokenizer.ggml.{key}", str, "") for key in ("model", "pre"))

    def _load(
        self,
        file: ModelFile,
        gpu_layers: int,
        on_load: Callable[[float], None] | None,
        elsewhere: Sequence[int],
        vocabulary_only: bool,
        output: int | None,
    ) -> Any:
        def progress(share: float, _data: object) -> bool:
            if on_load is not None:
                on_load(share)
            return not self.stop

        callback = api.llama_progress_callback(progress)
        params = fill(
            api.llama_model_default_params(),
            n_gpu_layers=gpu_layers,
            load_mode=NO_MMAP if repacks(file.header) and not (elsewhere or vocabulary_only) else AUTO,
            progress_callback=callback,
            vocab_only=vocabulary_only,
        )
        listed = (ctypes.c_void_p * (len(elsewhere) + 1))(*elsewhere, None)
        if elsewhere:
            fill(params, devices=ctypes.addressof(listed))
        overrides = (TensorPlace * 2)(TensorPlace(OUTPUT, output), TensorPlace(None, None))
        if output is not None:
            fill(params, tensor_buft_overrides=ctypes.addressof(overrides))
        if file.with_head or kind_of(file.header) is HeadKind.MTP:
            symbols()  # a build that lacks them cannot load these layers either
            fill(params, load_mtp=True)
        _log.clear()
        model = api.llama_model_load_from_file(os.fsencode(self.path), params)
        if not model:
            if self.stop:
                raise Stopped("stopped while loading")
            raise NativeError(
                f"llama.cpp cannot load {self.path}: {log_tail()}",
                "a newer llama-cpp-python may know this model",
            )
        self._open.callback(api.llama_model_free, model)
        return model

    def memory(
        self, length: int, max_rows: int, threads: int | None = None, states: Sequence[int] = ()
    ) -> "LlamaContext":
        """A cache that goes back as far as llama.cpp does, and not further."""
        made = LlamaContext(self, length, max_rows, threads or physical_cores(), states)
        self._open.callback(made.close)
        return made

    def context(
        self, length: int, max_rows: int, threads: int | None = None, states: Sequence[int] = ()
    ) -> "LlamaContext | Rewindable":
        made = self.memory(length, max_rows, threads, states)
        return Rewindable(made) if self.limited else made

    def close(self) -> None:
        """Free the model and every context over it. Views returned by `extend` die with them."""
        self._open.close()

    def piece(self, token: int) -> bytes:
        """Bytes of a token, of a control token its text (llama_token_to_piece, special = true)."""
        if token not in self._pieces:
            for size in (64, 65536):
                buffer = ctypes.create_string_buffer(size)
                length = api.llama_token_to_piece(self.vocab, token, buffer, size, 0, True)
                if length >= 0:
                    self._pieces[token] = buffer.raw[:length]
                    break
        return self._pieces[token]

    def lexicon(self) -> Lexicon:
        ends: dict[int, bool] = {}

        def end(token: int) -> bool:
            if token not in ends:
                ends[token] = bool(api.llama_vocab_is_eog(self.vocab, token))
            return ends[token]

        return Lexicon(self.piece, end)

    def tokenize(self, text: str, *, special: bool, begin: bool = False, inside: bool = False) -> list[int]:
        """Ids of a text. `special`: spellings of control tokens become those tokens; `begin`: put BOS before it where
        the model wants one and the text has none; `inside`: it goes on from other text. An EOS that a file asks for
        behind every text is not put behind a prompt: the answer would begin after the end."""
        if inside and self._leads:
            head, ids = self._ids(STRANGE, special), self._ids(STRANGE + text, special)
            return ids[len(head) :] if ids[: len(head)] == head else ids
        ids, first = self._ids(text, special), api.llama_vocab_bos(self.vocab)
        add = begin and first >= 0 and api.llama_vocab_get_add_bos(self.vocab) and ids[:1] != [first]
        return [first, *ids] if add else ids

    @cached_property
    def _leads(self) -> bool:
        """Whether llama_tokenize puts a blank before a text, as SentencePiece does."""
        return b"".join(map(self.piece, self._ids(STRANGE, False)))[:1] == b" "

    def _ids(self, text: str, special: bool) -> list[int]:
        """llama_tokenize. Raises UsageError for what it would crash at."""
        require_breaks(text, *self._tokenizer)
        data = text.encode("utf-8", "replace")
        room = len(data) + 8
        for size in itertools.count():
            buffer = (api.llama_token * room)()
            count = api.llama_tokenize(self.vocab, data, len(data), buffer, room, False, special)
            if count >= 0:
                return list(buffer[:count])
            if size:
                raise NativeError(f"llama_tokenize failed with {count}")
            room = -count
        raise AssertionError


class LlamaContext:
    """One context with one sequence over a model's weights. See `LanguageModel` for the contract of each method, and
    `LimitedModel` where the model's memory is limited."""

    def __init__(
        self, weights: LlamaWeights, length: int, max_rows: int, threads: int, states: Sequence[int] = ()
    ) -> None:
        """`states`: layers whose input each call is to give, as `HiddenStates`. Raises DoesNotFit, Unavailable."""
        self.weights = weights
        self.context = length
        self.max_rows = max_rows
        self.clock: Callable[[], float] = time.perf_counter
        self.seconds = 0.0
        self.evaluated = 0
        self.prefill_token = math.inf
        self.stop = weights.stop
        self.threads = threads
        self.chunk = weights.chunk
        self._length = 0
        self._open = contextlib.ExitStack()
        self.ctx = self._context()
        self.memory = api.llama_get_memory(self.ctx)
        self._handed = HiddenStates(self.ctx, weights.model, states) if states else None
        self._batch()
        self.rollback: int | None = int(api.llama_n_rs_seq(self.ctx)) if weights.limited else None
        self._back = 0  # tokens that may be taken back now, of a limited memory
        self._lost = False  # whether a decode that failed left a state that nobody knows
        self._states: weakref.WeakSet[State] = weakref.WeakSet()  # copies that can be restored
        self._row_address = 0
        self._rows: Floats = np.empty((0, weights.size), dtype=np.float32)

    def _context(self) -> Any:
        params = fill(
            api.llama_context_default_params(),
            n_ctx=self.context,
            n_batch=self.chunk,
            n_ubatch=self.chunk,
            n_seq_max=1,
            n_outputs_max=self.max_rows,
            swa_full=True,  # a cache of the window alone goes back no further than it is long
            n_rs_seq=self.max_rows - 1 if self.weights.limited else 0,
            n_threads=self.threads,
            n_threads_batch=self.threads,
            abort_callback=self.stop.callback,
            abort_callback_data=self.stop.data,
        )
        ctx = api.llama_init_from_model(self.weights.model, params)
        if not ctx:
            raise DoesNotFit(
                f"llama.cpp cannot make a context of {self.context} tokens for {self.weights.path.name}: {log_tail()}"
            )
        self._open.callback(api.llama_free, ctx)
        return ctx

    def _batch(self) -> None:
        """One batch for the model's life; its arrays are filled through numpy views."""
        self.batch = api.llama_batch_init(self.chunk, 0, 1)
        self._open.callback(api.llama_batch_free, self.batch)
        for i in range(self.chunk):
            self.batch.n_seq_id[i] = 1
            self.batch.seq_id[i][0] = 0
        self._tokens = np.ctypeslib.as_array(self.batch.token, shape=(self.chunk,))
        self._positions = np.ctypeslib.as_array(self.batch.pos, shape=(self.chunk,))
        self._flags = np.ctypeslib.as_array(self.batch.logits, shape=(self.chunk,))

    def use_threads(self, threads: int) -> None:
        """From the next call on (llama_set_n_threads)."""
        self.threads = threads
        api.llama_set_n_threads(self.ctx, threads, threads)

    def use_clock(self, clock: Callable[[], float]) -> None:
        self.clock = clock

    @property
    def states_width(self) -> int:
        """Numbers of a row of its states."""
        return 0 if self._handed is None else self._handed.width

    @property
    def states(self) -> Floats | None:
        return None if self._handed is None else self._handed.rows

    def close(self) -> None:
        """Free the context. Views returned by `extend` die with it."""
        self._open.close()

    def __len__(self) -> int:
        return self._length

    def extend(self, ids: Sequence[int], rows: int = 1) -> Floats:
        if not rows <= min(self.max_rows, len(ids)):
            raise ValueError(f"{rows} rows of {len(ids)} tokens, at most {self.max_rows}")
        if self._length + len(ids) > self.context:
            raise ContextFull(f"the context of {self.context} tokens is full")
        began = self.clock()
        if self._handed is not None:
            self._handed.begin(len(ids))
        try:
            head = len(ids) - rows if len(ids) > self.chunk else 0
            for at in range(0, head, self.chunk):
                self._decode(ids[at : min(at + self.chunk, head)], 0, at)
            if head < len(ids):
                self._decode(ids[head:], rows, head)
            if rows == 0:
                api.llama_synchronize(self.ctx)  # a GPU works on; its time is this call's
                if len(ids) >= MANY:
                    self.prefill_token = min(self.prefill_token, (self.clock() - began) / len(ids))
            return self._fetch(len(ids) - head, rows)
        finally:
            self.seconds += self.clock() - began

    def _decode(self, ids: Sequence[int], rows: int, at: int) -> None:
        """Read tokens, of the call's from `at` on."""
        if self.stop:
            raise Stopped("stopped")
        if self._lost:
            self._clear()
        n = self.batch.n_tokens = len(ids)
        self._tokens[:n] = ids
        self._positions[:n] = range(self._length, self._length + n)
        self._flags[:n] = 0
        self._flags[n - rows : n] = 1
        code = api.llama_decode(self.ctx, self.batch)
        if code == 0:
            self._length += n
            self._back = min(self.rollback or 0, n - 1)
            self.evaluated += n
            if self._handed is not None:
                self._handed.take(at, n)
            return
        if self.rollback is None:
            self._remove(self._length)  # whatever of this chunk did get in
        else:
            self._length, self._back, self._lost = 0, 0, True
        if code == 2:
            raise Stopped("stopped")
        if code == 1:
            raise ContextFull("llama.cpp found no room in its cache")
        raise NativeError(f"llama_decode failed with code {code}: {log_tail()}")

    def _fetch(self, tokens: int, rows: int) -> Floats:
        """The last rows of the batch, without a copy: llama.cpp keeps them contiguous in output order."""
        if rows == 0:
            return self._rows[:0]
        pointer = api.llama_get_logits_ith(self.ctx, tokens - rows)
        address = ctypes.addressof(pointer.contents)
        if address != self._row_address:
            self._row_address = address
            self._rows = np.ctypeslib.as_array(pointer, shape=(self.max_rows, self.weights.size))
        return self._rows[:rows]

    def _remove(self, length: int) -> None:
        if not api.llama_memory_seq_rm(self.memory, 0, length, -1):
            raise RollbackRefused(f"llama.cpp cannot take tokens back from the cache of {self.weights.path.name}")

    def _clear(self) -> None:
        api.llama_memory_clear(self.memory, False)
        self._length, self._back, self._lost = 0, 0, False
        self._states.clear()

    def truncate(self, length: int) -> None:
        """Of a limited memory only within the last decode, and once: further back llama.cpp says that it went, and
        leaves another state."""
        back = self._length - length
        if back <= 0:
            return
        if self.rollback is None:
            self._remove(length)
        elif not length:
            self._clear()
        elif back <= self._back:
            self._remove(length)
        else:
            raise RollbackRefused(f"the memory of {self.weights.path.name} takes back {self._back} tokens, not {back}")
        self._length, self._back = length, 0
        for state in [each for each in self._states if each.length > length]:
            self._states.discard(state)

    def mark(self) -> None:
        """Needs nothing: a cache that is not limited goes back anywhere."""

    def save(self) -> State:
        began = self.clock()
        size = api.llama_state_seq_get_size_ext(self.ctx, 0, PARTIAL)
        data = (ctypes.c_uint8 * size)()
        api.llama_state_seq_get_data_ext(self.ctx, data, size, 0, PARTIAL)
        state = State(self._length, data)
        self._states.add(state)
        self.seconds += self.clock() - began
        return state

    def restore(self, state: State) -> None:
        """The copy holds no attention cache: that must still be there."""
        if state not in self._states:
            raise RollbackRefused(f"the cache of {self.weights.path.name} was cut shorter than the copy of its state")
        began = self.clock()
        if not api.llama_state_seq_set_data_ext(self.ctx, state.data, len(state.data), 0, PARTIAL):
            raise RollbackRefused(f"llama.cpp cannot restore the state of {self.weights.path.name}")
        self._remove(state.length)
        self._length, self._back, self._lost = state.length, 0, False
        for each in [each for each in self._states if each.length > state.length]:
            self._states.discard(each)
        self.seconds += self.clock() - began

    def reach(self, length: int) -> int:
        """Of a limited memory whole or nothing: what one more truncate takes back is not counted on."""
        return min(length, self._length) if self.rollback is None or length >= self._length else 0

    @property
    def snapshot_bytes(self) -> int:
        return snapshot_bytes(self.ctx)

    def snapshot(self) -> Snapshot:
        data = copied(self.ctx)
        return Snapshot(self._length, data, len(data), None if self.rollback is None else ())

    def put_back(self, snapshot: Snapshot, states: Iterable[State] = ()) -> None:
        """`states`: copies from before the snapshot was taken, that can be restored again."""
        self._clear()
        if snapshot.length:
            put(self.ctx, snapshot.data, self.weights.path.name)
        self._length = snapshot.length
        self._states.update(states)


def snapshot_bytes(ctx: Any) -> int:
    """What `copied` would take; of a model with a sliding window endless, since llama.cpp leaves out of the copy what
    the window has passed, and such a cache could not be cut anywhere."""
    if api.llama_model_n_swa(api.llama_get_model(ctx)):
        return ENDLESS
    return int(api.llama_state_seq_get_size_ext(ctx, 0, 0))


def copied(ctx: Any) -> Any:
    """All that the memory of a context holds, as an array of bytes."""
    size = int(api.llama_state_seq_get_size_ext(ctx, 0, 0))
    data = (ctypes.c_uint8 * size)()
    api.llama_state_seq_get_data_ext(ctx, data, size, 0, 0)
    return data


def put(ctx: Any, data: Any, name: str) -> None:
    """Put it back into an empty memory. Raises NativeError, and leaves it empty."""
    if not api.llama_state_seq_set_data_ext(ctx, data, len(data), 0, 0):
        api.llama_memory_clear(api.llama_get_memory(ctx), False)
        raise NativeError(f"llama.cpp cannot put back what the cache of {name} held: {log_tail()}")
