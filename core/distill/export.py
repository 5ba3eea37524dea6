"""Step 3, export: trained weights and the kept vocabulary to a GGUF file that llama.cpp loads.

Needs torch only to read a checkpoint.
"""

import json
from array import array
from collections.abc import Mapping
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
from .run import vocabulary_path
from .weights import NUMBERS, quantise

FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 7}
SIZES = (
    "context_length", "embedding_length", "feed_forward_length", "attention.head_count", "attention.head_count_kv",
    "rope.freq_base", "attention.layer_norm_rms_epsilon",
)  # fmt: skip
"""Keys of an architecture that are the expert's own."""
COPIED = (
    *(f"llama.{key}" for key in SIZES), "llama.rope.dimension_count", "tokenizer.ggml.model", "tokenizer.ggml.pre",
    "tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_space_prefix", "tokenizer.chat_template",
)  # fmt: skip
TOKEN_KEYS = tuple(f"tokenizer.ggml.{name}_token_id" for name in ("bos", "eos", "unknown", "padding"))


@dataclass(frozen=True)
class Types:
    """Types of the tensors: the layers' matrices, and the rows of tokens, going in or out. Norms are F32."""

    matrices: str = "Q4_0"
    embedding: str = "Q8_0"

    def of(self, name: str) -> str:
        if "norm" in name:
            return "F32"
        return self.embedding if name in ("token_embd.weight", "output.weight") else self.matrices


def general(expert: Header, architecture: str, name: str, types: Types) -> dict[str, object]:
    """What any file that was made says of itself first."""
    found: dict[str, object] = {
        "general.architecture": architecture,
        "general.name": name,
        "general.file_type": FILE_TYPES[types.matrices],
        "general.quantization_version": 2,
    }
    licence = expert.metadata.get("general.license")
    return found if licence is None else {**found, "general.license": licence}


def metadata(expert: Header, kept: Kept, layers: int, types: Types) -> dict[str, object]:
    """What the drafter's file says of itself: the expert's words where they hold for both."""
    found = general(expert, "llama", f"speccas tiny drafter for {expert.name}", types) | {
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


def stored(weights: Mapping[str, NDArray[np.float32]], types: Types) -> list[Stored]:
    """The tensors of a file. Weights are in numpy's order."""
    tensors = []
    for name, each in sorted(weights.items()):
        kind = types.of(name)
        blob = quantise(each, kind)
        tensors.append(Stored(name, each.shape[::-1], NUMBERS[kind], len(blob), partial(list, (blob,))))
    return tensors


def write_drafter(
    path: Path, data: Mapping[str, object], weights: Mapping[str, NDArray[np.float32]], types: Types
) -> None:
    """A GGUF file, written beside its place and moved there. Weights are in numpy's order."""
    write_gguf(path, {key: encoded(value) for key, value in data.items()}, stored(weights, types))


def trained(expert: Header, run: Path, checkpoint: str) -> tuple[list[int], dict[str, NDArray[np.float32]]]:
    """The expert's tokens that a run kept, and its weights as a file has them. UsageError where the run has none,
    ModuleNotFoundError without torch."""
    import torch

    from .network import NetworkShape, from_network

    saved = run / f"{checkpoint}.pt"
    if not saved.exists():
        raise UsageError(f"{saved} is not there", "run the step `train` first")
    weights = torch.load(saved, map_location="cpu", weights_only=True)
    weights = weights.get("weights", weights)  # "last" holds more than them
    arrays = from_network(weights, NetworkShape.of(expert).head)
    return json.loads(vocabulary_path(run).read_text()), arrays


def told(out: Path, what: str, arrays: Mapping[str, NDArray[np.float32]]) -> str:
    """One line on a file that was written."""
    parameters = sum(each.size for each in arrays.values())
    return f"{out}: {what}, {parameters:,} parameters, {out.stat().st_size:,} bytes"


def export(expert: Path, run: Path, out: Path, types: Types, checkpoint: str = "best") -> str:
    """Writes `out` from a run's weights; returns what to tell. Errors as `trained`."""
    header = read_header(expert)
    ids, arrays = trained(header, run, checkpoint)
    layers = sum(name.endswith("attn_norm.weight") for name in arrays)
    write_drafter(out, metadata(header, restore(Tokens.of(header), ids), layers, types), arrays, types)
    return told(out, f"{layers} layers, {len(ids):,} tokens", arrays)
