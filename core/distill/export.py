"""Step 3, export: trained weights and the kept vocabulary to a GGUF file that llama.cpp loads.

Needs torch only to read a checkpoint.
"""

import json
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..headers.gguf import Header, read_header
from ..headers.kept import Kept, restore
from ..headers.vocabulary import Tokens
from ..headers.write import Stored, encoded, write_gguf
from .weights import NUMBERS, quantise

FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 7}
COPIED = (
    "general.license", "llama.context_length", "llama.embedding_length", "llama.feed_forward_length",
    "llama.attention.head_count", "llama.attention.head_count_kv", "llama.rope.freq_base",
    "llama.attention.layer_norm_rms_epsilon", "llama.rope.dimension_count", "tokenizer.ggml.model",
    "tokenizer.ggml.pre", "tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_space_prefix", "tokenizer.chat_template",
)  # fmt: skip
TOKEN_KEYS = tuple(f"tokenizer.ggml.{name}_token_id" for name in ("bos", "eos", "unknown", "padding"))


@dataclass(frozen=True)
class Types:
    """Types of the tensors: the layers' matrices, and the embedding, which is the head too. Norms are F32."""

    matrices: str = "Q4_0"
    embedding: str = "Q8_0"

    def of(self, name: str) -> str:
        if name.endswith("norm.weight"):
            return "F32"
        return self.embedding if name == "token_embd.weight" else self.matrices


def metadata(expert: Header, kept: Kept, layers: int, types: Types) -> dict[str, object]:
    """What the drafter's file says of itself: the expert's words where they hold for both."""
    found: dict[str, object] = {
        "general.architecture": "llama",
        "general.name": f"speccas tiny drafter for {expert.name}",
        "general.file_type": FILE_TYPES[types.matrices],
        "general.quantization_version": 2,
        "llama.block_count": layers,
        "llama.vocab_size": len(kept.ids),
        "tokenizer.ggml.tokens": kept.tokens.texts,
        "tokenizer.ggml.token_type": array("i", kept.tokens.types or ()),
        "tokenizer.ggml.merges": kept.tokens.merges,
    }
    found |= {key: expert.metadata[key] for key in COPIED if key in expert.metadata}
    place = {token: i for i, token in enumerate(kept.ids)}
    for key in TOKEN_KEYS:
        token = expert.get(key, int, -1)
        if token in place:
            found[key] = place[token]
    return found


def write_drafter(
    path: Path, data: Mapping[str, object], weights: Mapping[str, NDArray[np.float32]], types: Types
) -> None:
    """A GGUF file, written beside its place and moved there. Weights are in numpy's order."""
    tensors = []
    for name, each in sorted(weights.items()):
        blob = quantise(each, types.of(name))
        tensors.append(Stored(name, each.shape[::-1], NUMBERS[types.of(name)], len(blob), partial(list, (blob,))))
    write_gguf(path, {key: encoded(value) for key, value in data.items()}, tensors)


def export(expert: Path, run: Path, out: Path, types: Types, checkpoint: str = "best") -> Sequence[str]:
    """Writes `out` from a run's weights; returns what to tell. UsageError where the run has none, Unavailable without
    torch."""
    import torch

    from .network import NetworkShape, from_network

    saved = run / f"{checkpoint}.pt"
    if not saved.exists():
        raise UsageError(f"{saved} is not there", "run the step `train` first")
    header = read_header(expert)
    tokens = Tokens.of(header)
    kept = restore(tokens, json.loads((run / "vocabulary.json").read_text()))
    weights = torch.load(saved, map_location="cpu", weights_only=True)
    weights = weights.get("weights", weights)  # "last" holds more than them
    arrays = from_network(weights, NetworkShape.of(header).head)
    layers = sum(name.endswith("attn_norm.weight") for name in arrays)
    write_drafter(out, metadata(header, kept, layers, types), arrays, types)
    parameters = sum(each.size for each in arrays.values())
    return [
        f"{out}: {layers} layers, {len(kept.ids):,} tokens, {parameters:,} parameters, {out.stat().st_size:,} bytes"
    ]
