"""Step 3 for a head: trained weights to a GGUF file of architecture eagle3, which llama.cpp's own programs load too.

Needs torch only to read a checkpoint.
"""

from array import array
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..headers.gguf import Header, read_header
from ..headers.vocabulary import Tokens
from ..headers.write import Stored, encoded, values_of, write_gguf
from .data import remembered
from .export import SIZES, Types, general, stored, told, trained
from .head_lessons import waves_with_states
from .texts import WaveTexts, split_waves

OUTPUT = "output.weight"
I64 = 27  # ggml's number of a type: what llama.cpp wants the draft vocabulary in


def head_metadata(expert: Header, states: Sequence[int], types: Types) -> dict[str, object]:
    """What a head's file says of itself, beside the expert's tokenizer: its layer has the sizes of the expert's."""
    found = general(expert, "eagle3", f"EAGLE-3 head for {expert.name}", types) | {
        "eagle3.target_layers": array("i", states),
        "eagle3.target_hidden_size": expert.metadata["llama.embedding_length"],
        "eagle3.norm_before_residual": False,
        "eagle3.norm_before_fc": True,
        "eagle3.block_count": 1,
        "eagle3.vocab_size": len(Tokens.of(expert)),
    }
    sizes = {key: expert.metadata[f"llama.{key}"] for key in SIZES if f"llama.{key}" in expert.metadata}
    return found | {f"eagle3.{key}": value for key, value in sizes.items()}


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
    tensors = [Stored("d2t", (len(kept),), I64, len(ids), partial(list, (ids,))), *stored(weights, types)]
    write_gguf(path, values, tensors)


def commonest(
    kept: Sequence[int], weights: Mapping[str, NDArray[np.float32]], counts: NDArray[np.int64], most: int
) -> tuple[list[int], dict[str, NDArray[np.float32]]]:
    """The tokens of `kept` that were written most often, `most` of them, ascending, and the weights without the output
    rows of the others. A step reads every row, so a rare token costs as much as a common one."""
    rows = np.sort(np.argsort(-counts[kept], kind="stable")[:most])
    return [kept[row] for row in rows], {**weights, OUTPUT: weights[OUTPUT][rows]}


def export_head(
    expert: Path, data: Path, run: Path, out: Path, types: Types, checkpoint: str = "best", most: int = 0
) -> str:
    """Writes `out` from a run's weights; returns what to tell. `most`: tokens that it may draft, 0 all that were
    trained. Errors as `trained`, UsageError without data."""
    header = read_header(expert)
    kept, arrays = trained(header, run, checkpoint)
    if 0 < most < len(kept):
        seen, _ = split_waves(waves_with_states(data), f"waves with states in {data}")
        counts = WaveTexts(data, seen).counts(len(Tokens.of(header)))
        kept, arrays = commonest(kept, arrays, counts, most)
    write_head(out, expert, arrays, kept, remembered(data)["states"], types)
    return told(out, f"{len(kept):,} tokens", arrays)
