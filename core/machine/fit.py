"""What two models will take in memory at a context, from their headers, and the largest context that fits.

The constants were measured on SmolLM2-135M and Qwen2.5-Coder 0.5B and 1.5B at contexts of 2048 and 16384;
`tests/core/machine/test_fit.py` holds the sum against what processes really take.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..decoding.rewind import COPIES
from ..errors import DoesNotFit
from ..headers.architecture import AttentionShape
from ..headers.gguf import Header, StringArray
from ..headers.memory import RunningState

CPU_CHUNK, GPU_CHUNK = 128, 512  # tokens a decode reads at most; the compute buffers grow with it
STEP = 256  # llama.cpp rounds a context up to a multiple of this
CACHE_BYTES = 2  # an element of the KV cache is an F16
TABLES = 345  # bytes a token: llama.cpp's own tables of a vocabulary with its merges
INDEX = 260  # bytes a token: ours, where the two vocabularies differ
CONTEXT = 6 << 20  # what a context takes beside its buffers
EMBEDDING, OUTPUT = "token_embd.weight", "output.weight"  # the first stays where the tokens come from
PROCESS = 46 << 20  # Python, numpy and the native libraries
SAFETY = 1.05


@dataclass(frozen=True, slots=True)
class Footprint:
    """One model as it will be loaded. `file_bytes` counts every part; `repacked` are the tensor types that the build
    copies into another layout, `mapped` whether the file is mapped (they are then in memory twice)."""

    header: Header
    file_bytes: int
    rows: int
    chunk: int
    mapped: bool = False
    repacked: frozenset[str] = frozenset()
    gpu_layers: int = 0
    stretch: float = 1.0
    """Its context in terms of the pair's: a drafter of another vocabulary needs more tokens for the same text."""
    inside: bool = False
    """Whether it is the head in the expert's file: its weights and its vocabulary are the expert's."""
    elsewhere: bool = False
    """Whether its `gpu_layers` are on workers, and the rest in a process of its own."""
    output_here: bool = False
    """Whether its output layer is not."""


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes that one model takes: `gpu` of them on the GPU, `away` on workers, all others in main memory."""

    weights: int
    cache: int
    compute: int
    tables: int
    gpu: int = 0
    away: int = 0

    @property
    def total(self) -> int:
        return self.weights + self.cache + self.compute + self.tables


def need(model: Footprint, context: int) -> Need:
    """What one model takes at a context of the pair."""
    header, shape = model.header, AttentionShape.of(model.header)
    size = -(-int(context * model.stretch) // STEP) * STEP
    vocabulary = len(header.get("tokenizer.ggml.tokens", StringArray, None) or ())
    weights = model.file_bytes if model.mapped else max(0, model.file_bytes - header.data_offset)
    if model.mapped:
        weights += sum(tensor.bytes or 0 for tensor in header.tensors if tensor.type_name in model.repacked)
    weights = 0 if model.inside else weights
    cache = size * sum(shape.kv_heads) * (shape.key_length + shape.value_length) * CACHE_BYTES
    if state := RunningState.of(header):  # a snapshot for each row where there are any, and the copies to go back to
        cache += state.bytes * ((model.rows if state.snapshots else 1) + COPIES)
    outputs = model.rows * vocabulary * 4
    # One layer's activations or the logits, whichever is more, the attention mask, and the output rows.
    layer = model.chunk * (3 * shape.feed_forward + 4 * shape.embedding) * 4
    compute = max(outputs, layer) + model.chunk * size * 2 + outputs
    tables = CONTEXT + (0 if model.inside else TABLES * vocabulary + header.data_offset)
    share = min(1.0, model.gpu_layers / max(1, shape.layers)) if model.gpu_layers >= 0 else 1.0
    part = int(share * (weights + cache + compute))
    if not model.elsewhere:
        return Need(weights, cache, compute, tables, part)
    sizes = {each.name: each.bytes or 0 for each in header.tensors if each.name in (EMBEDDING, OUTPUT)}
    here = PROCESS + TABLES * vocabulary + sizes.get(EMBEDDING, 0) + 2 * outputs  # both processes have the vocabulary
    if model.output_here:
        kept = sizes.get(OUTPUT, sizes.get(EMBEDDING, 0))  # of one table for both a copy travels
        part = max(0, part - kept)
        here += kept
    return Need(weights, cache, compute, tables + here, away=part)


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes that may be taken: of main memory (with what this process has), of GPUs and of workers, None where none is
    used, or nobody asked."""

    memory: int
    gpu: int | None = None
    workers: int | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a pair takes at a context."""

    context: int
    models: tuple[Need, ...]
    process: int

    @property
    def total(self) -> int:
        return self.process + sum(each.total for each in self.models)

    @property
    def gpu(self) -> int:
        return sum(each.gpu for each in self.models)

    @property
    def away(self) -> int:
        return sum(each.away for each in self.models)

    def tight(self, room: Room) -> tuple[str, int, int] | None:
        """Where it does not fit, how much that would take there, and how much is free; None where it fits."""
        gpu = self.gpu if room.gpu is not None else 0
        places = (
            ("the GPU has", gpu, room.gpu),
            ("the workers have", self.away, room.workers),
            ("memory has", self.total - gpu - self.away, room.memory),
        )
        return next(
            ((name, need, free) for name, need, free in places if free is not None and need * SAFETY > free), None
        )

    def fits(self, room: Room) -> bool:
        return self.tight(room) is None


def estimate(models: Sequence[Footprint], context: int, differing: bool = False) -> Estimate:
    """What models take together; `differing` where their vocabularies are neither identical nor padded."""
    tokens = sum(len(m.header.get("tokenizer.ggml.tokens", StringArray, None) or ()) for m in models)
    return Estimate(context, tuple(need(m, context) for m in models), PROCESS + (INDEX * tokens if differing else 0))


def largest_context(models: Sequence[Footprint], room: Room, most: int, differing: bool = False) -> int:
    """The largest context up to `most` that fits, a multiple of STEP (or `most` itself); 0 where none does."""
    if estimate(models, most, differing).fits(room):
        return most
    low, high = 0, -(-most // STEP)
    while high - low > 1:
        middle = (low + high) // 2
        if estimate(models, middle * STEP, differing).fits(room):
            low = middle
        else:
            high = middle
    return low * STEP


def require_fit(models: Sequence[Footprint], context: int, room: Room, differing: bool = False) -> Estimate:
    """The estimate. Raises DoesNotFit, with the largest context that would fit, where it does not."""
    found = estimate(models, context, differing)
    tight = found.tight(room)
    if tight is None:
        return found
    largest = largest_context(models, room, context, differing)
    where, wanted, free = tight
    raise DoesNotFit(
        f"this pair needs {wanted / 1e9:.2f} GB at a context of {context} tokens, and {where} {free / 1e9:.2f} GB "
        f"free{'' if largest else ', too little even for the smallest context'}",
        context=largest,
    )
