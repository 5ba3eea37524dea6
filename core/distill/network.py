"""The Llama network in plain torch functions: read whole texts, or write many side by side with a cache.

Imported only by the steps that need torch.

Weights have the names of GGUF. There the rows of Q and K are ordered for a rotation of neighbours (llama.cpp's "norm"
rope); here a head's even rows come first, so that halves are rotated. `to_network` and `from_network` change places.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from ..errors import UsageError
from ..headers.gguf import Header

# Each batch has another number of places, and kernels are kept by shape: 13 GB after 400 steps with torch's own limits.
for kept in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
    os.environ.setdefault(kept, "8")  # read when a kernel is first made
# With fewer threads than torch counts on, oneDNN leaves parts of a bfloat16 product as they were: no numbers, at times.
LIMIT = os.environ.get("OMP_THREAD_LIMIT", "")
if LIMIT.isdigit() and 0 < int(LIMIT) < torch.get_num_threads():
    torch.set_num_threads(int(LIMIT))

Weights = dict[str, torch.Tensor]
KNOWN = re.compile(
    r"(token_embd|output|output_norm|blk\.\d+\.(attn_(norm|q|k|v|output)|ffn_(norm|gate|up|down)))\.weight"
)
"""Tensors of a plain Llama."""


@dataclass(frozen=True)
class NetworkShape:
    """Sizes of a Llama network; `base` is that of the rope's frequencies."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    inner: int
    base: float
    epsilon: float

    @property
    def head(self) -> int:
        return self.width // self.heads

    @classmethod
    def of(cls, header: Header) -> "NetworkShape":
        """UsageError where the file is no plain Llama: of another architecture, or with tensors that `read` does not
        know (scaled ropes, biases, experts)."""
        if header.architecture != "llama":
            raise UsageError(f"{header.file} is of architecture {header.architecture!r}", "the expert is to be a Llama")
        heads = header.get("llama.attention.head_count", int, 0)
        strange = [each.name for each in header.tensors if not KNOWN.fullmatch(each.name)]
        if strange:
            raise UsageError(f"{header.file} has {strange[0]}", "the expert is to be a Llama without such tensors")
        return cls(
            header.get("llama.block_count", int, 0),
            header.get("llama.embedding_length", int, 0),
            heads,
            header.get("llama.attention.head_count_kv", int, heads),
            header.get("llama.feed_forward_length", int, 0),
            header.get("llama.rope.freq_base", float, 10000.0),
            header.get("llama.attention.layer_norm_rms_epsilon", float, 1e-5),
        )


def to_network(arrays: Mapping[str, NDArray[np.float32]], head: int) -> Weights:
    """float32 tensors from a file's arrays."""
    return {name: torch.from_numpy(_swap(name, array, head, to_halves=True)) for name, array in arrays.items()}


def from_network(weights: Weights, head: int) -> dict[str, NDArray[np.float32]]:
    """The arrays of a file from tensors; the inverse of `to_network`."""
    arrays = {name: tensor.detach().float().cpu().numpy() for name, tensor in weights.items()}
    return {name: _swap(name, array, head, to_halves=False) for name, array in arrays.items()}


def _swap(name: str, array: NDArray[np.float32], head: int, *, to_halves: bool) -> NDArray[np.float32]:
    if not name.endswith(("attn_q.weight", "attn_k.weight")):
        return np.array(array, np.float32)
    parts = (
        array.reshape(-1, head // 2, 2, array.shape[1])
        if to_halves
        else array.reshape(-1, 2, head // 2, array.shape[1])
    )
    return np.ascontiguousarray(parts.swapaxes(1, 2)).reshape(array.shape)


def rope(shape: NetworkShape, length: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosine and sine (length, head / 2) of every position."""
    rates = shape.base ** (-torch.arange(0, shape.head, 2, dtype=torch.float64) / shape.head)
    angles = torch.outer(torch.arange(length, dtype=torch.float64), rates)
    return angles.cos().float().to(device), angles.sin().float().to(device)


def turn(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """x (..., positions, head) rotated by its position; cos and sin (positions, head / 2)."""
    left, right = x.chunk(2, -1)
    return torch.cat([left * cos - right * sin, right * cos + left * sin], -1)


def norm(x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    return F.rms_norm(x, (x.shape[-1],), weight, epsilon)


def inner(layer: Weights, shape: NetworkShape, x: torch.Tensor, kind: torch.dtype) -> torch.Tensor:
    """What the feed-forward part makes of `x` before its last matrix."""
    h = norm(x, layer["ffn_norm"], shape.epsilon).to(kind)
    return F.silu(F.linear(h, layer["ffn_gate"].to(kind))) * F.linear(h, layer["ffn_up"].to(kind))


def parted(x: torch.Tensor, head: int) -> torch.Tensor:
    """(rows, n, heads times size) as (rows, heads, n, size)."""
    return x.unflatten(-1, (-1, head)).transpose(1, 2)


def read(
    weights: Weights,
    shape: NetworkShape,
    ids: torch.Tensor,
    angles: tuple[torch.Tensor, torch.Tensor],
    kind: torch.dtype,
) -> torch.Tensor:
    """Final hidden states (rows, n, width) float32 after the last norm, of texts `ids` (rows, n), each from position 0.

    Products are computed in `kind`, sums along the layers in float32.
    """
    cos, sin = (each[: ids.shape[1]].to(kind) for each in angles)
    x = F.embedding(ids, weights["token_embd.weight"]).float()
    for i in range(shape.layers):
        layer = {name: weights[f"blk.{i}.{name}.weight"] for name in LAYER}
        h = norm(x, layer["attn_norm"].float(), shape.epsilon).to(kind)
        q, k, v = (parted(F.linear(h, layer[f"attn_{name}"].to(kind)), shape.head) for name in "qkv")
        q, k = turn(q, cos, sin), turn(k, cos, sin)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=shape.heads != shape.kv_heads)
        seen = seen.transpose(1, 2).flatten(2)
        x = x + F.linear(seen, layer["attn_output"].to(kind)).float()
        x = x + F.linear(inner(layer, shape, x, kind), layer["ffn_down"].to(kind)).float()
    return norm(x, weights["output_norm.weight"].float(), shape.epsilon)


LAYER = (
    "attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down",
)  # fmt: skip


class Writer:
    """Many texts written side by side, one token each at a time, all at the same position.

    `step` reads one token a text and gives their final hidden states; the cache has room for `length` positions.
    """

    def __init__(
        self,
        weights: Weights,
        shape: NetworkShape,
        texts: int,
        length: int,
        kind: torch.dtype,
        inputs: Sequence[int] = (),
    ) -> None:
        """`inputs`: layers whose input of each step is to stand in `inputs`, (texts, those layers times width)."""
        self.shape, self.kind, self.at = shape, kind, 0
        self.wanted = tuple(inputs)
        self.inputs = torch.empty(texts, 0)
        device = weights["token_embd.weight"].device
        self.embedding = weights["token_embd.weight"].to(kind)
        self.head = weights["output.weight"].to(kind) if "output.weight" in weights else self.embedding
        self.cos, self.sin = rope(shape, length, device)
        self.out_norm = weights["output_norm.weight"].float()
        self.layers: list[Weights] = []
        for i in range(shape.layers):
            layer = {name: weights[f"blk.{i}.{name}.weight"] for name in LAYER}
            self.layers.append(
                {
                    "attn_norm": layer["attn_norm"].float(),
                    "qkv": torch.cat([layer["attn_q"], layer["attn_k"], layer["attn_v"]]).to(kind),
                    "output": layer["attn_output"].to(kind),
                    "ffn_norm": layer["ffn_norm"].float(),
                    "gate_up": torch.cat([layer["ffn_gate"], layer["ffn_up"]]).to(kind),
                    "down": layer["ffn_down"].to(kind),
                }
            )
        room = (shape.layers, 2, texts, shape.kv_heads, length, shape.head)
        self.cache = torch.zeros(room, dtype=kind, device=device)

    def step(self, ids: torch.Tensor) -> torch.Tensor:
        """Final hidden states (texts, width) float32 after the last norm, having read `ids` (texts,)."""
        shape, at, texts = self.shape, self.at, len(ids)
        heads = shape.heads + shape.kv_heads
        cos, sin = self.cos[at].to(self.kind), self.sin[at].to(self.kind)
        x = self.embedding[ids].float()
        inputs: list[torch.Tensor] = []
        for layer, cache in zip(self.layers, self.cache, strict=True):
            inputs.append(x)
            h = norm(x, layer["attn_norm"], shape.epsilon).to(self.kind)
            qkv = F.linear(h, layer["qkv"]).view(texts, -1, shape.head)
            qk = turn(qkv[:, :heads], cos, sin)
            cache[0, :, :, at] = qk[:, shape.heads :]
            cache[1, :, :, at] = qkv[:, heads:]
            # query heads that share a key head stand where other positions would: attention sees them as three queries
            q = qk[:, : shape.heads].reshape(texts, shape.kv_heads, -1, shape.head)
            seen = F.scaled_dot_product_attention(q, cache[0, :, :, : at + 1], cache[1, :, :, : at + 1])
            x = x + F.linear(seen.reshape(texts, shape.width), layer["output"]).float()
            h = norm(x, layer["ffn_norm"], shape.epsilon).to(self.kind)
            gate, up = F.linear(h, layer["gate_up"]).chunk(2, -1)
            x = x + F.linear(F.silu(gate) * up, layer["down"]).float()
        self.at += 1
        if self.wanted:
            self.inputs = torch.cat([inputs[i] for i in self.wanted], -1)
        return norm(x, self.out_norm, shape.epsilon)
