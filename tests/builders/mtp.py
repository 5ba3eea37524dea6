"""MTP heads and an assistant as real GGUF files, for random models: in the model's file, beside it, on its cache.

A head writes what its token's embedding says, as a random model nearly does, with some of the state beside it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from struct import pack

import numpy as np
from numpy.typing import NDArray

from speccas.core.decoding.sampling import Floats
from tests.builders.gguf import F32, entry, pair
from tests.builders.heads import tables_of
from tests.builders.random_models import (
    FEED,
    HEADS,
    KINDS,
    WIDTH,
    Random,
    Tensors,
    assembled,
    attention,
    feed_forward,
    gated_attention,
    one,
    random_model,
    vocabulary,
)

LAYER = 2  # of the head, behind the model's own
SHARE = 0.3  # of the state in what a head reads
INSIDE: dict[str, int | list[int]] = {"block_count": LAYER + 1, "nextn_predict_layers": 1}
CHAIN = 3  # layers of the head of several
NARROW = 32  # width of an assistant
QUIET = 0.15  # what each part of its layers adds


def joined(r: Random, b: int = LAYER) -> Tensors:
    """Where an MTP layer takes token and state in."""
    _, state = r(WIDTH, WIDTH, scale=SHARE / np.sqrt(WIDTH))
    both = np.hstack([np.eye(WIDTH, dtype=np.float32), state])
    return {
        f"blk.{b}.nextn.eh_proj.weight": ((2 * WIDTH, WIDTH), both),
        f"blk.{b}.nextn.enorm.weight": one(WIDTH),
        f"blk.{b}.nextn.hnorm.weight": one(WIDTH),
        f"blk.{b}.attn_norm.weight": one(WIDTH),
        f"blk.{b}.post_attention_norm.weight": one(WIDTH),
    }


def mixture_head(r: Random) -> Tensors:
    b, feed = LAYER, FEED // 2
    found = joined(r) | attention(b, r)
    for name, shape in {"gate": (WIDTH, feed), "up": (WIDTH, feed), "down": (feed, WIDTH)}.items():
        found |= {f"blk.{b}.ffn_{name}_exps.weight": r(*shape, 2), f"blk.{b}.ffn_{name}_shexp.weight": r(*shape)}
    return found | {f"blk.{b}.ffn_gate_inp.weight": r(WIDTH, 2), f"blk.{b}.exp_probs_b.bias": r(2)}


def gated_head(r: Random) -> Tensors:
    feed = {name: each for name, each in feed_forward(LAYER, r).items() if "norm" not in name}
    return joined(r) | gated_attention(LAYER, r) | feed


def chained_head(r: Random) -> Tensors:
    found: Tensors = {}
    for b in range(LAYER, LAYER + CHAIN):
        layer = joined(r, b) | feed_forward(b, r)
        layer |= {f"blk.{b}.attn_qkv.weight": r(WIDTH, 2 * WIDTH), f"blk.{b}.attn_output.weight": r(WIDTH, WIDTH)}
        found |= {name: each for name, each in layer.items() if "post_attention" not in name}
    return found


MTP: dict[str, tuple[Callable[[Random], Tensors], Mapping[str, int | list[int]]]] = {
    "mixture": (mixture_head, INSIDE),
    "gated": (gated_head, INSIDE),
    "chained": (
        chained_head,
        {
            "block_count": LAYER + CHAIN,
            "nextn_predict_layers": CHAIN,
            "attention.sliding_window_pattern": [1, 0, 1, 0, 0],
        },
    ),
}
"""By the kind of random model, and what changes of its metadata."""


def with_head(path: Path, kind: str) -> Path:
    """A model with an MTP head in its file."""
    head, changes = MTP[kind]
    return random_model(path, kind, head=head, changes=changes)


def head_alone(path: Path, kind: str) -> Path:
    """The same head in a file of its own."""
    head, changes = MTP[kind]
    return random_model(path, kind, head=head, changes=changes, without=r"blk\.[01]\.")


def assisted(path: Path) -> Path:
    """A model whose assistant can agree with it: an assistant is narrower, and this one's embeddings are as well."""
    return random_model(path, "shared cache", rank=NARROW)


def assistant(path: Path, expert: Path) -> Path:
    """An assistant for such a model."""
    g, tables, (tokenizer, size) = np.random.default_rng(3), tables_of(expert), vocabulary(expert)
    embeddings = tables["token_embd.weight"].astype(np.float64)
    basis = np.linalg.eigh(embeddings.T @ embeddings)[1][:, -NARROW:]  # of the space that they span, (WIDTH, NARROW)
    state = g.standard_normal((NARROW, WIDTH)) * SHARE / np.sqrt(WIDTH)
    inner = WIDTH // HEADS

    def r(columns: int, rows: int) -> tuple[tuple[int, ...], Floats]:
        return (columns, rows), (g.standard_normal((rows, columns)) / np.sqrt(columns)).astype(np.float32)

    def of(values: NDArray[np.float64]) -> tuple[tuple[int, ...], Floats]:
        return values.shape[::-1], values.astype(np.float32)

    found: Tensors = {
        "token_embd.weight": of(tables["output.weight"] @ basis),
        "output_norm.weight": one(NARROW),
        "nextn.pre_projection.weight": of(np.hstack([basis.T / np.sqrt(WIDTH), state])),
        "nextn.post_projection.weight": of(basis),
        "rope_freqs.weight": one(inner // 2),
    }
    for b in range(2):
        found |= {f"blk.{b}.attn_norm.weight": one(NARROW), f"blk.{b}.ffn_norm.weight": one(NARROW)}
        found |= {f"blk.{b}.attn_q.weight": r(NARROW, WIDTH), f"blk.{b}.attn_output.weight": r(WIDTH, NARROW)}
        found |= {f"blk.{b}.attn_q_norm.weight": one(inner), f"blk.{b}.layer_output_scale.weight": one(1)}
        quiet = of(np.full(NARROW, QUIET))
        found |= {f"blk.{b}.post_attention_norm.weight": quiet, f"blk.{b}.post_ffw_norm.weight": quiet}
        for name, (columns, rows) in {"gate": (NARROW, FEED), "up": (NARROW, FEED), "down": (FEED, NARROW)}.items():
            found[f"blk.{b}.ffn_{name}.weight"] = r(columns, rows)
    metadata: dict[str, int | list[int] | float] = {
        "context_length": 2048,
        "embedding_length": NARROW,
        "embedding_length_out": WIDTH,
        "block_count": 2,
        "nextn_predict_layers": 2,
        "feed_forward_length": FEED,
        "vocab_size": size,
        **KINDS["shared cache"][2],
    }
    pairs = [
        entry("general.architecture", "gemma4-assistant"),
        entry("general.name", "random assistant"),
        *(entry(f"gemma4-assistant.{key}", each) for key, each in metadata.items() if not isinstance(each, float)),
        pair("gemma4-assistant.attention.layer_norm_rms_epsilon", F32, pack("<f", 1e-5)),
        pair("gemma4-assistant.rope.freq_base", F32, pack("<f", 10000.0)),
        *tokenizer,
    ]
    path.write_bytes(assembled(pairs, found))
    return path
