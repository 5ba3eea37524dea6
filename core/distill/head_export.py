"""Step 3 for a head: trained weights to a GGUF file of architecture eagle3, which llama.cpp's own programs load too.

Needs torch only to read a checkpoint.
"""

import json
from array import array
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..headers.gguf import Header, read_header
from ..headers.write import Stored, encoded, values_of, write_gguf
from .data import remembered
from .export import FILE_TYPES, Types
from .weights import NUMBERS, quantise

I64 = 27  # ggml's number of a type: what llama.cpp wants the draft vocabulary in


def head_metadata(expert: Header, states: Sequence[int], types: Types) -> dict[str, object]:
    """What a head's file says of itself, beside the expert's tokenizer."""
    width = expert.get("llama.embedding_length", int, 0)
    heads = expert.get("llama.attention.head_count", int, 0)
    found: dict[str, object] = {
        "general.architecture": "eagle3",
        "general.name": f"EAGLE-3 head for {expert.name}",
        "general.file_type": FILE_TYPES[types.matrices],
        "general.quantization_version": 2,
        "eagle3.target_layers": array("i", states),
        "eagle3.target_hidden_size": width,
        "eagle3.norm_before_residual": False,
        "eagle3.norm_before_fc": True,
        "eagle3.block_count": 1,
        "eagle3.vocab_size": len(expert.metadata["tokenizer.ggml.tokens"]),  # type: ignore[arg-type]
        "eagle3.context_length": expert.get("llama.context_length", int, 2048),
        "eagle3.embedding_length": width,
        "eagle3.feed_forward_length": expert.get("llama.feed_forward_length", int, 0),
        "eagle3.attention.head_count": heads,
        "eagle3.attention.head_count_kv": expert.get("llama.attention.head_count_kv", int, heads),
        "eagle3.attention.layer_norm_rms_epsilon": expert.get("llama.attention.layer_norm_rms_epsilon", float, 1e-5),
        "eagle3.rope.freq_base": expert.get("llama.rope.freq_base", float, 10000.0),
    }
    licence = expert.metadata.get("general.license")
    return found if licence is None else {**found, "general.license": licence}


def write_head(
    path: Path,
    expert: Path,
    weights: Mapping[str, NDArray[np.float32]],
    kept: Sequence[int],
    states: Sequence[int],
    types: Types,
) -> None:
    """A GGUF file, written beside its place and moved there. `kept`: the expert's token of each row of `output`. It has
    no embeddings: a head borrows those of its expert."""
    header = read_header(expert)
    values = {key: encoded(value) for key, value in head_metadata(header, states, types).items()}
    values |= {key: value for key, value in values_of(expert, header).items() if key.startswith("tokenizer.")}
    ids = np.asarray(kept, "<i8").tobytes()
    tensors = [Stored("d2t", (len(kept),), I64, len(ids), partial(list, (ids,)))]
    for name, each in sorted(weights.items()):
        kind = "F32" if "norm" in name else types.embedding if name == "output.weight" else types.matrices
        blob = quantise(each, kind)
        tensors.append(Stored(name, each.shape[::-1], NUMBERS[kind], len(blob), partial(list, (blob,))))
    write_gguf(path, values, tensors)


def export_head(expert: Path, data: Path, run: Path, out: Path, types: Types, checkpoint: str = "best") -> str:
    """Writes `out` from a run's weights; returns what to tell. UsageError where the run has none, ModuleNotFoundError
    without torch."""
    import torch

    from .network import NetworkShape, from_network

    saved = run / f"{checkpoint}.pt"
    if not saved.exists():
        raise UsageError(f"{saved} is not there", "train first")
    kept = json.loads((run / "vocabulary.json").read_text())
    weights = torch.load(saved, map_location="cpu", weights_only=True)
    weights = weights.get("weights", weights)  # "last" holds more than them
    arrays = from_network(weights, NetworkShape.of(read_header(expert)).head)
    write_head(out, expert, arrays, kept, remembered(data)["states"], types)
    parameters = sum(each.size for each in arrays.values())
    return f"{out}: {len(kept):,} tokens, {parameters:,} parameters, {out.stat().st_size:,} bytes"
