"""Which tensors a build multiplies a token at a time: of made headers, and of the Qwen files."""

import pytest

from speccas.core.headers.gguf import Header, read_header
from speccas.core.headers.packing import unpacked_tensors
from tests.builders.gguf import T_F32, T_Q4_0, T_Q4_K, Value, build, entry, parsed, tensor
from tests.builders.models import QWEN_EXPERT

X86 = frozenset({"Q4_0", "Q4_K", "IQ4_NL", "MXFP4"})
BYTES = {T_F32: 4.0, T_Q4_0: 18 / 32, T_Q4_K: 144 / 256, 14: 210 / 256}
Q6_K = 14
Tensors = dict[str, tuple[int, tuple[int, ...]]]

BODY: Tensors = {"blk.0.attn_q.weight": (T_Q4_K, (256, 256)), "blk.0.attn_norm.weight": (T_F32, (256,))}
TABLES: Tensors = {"token_embd.weight": (Q6_K, (256, 512)), "output.weight": (Q6_K, (256, 512))}


def header(tensors: Tensors, **metadata: Value) -> Header:
    parts, at = [], 0
    for name, (kind, shape) in tensors.items():
        parts.append(tensor(name, shape, kind, at))
        size = BYTES[kind]
        for each in shape:
            size *= each
        at += -(-int(size) // 32) * 32
    pairs: dict[str, Value] = {"general.architecture": "llama", **metadata}
    return parsed(build([entry(key, value) for key, value in pairs.items()], parts, data=at))


def test_what_is_read_in_a_step_and_of_no_packed_type() -> None:
    """The output is read, of the embedding table a row; vectors are read as they are everywhere."""
    found = unpacked_tensors(header({**BODY, **TABLES}), X86)
    output, q, norm = 512 * 210, 256 * 144, 1024
    assert found is not None and (found.types, found.count, found.total) == (("Q6_K",), 1, 4)
    assert found.share == pytest.approx(output / (output + q + norm))


def test_a_table_that_is_the_output_too_is_read_whole() -> None:
    tied = {name: each for name, each in TABLES.items() if name != "output.weight"}
    found = unpacked_tensors(header({**BODY, **tied}), X86)
    assert found is not None and (found.types, found.count) == (("Q6_K",), 1)


def test_rows_in_no_multiple_of_eight_stay_as_they_are() -> None:
    odd: Tensors = {"blk.0.ffn_up.weight": (T_Q4_0, (256, 260)), "blk.0.ffn_down.weight": (T_Q4_0, (256, 264))}
    found = unpacked_tensors(header(odd), X86)
    assert found is not None and (found.types, found.count, found.total) == (("Q4_0",), 1, 2)


def test_the_type_of_most_bytes_is_named_first() -> None:
    body: Tensors = {"blk.0.ffn_up.weight": (T_Q4_0, (256, 256)), "blk.0.ffn_down.weight": (Q6_K, (256, 1024))}
    found = unpacked_tensors(header(body), frozenset({"MXFP4"}))
    assert found is not None and found.types == ("Q6_K", "Q4_0") and found.share == 1.0


def test_nothing_is_said_of_packed_files_and_of_those_that_a_header_does_not_tell_whole() -> None:
    assert unpacked_tensors(header(BODY), X86) is None
    assert unpacked_tensors(header({"blk.0.ffn_up.weight": (T_F32, (256, 256))}), X86) is None, "plain numbers"
    assert unpacked_tensors(header({**BODY, **TABLES}, **{"split.count": 2}), X86) is None
    assert unpacked_tensors(header({}), X86) is None


@pytest.mark.slow
def test_the_expert_of_the_real_pair() -> None:
    """What makes its calls of four cost three tokens: half of attn_v and ffn_down, and the output."""
    if not QWEN_EXPERT.is_file():
        pytest.skip("no Qwen file")
    found = unpacked_tensors(read_header(QWEN_EXPERT), X86)
    assert found is not None and (found.types, found.count, found.total) == (("Q6_K",), 29, 339)
    assert found.share == pytest.approx(0.36, abs=0.01)
    assert unpacked_tensors(read_header(QWEN_EXPERT), X86 | {"Q6_K"}) is None
