"""EAGLE-3 heads as real GGUF files, for the random models and for any other expert.

Such a head attends to the token of its own pair and writes what that token's embedding says, as a random model nearly
does, with some of the fused states beside it: so it is often right, and wrong where the states are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from struct import pack

import numpy as np
from numpy.typing import NDArray

from speccas.core.decoding.sampling import Floats
from speccas.core.headers.gguf import read_header
from tests.builders.gguf import BOOL, F32, Value, entry, pair
from tests.builders.random_models import FEED, WIDTH, Tensors, assembled, one, vocabulary

Doubles = NDArray[np.float64]
EPSILON, BASE = 1e-5, 10000.0
FOCUS = 2.5  # how much of the attention goes to the pair's own token


@dataclass(frozen=True)
class Eagle:
    """What a head is made of."""

    layers: Sequence[int] = (0, 1, 1)
    """Of the expert, whose input it reads."""
    hidden: int = WIDTH
    """Width of the expert's states, as it claims."""
    width: int = WIDTH
    heads: int = 4
    share: float = 0.3
    """How much of the fused states there is in what it writes, where they are normed first."""
    norm_before_residual: bool = True
    norm_before_fc: bool = False
    draft_tokens: int = 0
    """Size of a vocabulary of its own, the expert's tokens of even number; 0 for none."""
    tables: Mapping[str, Floats] = field(default_factory=dict)
    """Its own embeddings and output layer, (tokens, width); it borrows what is not here."""
    seed: int = 5

    @property
    def tensors(self) -> Tensors:
        g = np.random.default_rng(self.seed)

        def r(columns: int, rows: int, scale: float = 1.0) -> tuple[tuple[int, ...], Floats]:
            values = g.standard_normal((rows, columns)) * scale / np.sqrt(columns)
            return (columns, rows), values.astype(np.float32)

        def token(scale: float) -> tuple[tuple[int, ...], Floats]:
            both = np.hstack([np.eye(self.width) * scale, np.zeros((self.width, self.width))])
            return (2 * self.width, self.width), both.astype(np.float32)

        found: Tensors = {
            "fc.weight": r(3 * self.hidden, self.width),
            "output_norm.weight": one(self.width),
            "blk.0.attn_norm.weight": one(self.width),
            "blk.0.attn_norm_2.weight": ((self.width,), np.full(self.width, self.share, dtype=np.float32)),
            "blk.0.attn_q.weight": token(FOCUS),
            "blk.0.attn_k.weight": token(FOCUS),
            "blk.0.attn_v.weight": token(1.0),
            "blk.0.attn_output.weight": ((self.width, self.width), np.eye(self.width, dtype=np.float32)),
            "blk.0.ffn_norm.weight": one(self.width),
            "blk.0.ffn_gate.weight": r(self.width, FEED, 0.3),
            "blk.0.ffn_up.weight": r(self.width, FEED, 0.3),
            "blk.0.ffn_down.weight": r(FEED, self.width, 0.3),
        }
        if self.norm_before_fc:
            found["enc.output_norm.weight"] = one(3 * self.hidden)
        for name, values in self.tables.items():
            found[name] = values.shape[::-1], values
        if self.draft_tokens:
            found["d2t"] = (self.draft_tokens,), 2 * np.arange(self.draft_tokens, dtype=np.int64)  # type: ignore[assignment]
        return found

    def write(self, path: Path, expert: Path) -> Path:
        """The file, with the tokenizer of its expert."""
        tokenizer, size = vocabulary(expert)
        metadata: dict[str, Value] = {
            "general.architecture": "eagle3",
            "general.name": "random head",
            "eagle3.target_layers": list(self.layers),
            "eagle3.target_hidden_size": self.hidden,
            "eagle3.context_length": 2048,
            "eagle3.embedding_length": self.width,
            "eagle3.block_count": 1,
            "eagle3.feed_forward_length": FEED,
            "eagle3.attention.head_count": self.heads,
            "eagle3.attention.head_count_kv": self.heads,
            "eagle3.vocab_size": size,
        }
        flags = {"norm_before_residual": self.norm_before_residual, "norm_before_fc": self.norm_before_fc}
        pairs = [
            *(entry(key, value) for key, value in metadata.items()),
            pair("eagle3.attention.layer_norm_rms_epsilon", F32, pack("<f", EPSILON)),
            pair("eagle3.rope.freq_base", F32, pack("<f", BASE)),
            *(pair(f"eagle3.{key}", BOOL, pack("<?", on)) for key, on in flags.items()),
            *tokenizer,
        ]
        path.write_bytes(assembled(pairs, self.tensors))
        return path


def tables_of(model: Path) -> dict[str, Floats]:
    """Embeddings and output layer of a random model, (tokens, width)."""
    data, found = model.read_bytes(), {}
    for each in read_header(model).tensors:
        if each.name in ("token_embd.weight", "output.weight"):
            raw = data[each.offset : each.offset + (each.bytes or 0)]
            found[each.name] = np.frombuffer(raw, dtype="<f2").astype(np.float32).reshape(each.shape[::-1])
    return found


def forward(head: Eagle, tables: Mapping[str, Floats], tokens: Sequence[int], states: Floats) -> Floats:
    """What the head says behind each pair, (pairs, vocabulary of the head), in numpy. `states` (pairs, 3 * hidden) are
    the expert's for the first so many pairs, then the head's own stands in."""
    weights = {name: values.astype(np.float64) for name, (_, values) in head.tensors.items()}
    tables = {name: each.astype(np.float64) for name, each in {**tables, **head.tables}.items()}
    rows: list[Doubles] = []
    read: list[tuple[Doubles, Doubles]] = []
    state = np.zeros(head.width)
    for i, token in enumerate(tokens):
        if i < len(states):
            features = states[i].astype(np.float64)
            if head.norm_before_fc:
                features = normed(features) * weights["enc.output_norm.weight"]
            state = weights["fc.weight"] @ features
        embedded = normed(tables["token_embd.weight"][token]) * weights["blk.0.attn_norm.weight"]
        fused = normed(state) * weights["blk.0.attn_norm_2.weight"]
        x = np.concatenate([embedded, fused])
        q, k, v = (weights[f"blk.0.attn_{each}.weight"] @ x for each in "qkv")
        read.append((turned(k, i, head.heads), v.reshape(head.heads, -1)))
        q = turned(q, i, head.heads)
        scores = np.array([(q * key).sum(axis=1) for key, _ in read]) / np.sqrt(q.shape[1])
        shares = np.exp(scores - scores.max(axis=0))
        shares /= shares.sum(axis=0)
        attended = sum(share[:, None] * value for share, (_, value) in zip(shares, read, strict=True))
        x = weights["blk.0.attn_output.weight"] @ attended.reshape(-1)
        x = x + (fused if head.norm_before_residual else state)
        y = normed(x) * weights["blk.0.ffn_norm.weight"]
        gate = weights["blk.0.ffn_gate.weight"] @ y
        inner = gate / (1 + np.exp(-gate)) * (weights["blk.0.ffn_up.weight"] @ y)
        state = x + weights["blk.0.ffn_down.weight"] @ inner
        rows.append(tables["output.weight"] @ (normed(state) * weights["output_norm.weight"]))
    return np.array(rows, dtype=np.float32)


def normed(x: Doubles) -> Doubles:
    """RMS norm without weights."""
    return np.asarray(x / np.sqrt((x * x).mean() + EPSILON))


def turned(x: Doubles, position: int, heads: int) -> Doubles:
    """Rotary position embedding of each head of attention, (heads, size): neighbours are pairs."""
    x = x.reshape(heads, -1).copy()
    size = x.shape[1]
    angle = position * BASE ** (-np.arange(0, size, 2) / size)
    even, odd = x[:, 0::2].copy(), x[:, 1::2].copy()
    x[:, 0::2] = even * np.cos(angle) - odd * np.sin(angle)
    x[:, 1::2] = even * np.sin(angle) + odd * np.cos(angle)
    return x
