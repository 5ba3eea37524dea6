"""The weights of a GGUF file as float32 arrays and back: the few types that the expert and the drafter are made of.

Layouts are those of ggml-common.h, rounding is that of ggml-quants.c (quantize_row_q8_0_ref, quantize_row_q4_0_ref).
"""

import math
import mmap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..headers.gguf import Header, Tensor, read_header

Array = NDArray[np.float32]
Bytes = NDArray[np.uint8]

BLOCK = 32  # weights in a block of Q4_0, Q4_1 and Q8_0
NUMBERS = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 8}  # ggml type by name, of the types that can be written
BLOCK_BYTES = {"F32": 4 * BLOCK, "F16": 2 * BLOCK, "Q4_0": 18, "Q4_1": 20, "Q8_0": 34}


def read_weights(path: Path) -> tuple[Header, dict[str, Array]]:
    """A file's header and its tensors by name, each in numpy's order: (rows, row length).

    UsageError where a tensor is of a type that this module does not read; IntegrityError where the file is not sound.
    """
    header = read_header(path)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return header, {tensor.name: _read(tensor, data, path) for tensor in header.tensors}


def _read(tensor: Tensor, data: mmap.mmap, path: Path) -> Array:
    if tensor.type_name not in BLOCK_BYTES:
        raise UsageError(f"{path}: {tensor.name} is {tensor.type_name}", f"give a file of {', '.join(BLOCK_BYTES)}")
    count = math.prod(tensor.shape)
    size = count * BLOCK_BYTES[tensor.type_name] // BLOCK
    raw = np.frombuffer(data[tensor.offset : tensor.offset + size], np.uint8)
    return dequantise(raw, tensor.type_name).reshape(tensor.shape[::-1])


def output_rows(arrays: Mapping[str, Array], kept: Sequence[int]) -> Array:
    """The rows of a model's output layer, of these tokens: those of its embedding where it has no layer apart."""
    return arrays.get("output.weight", arrays["token_embd.weight"])[list(kept)]


def beginning(arrays: Mapping[str, Array], layers: Sequence[int], kept: Sequence[int]) -> dict[str, Array]:
    """What a drafter starts from: the expert's layers `layers`, its embedding rows of the tokens `kept`, its last norm.

    UsageError where the expert has no such layer.
    """
    found = {"token_embd.weight": arrays["token_embd.weight"][list(kept)]}
    found["output_norm.weight"] = arrays["output_norm.weight"]
    for place, layer in enumerate(layers):
        start = f"blk.{layer}."
        part = {f"blk.{place}.{name[len(start) :]}": each for name, each in arrays.items() if name.startswith(start)}
        if not part:
            raise UsageError(f"the expert has no layer {layer}", "its layers count from 0")
        found |= part
    return found


def continued(
    drafter: Mapping[str, Array],
    places: Mapping[int, int],
    arrays: Mapping[str, Array],
    layers: Sequence[int],
    kept: Sequence[int],
) -> dict[str, Array]:
    """An earlier drafter's weights, with the expert's `layers` behind its own, and rows for the tokens `kept`.

    `places` gives the drafter's row for a token of the expert. A token that it lacked gets the expert's row, moved as
    training has moved those of the others: left where they were, the new ones would outbid all others.
    The new layers write nothing at first: what they put out is multiplied by zero, so the drafter says what it said
    before, until it has learnt to use them.
    """
    more = beginning(arrays, layers, kept)
    rows = more.pop("token_embd.weight")
    old = [i for i, token in enumerate(kept) if token in places]
    new = [i for i, token in enumerate(kept) if token not in places]
    known = drafter["token_embd.weight"][[places[kept[i]] for i in old]]
    if new:
        rows[new] = _moved(rows[old], known, rows[new])
    rows[old] = known
    found = {**drafter, "token_embd.weight": rows}
    depth = sum(name.endswith("attn_norm.weight") for name in drafter)
    for name, array in more.items():
        if name.startswith("blk."):
            _, place, rest = name.split(".", 2)
            silent = rest in ("attn_output.weight", "ffn_down.weight")
            found[f"blk.{depth + int(place)}.{rest}"] = np.zeros_like(array) if silent else array
    return found


def _moved(before: Array, after: Array, others: Array) -> Array:
    """`others` moved as the linear map moves them that, by least squares, best takes the rows `before` to `after`."""
    data = np.column_stack([before, np.ones(len(before))]).astype(np.float64)
    ridge = 1e-2 * np.eye(data.shape[1])  # fewer rows than columns have a solution too
    change = np.linalg.solve(data.T @ data + ridge, data.T @ (after - before))
    moved: Array = (others + np.column_stack([others, np.ones(len(others))]) @ change).astype(np.float32)
    return moved


def dequantise(raw: Bytes, kind: str) -> Array:
    """Flat weights (n,) from the bytes (m,) of whole blocks."""
    if kind in ("F32", "F16"):
        return raw.view(np.float32 if kind == "F32" else np.float16).astype(np.float32)
    blocks = raw.reshape(-1, BLOCK_BYTES[kind])
    scale = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    if kind == "Q8_0":
        return (blocks[:, 2:].view(np.int8) * scale).reshape(-1)
    packed = blocks[:, -16:]
    levels = np.concatenate([packed & 15, packed >> 4], axis=1).astype(np.float32)
    if kind == "Q4_0":
        return ((levels - 8) * scale).reshape(-1)
    return (levels * scale + blocks[:, 2:4].copy().view(np.float16).astype(np.float32)).reshape(-1)


def quantise(weights: Array, kind: str) -> bytes:
    """The bytes of whole blocks; the number of weights is a multiple of 32 for Q8_0 and Q4_0."""
    return _WRITERS[kind](np.ascontiguousarray(weights, np.float32)).tobytes()


def _q8_0(weights: Array) -> Bytes:
    blocks = weights.reshape(-1, BLOCK)
    scale = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
    exact = (blocks * _inverse(scale)).astype(np.float64)
    levels = np.trunc(exact + np.copysign(0.5, exact)).astype(np.int8)  # C's roundf: halves go away from zero
    return np.concatenate([scale.astype(np.float16).view(np.uint8), levels.view(np.uint8)], axis=1)


def _q4_0(weights: Array) -> Bytes:
    blocks = weights.reshape(-1, BLOCK)
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1)[:, None], axis=1)
    scale = largest / np.float32(-8)  # so that the largest weight sits on level 0, the one of -8
    levels = np.minimum(15, blocks * _inverse(scale) + np.float32(8.5)).astype(np.uint8)
    packed = levels[:, :16] | levels[:, 16:] << 4
    return np.concatenate([scale.astype(np.float16).view(np.uint8), packed], axis=1)


def _inverse(scale: Array) -> Array:
    return np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale != 0)


_WRITERS: dict[str, Callable[[Array], Bytes]] = {
    "F32": lambda weights: weights.reshape(-1).view(np.uint8),
    "F16": lambda weights: weights.reshape(-1).astype(np.float16).view(np.uint8),
    "Q8_0": _q8_0,
    "Q4_0": _q4_0,
}
