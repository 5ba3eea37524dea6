"""A small random model with a SentencePiece vocabulary of letters and some words; Llama 2 and Gemma have larger ones.

Two of them have the same weights but for noise, so one's drafts are the other's tokens now and then.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speccas.core.headers.gguf import Header
from speccas.core.headers.vocabulary import BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED

from .gguf import ARRAY, F32, T_F32, Value, build, entry, items, pair, parsed, tensor

WIDTH, FEED, HEADS, LAYERS = 64, 128, 4, 2
LETTERS = [chr(ord("a") + i) for i in range(26)]
WORDS = ["he", "ll", "hell", "hello", "lo", "▁hello", "in", "the", "▁the", "▁▁"]
TEXTS = [
    "<unk>",
    "<s>",
    "</s>",
    *(f"<0x{i:02X}>" for i in range(256)),
    *LETTERS,
    *(f"▁{x}" for x in LETTERS),
    "▁",
    *WORDS,
]
TYPES = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * (len(TEXTS) - 259)]


@dataclass(frozen=True)
class Made:
    """What such a file holds."""

    texts: Sequence[str] = tuple(TEXTS)
    types: Sequence[int] = tuple(TYPES)
    model: str = "llama"
    noise: float = 0.0
    """Added to every weight: 0 is the model itself."""
    more: Mapping[str, Value] = field(default_factory=dict)
    """Further keys of the header."""

    def head(self) -> bytes:
        """A file without weights: all that `check` reads."""
        return build(self._pairs())

    def header(self) -> Header:
        return parsed(self.head())

    def write(self, path: Path) -> Path:
        weights = self._weights()
        tensors, data = [], b""
        for name, values in weights.items():
            tensors.append(tensor(name, tuple(reversed(values.shape)), T_F32, len(data)))
            data += values.astype("<f4").tobytes()
            data += bytes(-len(data) % 32)
        path.write_bytes(build(self._pairs(), tensors) + data)
        return path

    def _pairs(self) -> list[bytes]:
        keys: dict[str, Value] = {
            "general.architecture": "llama",
            "llama.context_length": 2048,
            "llama.embedding_length": WIDTH,
            "llama.block_count": LAYERS,
            "llama.feed_forward_length": FEED,
            "llama.attention.head_count": HEADS,
            "llama.rope.dimension_count": WIDTH // HEADS,
            "tokenizer.ggml.model": self.model,
            "tokenizer.ggml.tokens": list(self.texts),
            "tokenizer.ggml.token_type": list(self.types),
            "tokenizer.ggml.bos_token_id": 1,
            "tokenizer.ggml.eos_token_id": 2,
            **self.more,
        }
        scores = [-float(i) if kind == NORMAL else 0.0 for i, kind in enumerate(self.types)]
        longer = [10.0 * len(text) + score for text, score in zip(self.texts, scores, strict=True)]  # longest first
        return [
            *(entry(key, value) for key, value in keys.items()),
            pair("llama.attention.layer_norm_rms_epsilon", F32, struct.pack("<f", 1e-5)),
            pair("tokenizer.ggml.scores", ARRAY, items(F32, len(longer), struct.pack(f"<{len(longer)}f", *longer))),
        ]

    def _weights(self) -> dict[str, NDArray[np.float64]]:
        random, noise = np.random.default_rng(3), np.random.default_rng(4)
        count = len(self.texts)

        def made(*shape: int) -> NDArray[np.float64]:
            longest = random.standard_normal((4096, WIDTH)) * 0.1 if shape[0] == count else None
            values = random.standard_normal(shape) * 0.1 if longest is None else longest[:count]
            return values + noise.standard_normal(shape) * self.noise

        ones = np.ones(WIDTH)
        found = {
            "token_embd.weight": made(count, WIDTH),
            "output.weight": made(count, WIDTH),
            "output_norm.weight": ones,
        }
        for i in range(LAYERS):
            found |= {f"blk.{i}.{name}_norm.weight": ones for name in ("attn", "ffn")}
            shapes = {"gate": (FEED, WIDTH), "up": (FEED, WIDTH), "down": (WIDTH, FEED)}
            found |= {f"blk.{i}.attn_{name}.weight": made(WIDTH, WIDTH) for name in ("q", "k", "v", "output")}
            found |= {f"blk.{i}.ffn_{name}.weight": made(*shape) for name, shape in shapes.items()}
        return found


def padded(count: int, model: str = "llama", noise: float = 0.0) -> Made:
    """With so many tokens behind the others that only fill the vocabulary up."""
    texts = [*TEXTS, *(f"[PAD{i}]" for i in range(count))]
    return Made(texts, [*TYPES, *[UNUSED] * count], model, noise)


def renamed(changes: Mapping[int, str], noise: float = 0.0) -> Made:
    """With other texts for some tokens, which are control tokens then."""
    texts = [changes.get(i, text) for i, text in enumerate(TEXTS)]
    return Made(texts, [CONTROL if i in changes else kind for i, kind in enumerate(TYPES)], noise=noise)
