"""What a file may be made into, from headers alone."""

import math
from pathlib import Path

import pytest

from speccas.core.errors import CannotPair, UsageError
from speccas.core.headers.gguf import TENSOR_TYPES, Header, Tensor, Value, read_header
from speccas.core.optimize.candidates import CANDIDATES, four_bits, mean_bits, possible, quantised_bytes
from tests.builders.models import QWEN_DRAFTER, QWEN_EXPERT, TINY, smollm2

TYPES = {name: (number, block, size) for number, (name, block, size) in TENSOR_TYPES.items()}


def header(types: dict[str, str], width: int = 256, **metadata: int) -> Header:
    """A matrix of `width` rows and columns for each name, and a norm."""
    tensors, offset = [], 0
    for name, kind in types.items():
        number, block, size = TYPES[kind]
        bytes_ = width * width // block * size
        tensors.append(Tensor(name, (width, width), number, kind, offset, bytes_))
        offset += bytes_
    tensors.append(Tensor("output_norm.weight", (width,), 0, "F32", offset, width * 4))
    values: dict[str, Value] = {
        "general.architecture": "llama",
        **{key.replace("__", "."): each for key, each in metadata.items()},
    }
    return Header(3, values, tuple(tensors), 0, offset + width * 4, 32, "made.gguf")


def of(kind: str, width: int = 256, **metadata: int) -> Header:
    return header({"token_embd.weight": kind, "blk.0.attn_q.weight": kind}, width, **metadata)


@pytest.mark.parametrize("kind", ["F16", "BF16", "F32", "Q8_0", "Q6_K", "Q5_K", "Q4_K", "IQ4_NL"])
def test_a_file_of_bits_enough_is_made_into_each_kind(kind: str) -> None:
    kept, left = possible(of(kind))
    assert [each.name for each in kept] == [name for name in CANDIDATES if name != kind]
    assert list(left) == [name for name in CANDIDATES if name == kind]
    assert all("already best" in reason for reason in left.values())


@pytest.mark.parametrize("kind", ["Q2_K", "Q3_K", "IQ4_XS", "Q2_0"])
def test_never_more_bits_than_the_source_has(kind: str) -> None:
    with pytest.raises(UsageError, match=r"made\.gguf: Q4_0: its 4\.5 bits a weight are more than the [1234]\.") as no:
        possible(of(kind))
    assert "Q8_0" in no.value.hint and no.value.exit_code == 2


def test_the_mean_counts_not_a_single_tensor() -> None:
    mixed = header({"token_embd.weight": "Q8_0", "blk.0.ffn_up.weight": "Q2_K"})
    assert math.isclose(mean_bits(mixed), (8.5 + 8 * 84 / 256) / 2)
    assert len(possible(mixed)[0]) == 3


def test_rows_must_be_whole_blocks() -> None:
    kept, left = possible(of("F16", width=96))
    assert [each.name for each in kept] == ["Q4_0", "IQ4_NL"]
    assert left == {"Q4_K": "the rows of token_embd.weight are 96 long, no multiple of 256"}
    with pytest.raises(UsageError, match="no multiple of 32; IQ4_NL: the rows"):
        possible(of("F16", width=40))


def test_what_is_one_kind_already_needs_nothing_and_is_no_error() -> None:
    """Of Q4_0 with rows for no Q4_K there is still IQ4_NL."""
    assert [each.name for each in possible(of("Q4_0", width=96))[0]] == ["IQ4_NL"]
    mixed = header({"token_embd.weight": "Q4_0", "blk.0.attn_q.weight": "Q8_0"})
    assert "Q4_0" in [each.name for each in possible(mixed)[0]]


def test_parts_and_mixtures_are_refused_in_a_line() -> None:
    with pytest.raises(UsageError, match=r"made\.gguf is one of 3 parts"):
        possible(of("F16", split__count=3))
    with pytest.raises(CannotPair, match="a mixture of 8 experts, 2 a token: on a CPU"):
        possible(of("F16", llama__expert_count=8, llama__expert_used_count=2))


def test_a_type_that_nobody_knows_is_refused() -> None:
    unknown = Tensor("blk.0.attn_q.weight", (256, 256), 99, "type 99", 0, None)
    with pytest.raises(UsageError, match="not known"):
        possible(Header(3, {}, (unknown,), 0, 0, 32, "made.gguf"))


@pytest.mark.parametrize(
    "name",
    ["blk.0.attn_norm.weight", "blk.0.ffn_gate_inp.weight", "blk.0.ssm_conv1d.weight", "blk.0.attn_q.bias"],
)
def test_what_llama_cpp_leaves_alone_counts_for_nothing(name: str) -> None:
    plain = header({"token_embd.weight": "Q8_0", name: "F32"})
    assert mean_bits(plain) == 8.5
    made = quantised_bytes(plain, CANDIDATES["Q4_0"])
    assert made == 256 * 256 // 32 * 18 + 256 * 256 * 4 + 256 * 4


def test_files_as_they_come() -> None:
    assert mean_bits(read_header(TINY)) == 8.5 and not four_bits(read_header(TINY))
    known: list[tuple[Path | None, set[str]]] = [
        (smollm2(), {"Q4_0", "IQ4_NL"}),
        (QWEN_DRAFTER, {"Q4_0", "IQ4_NL"}),
        (QWEN_EXPERT, {"Q4_0", "IQ4_NL", "Q4_K"}),
    ]
    for path, names in known:
        if path is not None and path.is_file():
            found = read_header(path)
            assert {each.name for each in possible(found)[0]} == names and four_bits(found), path
