"""Bytes of weights that a step reads: of made headers whose every tensor is known, and of the tiny pair."""

import pytest

from speccas.core.headers.gguf import Header
from speccas.core.headers.weights import step_bytes
from speccas.core.runtime.pair import Pair
from tests.builders.gguf import T_F32, T_Q4_0, Value, build, entry, parsed, tensor

Tensors = dict[str, tuple[int, ...]]
EMBEDDING: Tensors = {"token_embd.weight": (32, 100)}
BLOCK: Tensors = {"blk.0.attn_q.weight": (32, 32), "blk.0.ffn_up.weight": (32, 64)}
OUTPUT: Tensors = {"output.weight": (32, 100)}


def header(tensors: Tensors, metadata: dict[str, Value] | None = None, kind: int = T_F32) -> Header:
    """A header whose tensors lie one behind the other."""
    size = 4 if kind == T_F32 else 18 / 32
    parts, at = [], 0
    for name, shape in tensors.items():
        parts.append(tensor(name, shape, kind, at))
        at += int(shape[0] * shape[1] * size)
    pairs = {"general.architecture": "llama", **(metadata or {})}
    return parsed(build([entry(key, value) for key, value in pairs.items()], parts, data=at))


@pytest.mark.parametrize(
    ("tensors", "metadata", "elements"),
    [
        ({**EMBEDDING, **BLOCK}, {}, 3200 + 3072),  # the output is the embedding table
        ({**EMBEDDING, **BLOCK, **OUTPUT}, {}, 3072 + 3200),  # of the embedding table it reads a row
        ({**BLOCK, **OUTPUT, "per_layer_token_embd.weight": (32, 900)}, {}, 3072 + 3200),
        (
            {**BLOCK, **OUTPUT, "blk.0.ffn_up_exps.weight": (32, 80), "blk.0.ffn_up_shexp.weight": (32, 10)},
            {"llama.expert_count": 8, "llama.expert_used_count": 2},
            3072 + 3200 + 2560 / 4 + 320,
        ),
        ({**BLOCK, **OUTPUT, "blk.0.ffn_up_exps.weight": (32, 80)}, {}, 3072 + 3200 + 2560),
        (
            {**BLOCK, **OUTPUT, "blk.1.nextn.eh_proj.weight": (32, 50)},
            {"llama.block_count": 2, "llama.nextn_predict_layers": 1},
            3072 + 3200,
        ),
    ],
)
def test_what_a_step_reads(tensors: Tensors, metadata: dict[str, Value], elements: float) -> None:
    found = header(tensors, metadata)
    assert step_bytes(found, found.file_bytes) == pytest.approx(4 * elements)


def test_quantised_weights_count_by_their_bytes() -> None:
    found = header(BLOCK, kind=T_Q4_0)
    assert step_bytes(found, found.file_bytes) == 3072 * 18 / 32


def test_the_first_part_of_a_split_model_stands_for_all() -> None:
    """Its head says nothing of the other parts but their number; their bytes are known from the files."""
    part = header({**EMBEDDING, **BLOCK}, {"split.count": 3})
    assert step_bytes(part, 80_000) == pytest.approx(80_000 * 3072 / (3072 + 3200))


def test_what_is_not_known_is_not_guessed() -> None:
    assert step_bytes(header({}), 100) is None
    assert step_bytes(header(BLOCK, kind=9999), 100) is None


@pytest.mark.tiny
def test_the_tiny_pair(tiny: Pair) -> None:
    """Both have one table for embedding and output, so a step reads all of either file but its header."""
    sizes = {role: file.bytes - file.header.data_offset for role, file in tiny.files.items()}
    assert tiny.step_cost == pytest.approx(sizes["drafter"] / sizes["expert"], rel=0.001)
