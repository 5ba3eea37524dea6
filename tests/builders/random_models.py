"""Random language models as real GGUF files over the tiny drafter's vocabulary: a hybrid, a recurrent, a plain one.

All of one seed share embeddings and output layer, and their layers add as much as `strength` says. So they agree on
many next tokens, and still each one's text depends on all that it has read.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from struct import pack
from types import MappingProxyType

import numpy as np

from speccas.core.decoding.sampling import Floats
from speccas.core.headers.gguf import StringArray, read_header
from tests.builders.gguf import F32, entry, pair, preamble, tensor
from tests.builders.models import TINY

WIDTH, FEED, HEADS, CONTEXT = 64, 128, 4, 2048
INNER, STATE, RANK, KERNEL = 128, 16, 4, 4  # of the recurrent one
CACHED = 3  # tokens that a short convolution of the hybrid one sees
SCALED = 1.0  # of what a layer of the one with a shared cache adds
GATES = 4, 2, 16  # of a gated delta net: heads of values, of keys, numbers of each
F32_WEIGHT, F16, I64 = 0, 1, 27  # types of a tensor
DTYPES = {F32_WEIGHT: "<f4", F16: "<f2", I64: "<i8"}

Tensors = dict[str, tuple[tuple[int, ...], Floats]]
"""By name: the shape, fastest dimension first, and the values."""
Random = Callable[..., tuple[tuple[int, ...], Floats]]


@cache
def vocabulary(of: Path = TINY) -> tuple[tuple[bytes, ...], int]:
    """The tokenizer's metadata of a file, and how many tokens it has."""
    found = read_header(of).metadata
    tokens = found["tokenizer.ggml.tokens"]
    assert isinstance(tokens, StringArray)
    own = {key: value for key, value in found.items() if key.startswith("tokenizer.")}
    values = [
        (key, value if isinstance(value, str | int | StringArray) else [int(each) for each in value])
        for key, value in own.items()
        if not isinstance(value, float)
    ]
    return tuple(entry(key, value) for key, value in values), len(tokens)


def one(*shape: int) -> tuple[tuple[int, ...], Floats]:
    return shape, np.ones(shape[::-1], dtype=np.float32)


def feed_forward(b: int, r: Random) -> Tensors:
    return {
        f"blk.{b}.ffn_norm.weight": one(WIDTH),
        f"blk.{b}.ffn_gate.weight": r(WIDTH, FEED),
        f"blk.{b}.ffn_up.weight": r(WIDTH, FEED),
        f"blk.{b}.ffn_down.weight": r(FEED, WIDTH),
    }


def attention(b: int, r: Random) -> Tensors:
    return {
        f"blk.{b}.attn_q.weight": r(WIDTH, WIDTH),
        f"blk.{b}.attn_k.weight": r(WIDTH, WIDTH // 2),
        f"blk.{b}.attn_v.weight": r(WIDTH, WIDTH // 2),
        f"blk.{b}.attn_output.weight": r(WIDTH, WIDTH),
    }


def plain(r: Random) -> Tensors:
    """Two layers of attention (llama)."""
    found = {"output_norm.weight": one(WIDTH)}
    for b in range(2):
        found |= {f"blk.{b}.attn_norm.weight": one(WIDTH)} | attention(b, r) | feed_forward(b, r)
    return found


def windowed(r: Random) -> Tensors:
    """Seven layers of attention, all but the sixth of a sliding window (gemma3)."""
    found = {"output_norm.weight": one(WIDTH)}
    for b in range(7):
        found |= {f"blk.{b}.attn_norm.weight": one(WIDTH)} | attention(b, r) | feed_forward(b, r)
        found |= {
            f"blk.{b}.attn_q_norm.weight": one(WIDTH // HEADS),
            f"blk.{b}.attn_k_norm.weight": one(WIDTH // HEADS),
            f"blk.{b}.post_attention_norm.weight": one(WIDTH),
            f"blk.{b}.post_ffw_norm.weight": one(WIDTH),
        }
    return found


def hybrid(r: Random) -> Tensors:
    """A short convolution and a layer of attention (lfm2)."""
    found = {"token_embd_norm.weight": one(WIDTH)}
    for b in range(2):
        found |= {f"blk.{b}.attn_norm.weight": one(WIDTH)} | feed_forward(b, r)
    found |= {
        "blk.0.shortconv.conv.weight": r(CACHED, WIDTH, scale=1.0),
        "blk.0.shortconv.in_proj.weight": r(WIDTH, 3 * WIDTH),
        "blk.0.shortconv.out_proj.weight": r(WIDTH, WIDTH),
        "blk.1.attn_q_norm.weight": one(WIDTH // HEADS),
        "blk.1.attn_k_norm.weight": one(WIDTH // HEADS),
    }
    return found | attention(1, r)


def recurrent(r: Random) -> Tensors:
    """Two state-space layers (mamba)."""
    found = {"output_norm.weight": one(WIDTH)}
    for b in range(2):
        shape, a = r(STATE, INNER)
        found |= {
            f"blk.{b}.attn_norm.weight": one(WIDTH),
            f"blk.{b}.ssm_in.weight": r(WIDTH, 2 * INNER),
            f"blk.{b}.ssm_conv1d.weight": r(KERNEL, INNER, scale=1.0),
            f"blk.{b}.ssm_conv1d.bias": r(INNER),
            f"blk.{b}.ssm_x.weight": r(INNER, RANK + 2 * STATE),
            f"blk.{b}.ssm_dt.weight": r(RANK, INNER),
            f"blk.{b}.ssm_dt.bias": r(INNER),
            f"blk.{b}.ssm_a": (shape, (-np.abs(a) - 0.1).astype(np.float32)),
            f"blk.{b}.ssm_d": one(INNER),
            f"blk.{b}.ssm_out.weight": r(INNER, WIDTH),
        }
    return found


def gated(r: Random) -> Tensors:
    """A gated delta net and a layer of attention (qwen35)."""
    heads, groups, size = GATES
    keys, values = groups * size, heads * size
    found = {"output_norm.weight": one(WIDTH)}
    for b in range(2):
        feed = {name: each for name, each in feed_forward(b, r).items() if "norm" not in name}
        found |= {f"blk.{b}.attn_norm.weight": one(WIDTH), f"blk.{b}.post_attention_norm.weight": one(WIDTH)} | feed
    found |= {
        "blk.0.attn_qkv.weight": r(WIDTH, 2 * keys + values),
        "blk.0.attn_gate.weight": r(WIDTH, values),
        "blk.0.ssm_conv1d.weight": r(KERNEL, 2 * keys + values, scale=1.0),
        "blk.0.ssm_dt.bias": r(heads),
        "blk.0.ssm_a": ((heads,), -np.linspace(0.1, 1, heads, dtype=np.float32)),
        "blk.0.ssm_beta.weight": r(WIDTH, heads),
        "blk.0.ssm_alpha.weight": r(WIDTH, heads),
        "blk.0.ssm_norm.weight": one(size),
        "blk.0.ssm_out.weight": r(values, WIDTH),
    }
    return found | gated_attention(1, r)


def gated_attention(b: int, r: Random) -> Tensors:
    found = attention(b, r) | {f"blk.{b}.attn_q.weight": r(WIDTH, 2 * WIDTH)}
    return found | {f"blk.{b}.attn_{each}_norm.weight": one(WIDTH // HEADS) for each in "qk"}


def mixture(r: Random) -> Tensors:
    """Two layers of attention of a family whose MTP layer is a mixture of experts (glm4moe)."""
    found = plain(r)
    return {name.replace("ffn_norm", "post_attention_norm"): each for name, each in found.items()}


def chained(r: Random) -> Tensors:
    """Two layers of attention, the first of a sliding window, of a family with several MTP layers (mimo2)."""
    return plain(r)


def shared_cache(r: Random) -> Tensors:
    """Two layers of attention, the first of a sliding window (gemma4)."""
    found: Tensors = {"output_norm.weight": one(WIDTH), "rope_freqs.weight": one(WIDTH // HEADS // 2)}
    for b in range(2):
        found |= {f"blk.{b}.attn_norm.weight": one(WIDTH)} | attention(b, r) | feed_forward(b, r)
        found |= {f"blk.{b}.attn_{each}_norm.weight": one(WIDTH // HEADS) for each in "qk"}
        full = (WIDTH,), np.full(WIDTH, SCALED, dtype=np.float32)  # of embeddings that are scaled by sqrt(WIDTH)
        found |= {f"blk.{b}.{each}.weight": full for each in ("post_attention_norm", "post_ffw_norm")}
    return found


KINDS: dict[str, tuple[str, Callable[[Random], Tensors], dict[str, int | list[int] | float]]] = {
    "plain": ("llama", plain, {"attention.head_count": HEADS, "attention.head_count_kv": HEADS // 2}),
    "windowed": (
        "gemma3",
        windowed,
        {
            "attention.head_count": HEADS,
            "attention.head_count_kv": HEADS // 2,
            "attention.key_length": WIDTH // HEADS,
            "attention.value_length": WIDTH // HEADS,
            "attention.sliding_window": 8,
            "block_count": 7,
        },
    ),
    "hybrid": (
        "lfm2",
        hybrid,
        {"attention.head_count": HEADS, "attention.head_count_kv": [0, HEADS // 2], "shortconv.l_cache": CACHED},
    ),
    "recurrent": (
        "mamba",
        recurrent,
        {
            "attention.head_count": 0,
            "ssm.conv_kernel": KERNEL,
            "ssm.inner_size": INNER,
            "ssm.state_size": STATE,
            "ssm.time_step_rank": RANK,
        },
    ),
    "gated": (
        "qwen35",
        gated,
        {
            "attention.head_count": HEADS,
            "attention.head_count_kv": HEADS // 2,
            "attention.key_length": WIDTH // HEADS,
            "attention.value_length": WIDTH // HEADS,
            "rope.dimension_sections": [4, 2, 2, 0],
            "full_attention_interval": 2,
            "ssm.conv_kernel": KERNEL,
            "ssm.inner_size": GATES[0] * GATES[2],
            "ssm.state_size": GATES[2],
            "ssm.time_step_rank": GATES[0],
            "ssm.group_count": GATES[1],
        },
    ),
    "mixture": (
        "glm4moe",
        mixture,
        {
            "attention.head_count": HEADS,
            "attention.head_count_kv": HEADS // 2,
            "expert_count": 2,
            "expert_used_count": 1,
            "expert_shared_count": 1,
            "expert_feed_forward_length": FEED // 2,
            "leading_dense_block_count": 2,
        },
    ),
    "chained": (
        "mimo2",
        chained,
        {
            "attention.head_count": HEADS,
            "attention.head_count_kv": HEADS // 2,
            "attention.key_length": WIDTH // HEADS,
            "attention.value_length": WIDTH // HEADS,
            "attention.sliding_window": 8,
            "attention.sliding_window_pattern": [1, 0],
            "expert_feed_forward_length": 0,
        },
    ),
    "shared cache": (
        "gemma4",
        shared_cache,
        {
            "attention.head_count": HEADS,
            "attention.head_count_kv": HEADS // 2,
            "attention.key_length": WIDTH // HEADS,
            "attention.value_length": WIDTH // HEADS,
            "attention.key_length_swa": WIDTH // HEADS,
            "attention.value_length_swa": WIDTH // HEADS,
            "attention.sliding_window": 8,
            "attention.sliding_window_pattern": [1, 0],
            "attention.shared_kv_layers": 0,
            "embedding_length_per_layer_input": 0,
        },
    ),
}
"""By name: the architecture, its layers, and the metadata of its own."""


def random_model(
    path: Path,
    kind: str,
    seed: int = 1,
    strength: float = 0.45,
    layers: int = 0,
    head: Callable[[Random], Tensors] = lambda r: {},
    changes: Mapping[str, int | list[int]] = MappingProxyType({}),
    without: str = "none",
    rank: int = WIDTH,
) -> Path:
    """Write a model. Those of one `seed` share embeddings and output layer; `layers` is the seed of what lies between,
    `strength` scales it. `head`: further tensors, with their `changes` of the metadata; `without`: a pattern of tensors
    that are left out; `rank` of the embeddings."""
    entries, size = vocabulary()
    architecture, make, own = KINDS[kind]
    shared, g = np.random.default_rng(seed), np.random.default_rng(layers)

    def values(shape: tuple[int, ...], source: np.random.Generator, scale: float) -> tuple[tuple[int, ...], Floats]:
        return shape, (source.standard_normal(shape[::-1]) * scale).astype(np.float32)

    def r(*shape: int, scale: float = 0.0) -> tuple[tuple[int, ...], Floats]:
        return values(shape, g, scale or strength / np.sqrt(shape[0]))

    tensors = {
        "token_embd.weight": values((WIDTH, size), shared, 1.0),
        "output.weight": values((WIDTH, size), shared, 0.5),
        **make(r),
        **head(r),
    }
    if rank < WIDTH:
        shape, table = tensors["token_embd.weight"]
        basis = shared.standard_normal((rank, WIDTH)) / np.sqrt(rank)
        tensors["token_embd.weight"] = shape, (table[:, :rank] @ basis).astype(np.float32)
    tensors = {name: each for name, each in tensors.items() if not re.match(without, name)}
    metadata = {
        "context_length": CONTEXT,
        "embedding_length": WIDTH,
        "block_count": 2,
        "feed_forward_length": 0 if kind == "recurrent" else FEED,
        "vocab_size": size,
        **own,
        **changes,
    }
    pairs = [
        entry("general.architecture", architecture),
        entry("general.name", f"random {kind}"),
        *(entry(f"{architecture}.{key}", value) for key, value in metadata.items() if not isinstance(value, float)),
        pair(f"{architecture}.attention.layer_norm_rms_epsilon", F32, pack("<f", 1e-5)),
        pair(f"{architecture}.rope.freq_base", F32, pack("<f", 10000.0)),
        *entries,
    ]
    path.write_bytes(assembled(pairs, tensors))
    return path


def assembled(pairs: list[bytes], tensors: Tensors) -> bytes:
    """A whole file: embeddings and output in F16, whole numbers in I64, all else in F32."""
    infos, data = [], b""
    for name, (shape, values) in tensors.items():
        kind = F16 if name in ("token_embd.weight", "output.weight") else F32_WEIGHT
        kind = I64 if values.dtype == np.int64 else kind
        infos.append(tensor(name, shape, kind, len(data)))
        data += values.astype(DTYPES[kind]).tobytes()
        data += bytes(-len(data) % 32)
    head = preamble(len(tensors), len(pairs)) + b"".join(pairs) + b"".join(infos)
    return head + bytes(-len(head) % 32) + data
