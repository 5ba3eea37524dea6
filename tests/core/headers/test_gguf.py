"""Reading GGUF headers: real files, files made here to be wrong, and files changed at random."""

import json
import math
import mmap
import os
import pickle
import struct
import subprocess
import sys
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speccas.core.errors import IntegrityError, UsageError
from speccas.core.headers import gguf
from speccas.core.headers.gguf import Header, StringArray, Truncated, parse_header, read_header
from tests.builders.gguf import (
    ARRAY,
    BOOL,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    STRING,
    T_F32,
    T_Q4_0,
    T_Q4_K,
    U8,
    U16,
    U32,
    U64,
    build,
    integer,
    items,
    pair,
    preamble,
    strings,
    tensor,
    text,
)
from tests.builders.models import QWEN_DRAFTER, TINY, smollm2

ARCHITECTURE = pair("general.architecture", STRING, text("llama"))
TOKENS = (b"a", b"", b"\xff\xfe", "ĠParis".encode(), b"\x1b]0;x\x07")
PAIRS = (
    ARCHITECTURE,
    pair("general.name", STRING, text(b"caf\xc3\xa9 \xff")),
    pair("general.file_type", U32, integer(15)),
    pair("u8", U8, b"\xff"),
    pair("i8", I8, b"\xff"),
    pair("u16", U16, b"\xfe\xff"),
    pair("i16", I16, b"\xfe\xff"),
    pair("i32", I32, struct.pack("<i", -7)),
    pair("f32", F32, struct.pack("<f", 0.5)),
    pair("yes", BOOL, b"\1"),
    pair("no", BOOL, b"\0"),
    pair("u64", U64, struct.pack("<Q", 2**64 - 1)),
    pair("i64", I64, struct.pack("<q", -(2**63))),
    pair("f64", F64, struct.pack("<d", math.pi)),
    pair("tokens", ARRAY, strings(*TOKENS)),
    pair("scores", ARRAY, items(F32, 3, struct.pack("<3f", 1, -2, 0.25))),
    pair("types", ARRAY, items(I32, 2, struct.pack("<2i", 1, -1))),
    pair("flags", ARRAY, items(BOOL, 3, b"\1\0\1")),
    pair("none", ARRAY, items(STRING, 0, b"")),
    pair("nothing", ARRAY, items(F64, 0, b"")),
)
TENSORS = (
    tensor("embedding", (256, 3), T_Q4_K, 0),  # 432 bytes, padded to 448
    tensor("norm", (5,), T_F32, 448),  # 20 bytes, padded to 32
    tensor("output", (64, 2, 1, 2), T_Q4_0, 480),  # 144 bytes
)
GOOD = build(PAIRS, TENSORS, 624)


def parse(data: bytes) -> Header:
    return parse_header(data, len(data), "model.gguf")


def write(folder: Path, data: bytes) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(data)
    return path


# --- what is read -------------------------------------------------------------------------------------------


def test_every_value_and_tensor_of_a_good_file() -> None:
    header = parse(GOOD)
    tokens = header.metadata["tokens"]
    assert isinstance(tokens, StringArray) and tuple(tokens) == TOKENS
    assert {key: value for key, value in header.metadata.items() if key != "tokens"} == {
        "general.architecture": "llama",
        "general.name": "café \ufffd",
        "general.file_type": 15,
        "u8": 255,
        "i8": -1,
        "u16": 65534,
        "i16": -2,
        "i32": -7,
        "f32": 0.5,
        "yes": True,
        "no": False,
        "u64": 2**64 - 1,
        "i64": -(2**63),
        "f64": math.pi,
        "scores": array("f", [1, -2, 0.25]),
        "types": array("i", [1, -1]),
        "flags": array("B", [1, 0, 1]),
        "none": header.metadata["none"],
        "nothing": array("d"),
    }
    assert header.metadata["yes"] is True and len(header.get("none", StringArray, ())) == 0
    start = len(GOOD) - 624
    assert [(t.name, t.shape, t.type_name, t.offset, t.bytes) for t in header.tensors] == [
        ("embedding", (256, 3), "Q4_K", start, 432),
        ("norm", (5,), "F32", start + 448, 20),
        ("output", (64, 2, 1, 2), "Q4_0", start + 480, 144),
    ]
    assert (header.version, header.alignment, header.data_offset, header.file_bytes) == (
        3,
        32,
        start,
        len(GOOD),
    )
    assert (header.architecture, header.name, header.file_type) == ("llama", "café \ufffd", "Q4_K_M")
    assert header.parameters == 768 + 5 + 256


@pytest.mark.parametrize(
    ("data", "check"),
    [
        pytest.param(build(), lambda h: h.metadata == {} and h.tensors == () and h.data_offset == 24, id="nothing"),
        pytest.param(build(PAIRS, TENSORS, 624, version=2), lambda h: h.version == 2, id="version 2"),
        pytest.param(GOOD + b"more", lambda h: h.file_bytes == len(GOOD) + 4, id="bytes behind the weights"),
        pytest.param(
            build((), (tensor("s", (), T_F32, 0),), 4),
            lambda h: h.tensors[0].bytes == 4,
            id="a single number",
        ),
        pytest.param(
            build((pair("general.alignment", U32, integer(1)),), (tensor("s", (3,), 24, 0),), 3, alignment=1),
            lambda h: h.alignment == 1 and h.data_offset == len(build()) + 33 + 33,
            id="alignment 1",
        ),
        pytest.param(
            build(
                (pair("general.alignment", U32, integer(4096)),),
                (tensor("s", (1,), T_F32, 0),),
                4,
                alignment=4096,
            ),
            lambda h: h.data_offset == 4096,
            id="alignment 4096",
        ),
        pytest.param(
            build(
                (pair("general.alignment", U32, integer(64)),),
                (tensor("s", (1,), T_F32, 0), tensor("t", (1,), T_F32, 64)),
                68,
                alignment=64,
            ),
            lambda h: [t.offset - h.data_offset for t in h.tensors] == [0, 64],
            id="alignment 64",
        ),
        pytest.param(
            build((), (tensor("x", (32,), 99, 0), tensor("y", (1,), T_F32, 64)), 68),
            lambda h: (h.tensors[0].type_name, h.tensors[0].bytes, h.tensors[1].bytes) == ("type 99", None, 4),
            id="a type not known",
        ),
        pytest.param(
            build((), (tensor("x" * 63, (1,), T_F32, 0),), 4),
            lambda h: len(h.tensors[0].name) == 63,
            id="63 letters",
        ),
        pytest.param(build((pair("k" * 65536, U8, b"\0"),)), lambda h: len(h.metadata) == 1, id="a long key"),
    ],
)
def test_unusual_but_sound(data: bytes, check: Callable[[Header], bool]) -> None:
    assert check(parse(data))


def file_type(number: int | None, *kinds: tuple[int, int]) -> str:
    pairs = () if number is None else (pair("general.file_type", U32, integer(number)),)
    offsets, at = [], 0
    for kind, rows in kinds:
        offsets.append(tensor(f"t{at}", (256, rows), kind, at))
        at += 256 // gguf.TENSOR_TYPES[kind][1] * gguf.TENSOR_TYPES[kind][2] * rows
    return parse(build(pairs, tuple(offsets), at)).file_type


def test_file_type_is_the_name_that_users_know() -> None:
    names = {
        0: "F32",
        1: "F16",
        2: "Q4_0",
        3: "Q4_1",
        7: "Q8_0",
        15: "Q4_K_M",
        17: "Q5_K_M",
        18: "Q6_K",
        38: "MXFP4_MOE",
    }
    assert {number: file_type(number) for number in names} == names
    assert file_type(1024 | 15) == "Q4_K_M"  # LLAMA_FTYPE_GUESSED beside it


def test_file_type_without_the_key_is_the_type_of_most_bytes() -> None:
    assert file_type(None) == ""
    assert file_type(None, (T_F32, 1), (T_Q4_K, 8)) == "Q4_K"  # 1024 bytes and 1152
    assert file_type(777, (T_F32, 2), (T_Q4_K, 8)) == "F32"  # a number not known


def test_get_names_the_key_of_the_wrong_type() -> None:
    header = parse(GOOD)
    assert header.get("i32", int, None) == -7
    assert header.get("missing", int, None) is None
    assert header.get("yes", bool, False) is True
    with pytest.raises(IntegrityError, match=r"^model\.gguf is damaged: general\.name is of type str, not int$"):
        header.get("general.name", int, 0)
    with pytest.raises(IntegrityError, match="yes is of type bool, not int"):
        header.get("yes", int, 0)
    with pytest.raises(IntegrityError, match=r"general\.architecture is of type int, not str"):
        _ = parse(build((pair("general.architecture", U32, integer(1)),))).architecture


def test_string_array_is_a_sequence() -> None:
    def read(*values: bytes) -> StringArray:
        found = parse(build((pair("k", ARRAY, strings(*values)),))).get("k", StringArray, None)
        assert found is not None
        return found

    tokens = read(*TOKENS)
    assert len(tokens) == len(TOKENS) and list(tokens) == list(TOKENS)
    assert tokens[1:4] == list(TOKENS[1:4]) and tokens[::-1] == list(TOKENS[::-1])
    assert [tokens[i] for i in range(-5, 5)] == [TOKENS[i] for i in range(-5, 5)]
    for outside in (5, -6):
        with pytest.raises(IndexError):
            tokens[outside]
    assert b"a" in tokens and b"b" not in tokens and tokens.index(b"") == 1
    assert tokens == read(*TOKENS) and tokens != read(*TOKENS[:-1]) and tokens != read(*TOKENS[:-1], b"")
    assert read(b"ab", b"c") != read(b"a", b"bc") and read(b"a") != read(b"b") and tokens != list(TOKENS)
    assert pickle.loads(pickle.dumps(tokens)) == tokens
    assert repr(tokens) == "<StringArray of 5>"  # what a stranger wrote is not printed by accident


def test_header_outlives_its_file(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    header = read_header(path)
    path.write_bytes(b"\0" * len(GOOD))
    assert tuple(header.get("tokens", StringArray, ())) == TOKENS
    assert header.get("scores", array, None) == array("f", [1, -2, 0.25])


def test_buffers_are_given_back() -> None:
    """Closing raises BufferError while a slice is alive, and `kept` keeps every frame of every error."""
    kept = []
    for data, says in [(GOOD, ""), *MALFORMED.values()]:
        with mmap.mmap(-1, len(data) + 1) as memory:
            memory[:-1] = data
            try:
                parse_header(memory, len(data), "model.gguf")
                assert not says
            except IntegrityError as error:
                kept.append(error)
    assert len(kept) == len(MALFORMED)


# --- real files ---------------------------------------------------------------------------------------------


def test_the_tiny_drafter() -> None:
    header = read_header(TINY)
    assert header.architecture == "llama" and header.file_type == "Q8_0" and header.version == 3
    tokens = header.get("tokenizer.ggml.tokens", StringArray, None)
    assert tokens is not None and len(tokens) == 14_336 and tokens[0] == b"<|endoftext|>"
    assert header.parameters == 22_418_496
    assert header.get("llama.block_count", int, None) == 4
    assert header.file_bytes == TINY.stat().st_size == max(t.offset + (t.bytes or 0) for t in header.tensors)


@pytest.mark.tiny
def test_the_tiny_expert() -> None:
    path = smollm2()
    if path is None:
        pytest.skip("needs the tiny extra")
    header = read_header(path)
    tokens, drafter = (h.get("tokenizer.ggml.tokens", StringArray, None) for h in (header, read_header(TINY)))
    assert tokens is not None and drafter is not None and len(tokens) == 49_152
    assert set(drafter) <= set(tokens) and tokens != drafter
    assert (header.architecture, header.file_type, header.parameters) == ("llama", "Q4_1", 134_515_008)


@pytest.mark.real
def test_a_vocabulary_of_152_thousand() -> None:
    if not QWEN_DRAFTER.is_file():
        pytest.skip("get-pair was not run on this machine")
    header = read_header(QWEN_DRAFTER)
    tokens = header.get("tokenizer.ggml.tokens", StringArray, None)
    assert tokens is not None and len(tokens) == 151_936 and tokens[151_643] == b"<|endoftext|>"
    assert (header.architecture, header.file_type, header.parameters) == ("qwen2", "Q4_K_M", 630_167_424)


@pytest.mark.parametrize("first", [0, 1, 3, 4, 23, 24, 1000])
def test_needed_leads_a_reader_of_prefixes_to_the_whole_header(first: int) -> None:
    whole = TINY.read_bytes()
    end = read_header(TINY).data_offset
    have, steps = first, 0
    while True:
        steps += 1
        try:
            header = parse_header(whole[:have], len(whole), TINY.name)
            break
        except Truncated as short:
            assert have < short.needed <= end, "it asks for what it has, or for more than there is"
            have = max(2 * have, short.needed)
    assert header == parse_header(whole, len(whole), TINY.name)
    assert have < len(whole) and steps < 40


def test_every_prefix_is_truncated_and_the_whole_header_is_enough() -> None:
    end = len(preamble(0, 0)) + len(b"".join(PAIRS + TENSORS))
    for have in range(end):
        with pytest.raises(Truncated) as caught:
            parse_header(GOOD[:have], len(GOOD), "model.gguf")
        assert have < caught.value.needed <= end
    for have in (end, len(GOOD) - 624, len(GOOD)):
        assert parse_header(GOOD[:have], len(GOOD), "model.gguf") == parse(GOOD)


def test_a_prefix_that_can_never_become_a_header_is_no_truncation() -> None:
    data = preamble(0, 1) + text("k") + struct.pack("<i", STRING) + struct.pack("<Q", 2**40)
    with pytest.raises(IntegrityError, match="is cut short") as caught:
        parse_header(data, 2**30, "model.gguf")
    assert not isinstance(caught.value, Truncated)


def test_a_header_over_the_top_is_refused_though_all_of_it_is_at_hand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    end = len(preamble(0, 0)) + len(b"".join(PAIRS + TENSORS))
    monkeypatch.setattr(gguf, "MAX_HEADER", end)
    assert parse(GOOD).parameters > 0
    monkeypatch.setattr(gguf, "MAX_HEADER", end - 1)
    with pytest.raises(IntegrityError, match="its header is larger than"):
        parse(GOOD)


# --- what is refused ----------------------------------------------------------------------------------------


def one(kind: int, value: bytes, key: bytes | str = "k") -> bytes:
    return build((pair(key, kind, value),))


def lone(*tensors: bytes, data: int = 4096) -> bytes:
    return build((), tensors, data)


def aligned(value: int) -> bytes:
    return build((pair("general.alignment", U32, integer(value)),), (tensor("t", (1,), T_F32, 0),), 4096)


HUGE = 2**60
MALFORMED: dict[str, tuple[bytes, str]] = {
    # the first bytes
    "empty": (b"", "is empty"),
    "a text file": (b"hello, world", "is not a GGUF file: it begins with b'hello, world'"),
    "escape codes": (b"\x1b]0;x\x07\xff", r"is not a GGUF file: it begins with b'\x1b]0;x\x07\xff'"),
    "a web page": (b"<!DOCTYPE html><html>", "is not a GGUF file: it begins with b'<!DOCTYPE html"),
    "a Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\n", "is not a GGUF file"),
    "an archive": (b"PK\3\4" + bytes(40), "is not a GGUF file"),
    "zeros": (bytes(4096), "is not a GGUF file"),
    "the old ggjt": (b"tjgg" + bytes(40), "is not a GGUF file"),
    "magic in small letters": (b"gguf" + GOOD[4:], "is not a GGUF file"),
    "a wrong last letter": (b"GGUX" + GOOD[4:], "is not a GGUF file: it begins with b'GGUX"),
    "GG": (b"GG", "is cut short: 2 bytes where the header promises at least 4"),
    "magic alone": (b"GGUF", "is cut short: 4 bytes"),
    "no counts": (GOOD[:8], "is cut short: 8 bytes"),
    "one count": (GOOD[:16], "is cut short: 16 bytes"),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "is a big-endian GGUF file"),
    "version 0": (preamble(0, 0, 0), "is of GGUF version 0"),
    "version 1": (preamble(0, 0, 1), "is of GGUF version 1"),
    "version 4": (preamble(0, 0, 4), "is of GGUF version 4"),
    "version 2**32 - 1": (preamble(0, 0, 2**32 - 1), "is of GGUF version 4294967295"),
    # counts
    "2**60 keys in 43 bytes": (
        preamble(0, HUGE) + bytes(19),
        "it claims to hold 1,152,921,504,606,846,976 keys",
    ),
    "2**60 tensors in 43 bytes": (preamble(HUGE, 0) + bytes(19), "1,152,921,504,606,846,976 tensors"),
    "an array with no length, 43 bytes": (
        preamble(0, 1) + text("abc") + struct.pack("<ii", ARRAY, STRING),
        "is cut short: 43 bytes where the header promises at least 51",
    ),
    "2**64 - 1 keys": (preamble(0, 2**64 - 1), "keys"),
    "2**64 - 1 tensors": (preamble(2**64 - 1, 0), "tensors"),
    "65,537 keys": (preamble(0, 65_537) + bytes(2_000_000), "65,537 keys"),
    "131,073 tensors": (preamble(131_073, 0) + bytes(4_000_000), "131,073 tensors"),
    "65,536 keys and no bytes": (
        preamble(0, 65_536),
        "is cut short: 24 bytes where the header promises at least 917,528",
    ),
    "131,072 tensors and no bytes": (preamble(131_072, 0), "is cut short"),
    "one key more than there are": (preamble(0, 2) + ARCHITECTURE, "is cut short"),
    "one tensor more than there are": (preamble(2, 0) + TENSORS[1], "is cut short"),
    # keys
    "an empty key": (one(U8, b"\0" * 9, b""), "a key of 0 bytes"),
    "a key of 65,537 bytes": (one(U8, b"\0", "k" * 65_537), "a key of 65,537 bytes"),
    "a key of 2**60 bytes": (preamble(0, 1) + struct.pack("<Q", HUGE) + bytes(20), "is cut short"),
    "a key of 2**64 - 1 bytes": (preamble(0, 1) + struct.pack("<Q", 2**64 - 1) + bytes(20), "is cut short"),
    "a key that is no UTF-8": (one(U8, b"\0", b"\x1b\xff"), r"the key b'\x1b\xff' is not UTF-8"),
    "a key with a surrogate": (one(U8, b"\0", b"\xed\xa0\x80"), "is not UTF-8"),
    "a key twice": (build((ARCHITECTURE, ARCHITECTURE)), "the key 'general.architecture' appears twice"),
    "a wild key twice": (build((pair(b"\x1b]0;x", U8, b"\0"),) * 2), r"the key '\x1b]0;x' appears twice"),
    "a long key twice": (build((pair("k" * 999, U8, b"\0"),) * 2), f"the key '{'k' * 57}...' appears twice"),
    # values
    "value type 13": (one(13, bytes(16)), "'k' has the unknown value type 13"),
    "value type -1": (one(-1, bytes(16)), "'k' has the unknown value type -1"),
    "value type 2**31 - 1": (one(2**31 - 1, bytes(16)), "unknown value type 2147483647"),
    "half a number": (one(U64, bytes(7)), "is cut short"),
    "no value": (preamble(0, 1) + text("kkkkkk"), "is cut short"),
    "a bool of 2": (one(BOOL, b"\2"), "'k' holds 2, which is neither true nor false"),
    "a string longer than the file": (one(STRING, struct.pack("<Q", 5) + b"four"), "is cut short"),
    "a string of 2**60 bytes": (one(STRING, struct.pack("<Q", HUGE)), "is cut short"),
    "a string of 2**64 - 1 bytes": (one(STRING, struct.pack("<Q", 2**64 - 1)), "is cut short"),
    # arrays
    "an array of arrays": (one(ARRAY, items(ARRAY, 1, items(U8, 0, b""))), "'k' is an array of arrays"),
    "arrays 3,000 deep": (one(ARRAY, items(ARRAY, 1, b"") * 3000), "'k' is an array of arrays"),
    "array type 13": (one(ARRAY, items(13, 1, bytes(16))), "'k' has the unknown value type 13"),
    "array type -1": (one(ARRAY, items(-1, 0, b"")), "'k' has the unknown value type -1"),
    "an array of 2**60 bytes": (one(ARRAY, items(U8, HUGE, b"")), "is cut short"),
    "an array of 2**63 numbers": (one(ARRAY, items(U64, 2**63, b"")), "is cut short"),
    "an array whose size is 0 in 64 bits": (one(ARRAY, items(U64, 2**61, b"")), "is cut short"),
    "an array one number short": (one(ARRAY, items(I32, 3, bytes(8))), "is cut short"),
    "an array of bools with a 3": (one(ARRAY, items(BOOL, 3, b"\0\3\1")), "'k' holds 3"),
    "2**60 strings": (one(ARRAY, items(STRING, HUGE, bytes(64))), "is cut short"),
    "2**63 strings": (one(ARRAY, items(STRING, 2**63, bytes(64))), "is cut short"),
    "one string short": (one(ARRAY, items(STRING, 2, text("a"))), "is cut short"),
    "the last string too long": (
        one(ARRAY, items(STRING, 2, text("a") + struct.pack("<Q", 9))),
        "is cut short",
    ),
    "a middle string too long": (
        one(ARRAY, items(STRING, 3, text("a") + struct.pack("<Q", HUGE) + text("b"))),
        "is cut short",
    ),
    "a string that ends in a length": (
        one(ARRAY, items(STRING, 2, struct.pack("<Q", 4) + bytes(11))),
        "is cut short",
    ),
    "strings of 2**64 - 1 bytes": (one(ARRAY, items(STRING, 2, b"\xff" * 16)), "is cut short"),
    # alignment
    "alignment 0": (aligned(0), "its alignment is 0"),
    "alignment 33": (aligned(33), "its alignment is 33"),
    "alignment 2**21": (aligned(2**21), "its alignment is 2097152"),
    "alignment of another type": (
        build((pair("general.alignment", U64, struct.pack("<Q", 32)),)),
        "general.alignment is not an unsigned 32-bit number",
    ),
    "alignment true": (build((pair("general.alignment", BOOL, b"\1"),)), "is not an unsigned 32-bit number"),
    "alignment as a string": (
        build((pair("general.alignment", STRING, text("32")),)),
        "is not an unsigned 32-bit",
    ),
    # tensors
    "a tensor without a name": (lone(tensor("", (1,), T_F32, 0)), "a tensor name of 0 bytes"),
    "a tensor name of 64 bytes": (lone(tensor("x" * 64, (1,), T_F32, 0)), "a tensor name of 64 bytes"),
    "a tensor name that is no UTF-8": (lone(tensor(b"\xff", (1,), T_F32, 0)), "is not UTF-8"),
    "a tensor twice": (
        lone(tensor("t", (1,), T_F32, 0), tensor("t", (1,), T_F32, 32)),
        "the tensor 't' appears twice",
    ),
    "5 dimensions": (lone(tensor("t", (1, 1, 1, 1, 1), T_F32, 0)), "the tensor 't' has 5 dimensions"),
    "2**32 - 1 dimensions": (lone(text("t") + b"\xff" * 4), "has 4,294,967,295 dimensions"),
    "a dimension of 0": (lone(tensor("t", (4, 0), T_F32, 0)), "has the shape (4, 0)"),
    "a negative dimension": (lone(tensor("t", (2**64 - 32,), T_F32, 0)), "has the shape"),
    "a product past 64 bits": (lone(tensor("t", (2**32, 2**32), T_F32, 0)), "has the shape"),
    "a product of 4 in 64 bits": (
        lone(tensor("t", (4194305, 4194305, 211106198978564), T_F32, 0)),
        "has the shape",
    ),
    "a product of 2**63": (lone(tensor("t", (2**21, 2**21, 2**21), T_F32, 0)), "has the shape"),
    "more bytes than 64 bits": (lone(tensor("t", (2**62,), T_F32, 0)), "is cut short"),
    "a row that is no whole block": (lone(tensor("t", (255, 256), T_Q4_K, 0)), "has the shape (255, 256)"),
    "a single number in a block type": (lone(tensor("t", (), T_Q4_0, 0)), "impossible in Q4_0"),
    "the first tensor not at 0": (
        lone(tensor("t", (1,), T_F32, 32)),
        "lies at 32 in the data, 0 is its place",
    ),
    "a tensor not aligned": (
        lone(tensor("t", (1,), T_F32, 0), tensor("u", (1,), T_F32, 4)),
        "lies at 4 in the data",
    ),
    "two tensors in one place": (
        lone(tensor("t", (1,), T_F32, 0), tensor("u", (1,), T_F32, 0)),
        "32 is its place",
    ),
    "a gap": (lone(tensor("t", (1,), T_F32, 0), tensor("u", (1,), T_F32, 64)), "lies at 64 in the data"),
    "an offset of 2**64 - 32": (lone(tensor("t", (1,), T_F32, 2**64 - 32)), "0 is its place"),
    "weights cut off": (
        GOOD[:-1],
        f"is cut short: {len(GOOD) - 1:,} bytes where the header promises at least {len(GOOD):,}",
    ),
    "no weights at all": (GOOD[:-624], "is cut short"),
    "a cut in the padding": (build((), (tensor("t", (1,), T_F32, 0),))[:-1], "is cut short"),
    "an unknown type behind the end": (
        lone(tensor("x", (1,), 99, 0), tensor("y", (1,), 99, 8192)),
        "is cut short",
    ),
    "an unknown type not aligned": (lone(tensor("x", (1,), 99, 0), tensor("y", (1,), 99, 33)), "lies at 33"),
    "an unknown type going back": (
        lone(tensor("x", (8,), T_F32, 0), tensor("y", (1,), 99, 32), tensor("z", (1,), T_F32, 0)),
        "lies at 0 in the data",
    ),
}


@pytest.mark.parametrize(("data", "says"), MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed(data: bytes, says: str, tmp_path: Path) -> None:
    path = write(tmp_path, data)
    with pytest.raises(IntegrityError) as caught:
        read_header(path)
    error = caught.value
    assert not isinstance(error, Truncated)
    assert says in error.message and error.message.startswith(f"{path} ")
    assert (error.message + error.hint).isprintable() and len(error.message) < 200 + len(str(path)) and error.hint
    with pytest.raises(IntegrityError, match=r"^model\.gguf "):
        parse(data)


def test_hints_say_what_the_file_is() -> None:
    for data, word in (
        (b"version https://git-lfs.github.com", "git lfs pull"),
        (b"<html>", "web page"),
        (bytes(99), "finish"),
    ):
        with pytest.raises(IntegrityError) as caught:
            parse(data)
        assert word in caught.value.hint


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    pipe = tmp_path / "pipe"
    cases = [
        (tmp_path, "is a directory"),
        (tmp_path / "none.gguf", "no such file"),
        (tmp_path / "file" / "below.gguf", "no such file"),
        (tmp_path / ("x" * 999), "cannot be read"),
        (tmp_path / "a\0b", "cannot be read"),
    ]
    if hasattr(os, "mkfifo"):
        os.mkfifo(pipe)
        cases.append((pipe, "is not a file"))
    for path, says in cases:
        with pytest.raises(UsageError, match=says) as caught:
            read_header(path)
        assert caught.value.exit_code == 2 and caught.value.message.isprintable()


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = write(tmp_path, GOOD)
    monkeypatch.setattr(Path, "open", refuse)  # root may read everything, so no chmod
    with pytest.raises(UsageError, match=r"model\.gguf cannot be read: Permission denied$"):
        read_header(path)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows allows no such name")
def test_a_wild_file_name_is_not_printed_raw(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b]0;x\x07\n.gguf"
    with pytest.raises(UsageError) as missing:
        read_header(path)
    path.write_bytes(b"")
    with pytest.raises(IntegrityError) as empty:
        read_header(path)
    assert missing.value.message.isprintable() and empty.value.message.isprintable()


# --- at random ----------------------------------------------------------------------------------------------


def survives(data: bytes, file_bytes: int) -> None:
    """A header or a typed error in one line; nothing else."""
    try:
        header = parse_header(data, file_bytes, "model.gguf")
    except IntegrityError as error:
        assert error.message.isprintable() and error.message.startswith("model.gguf")
        assert not isinstance(error, Truncated) or len(data) < error.needed <= file_bytes
        return
    assert all(t.offset + (t.bytes or 0) <= file_bytes for t in header.tensors)
    for value in header.metadata.values():
        if isinstance(value, StringArray):
            assert len(list(value)) == len(value)
    assert isinstance(header.parameters, int)


numbers = st.sampled_from([0, 1, 2, 7, 8, 9, 31, 2**31, 2**32 - 1, 2**60, 2**63, 2**64 - 1]).map(
    lambda n: struct.pack("<Q", n)
)
patches = st.one_of(st.binary(min_size=1, max_size=12), numbers, numbers.map(lambda raw: raw[:4]))
places = st.integers(0, len(GOOD) - 1)


@pytest.mark.slow
@settings(max_examples=1500, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(places, patches), min_size=1, max_size=4), st.none() | places, st.none() | places)
def test_changed_bytes(changes: list[tuple[int, bytes]], cut: int | None, at_hand: int | None) -> None:
    data = bytearray(GOOD)
    for place, patch in changes:
        data[place : place + len(patch)] = patch
    whole = bytes(data[:cut])
    survives(whole[:at_hand], len(whole))


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(places, places, places, places)
def test_spliced(a: int, b: int, c: int, d: int) -> None:
    data = GOOD[:a] + GOOD[min(b, c) : max(b, c)] + GOOD[d:]
    survives(data, len(data))


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.binary(max_size=200))
def test_noise_behind_a_sound_beginning(noise: bytes) -> None:
    data = preamble(1, 2) + noise
    survives(data, len(data))


@pytest.mark.slow
@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.tuples(places, patches), min_size=1, max_size=3))
def test_changed_bytes_in_a_file(tmp_path: Path, changes: list[tuple[int, bytes]]) -> None:
    """Through mmap, where a slice left alive by an error would keep the file from closing."""
    data = bytearray(GOOD)
    for place, patch in changes:
        data[place : place + len(patch)] = patch
    try:
        read_header(write(tmp_path, bytes(data)))
    except IntegrityError as error:
        assert not isinstance(error, Truncated)


# --- memory -------------------------------------------------------------------------------------------------


def monsters() -> dict[str, tuple[bytes, int, str]]:
    """Name -> first bytes, size, outcome of files as large as they may be, or larger; the rest is a hole."""
    top, tera = gguf.MAX_HEADER, 2**40
    wide = "\U0001f600".encode() + b"\xff" * (gguf.MAX_TEXT - 99)  # each bad byte becomes a character of 4 bytes
    empty = (top - gguf.MAX_TEXT) // 8 - 99
    both = pair("a", ARRAY, items(STRING, empty, bytes(8 * empty))), pair("b", STRING, text(wide))
    keys = tuple(pair(f"{i:05}" + "\U0001f600" * 25, U8, b"\0") for i in range(gguf.MAX_KEYS))
    many = tuple(tensor(f"{i:063}", (1, 1, 1, 1), T_F32, 32 * i) for i in range(gguf.MAX_TENSORS))
    large, short = "its header is larger than 48 MiB", "is cut short"
    return {
        "strings to the top": (one(ARRAY, items(STRING, (top - 49) // 8, b"")), top, "header"),
        "strings over the top": (one(ARRAY, items(STRING, top // 8, b"")), 2 * top, large),
        "2**30 strings": (one(ARRAY, items(STRING, 2**30, b"")), tera, large),
        "numbers to the top": (one(ARRAY, items(U8, top - 49, b"")), top, "header"),
        "a terabyte of numbers": (one(ARRAY, items(U8, tera - 49, b"")), tera, large),
        "a terabyte of text": (one(STRING, struct.pack("<Q", tera - 45)), tera, large),
        "a string over the top": (one(ARRAY, items(STRING, 2, struct.pack("<Q", top))), 2 * top, large),
        "all text, four times as large": (one(STRING, text(wide)), 0, "header"),
        "that and strings to the top": (build(both), 0, "header"),
        "twice all text": (build((both[1], pair("c", STRING, text(wide)))), 0, "more than 8 MiB of text"),
        "all keys": (build(keys), 0, "header"),
        "all tensors": (build((), many, 32 * len(many)), 0, "header"),
        "all tensors, cut short": (build((), many, 31 * len(many)), 0, short),
    }


ALONE = """
import json, resource, sys
from pathlib import Path
from speccas.core.errors import IntegrityError
from speccas.core.headers.gguf import read_header

used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 200_000_000,) * 2)
outcomes = {}
for path in Path(sys.argv[1]).iterdir():
    try:
        read_header(path)
        outcomes[path.name] = "header"
    except IntegrityError as error:
        outcomes[path.name] = error.message
print(json.dumps(outcomes))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on memory and files with holes")
def test_hostile_files_stay_below_200_megabytes(tmp_path: Path) -> None:
    hostile = {name: (data, 0, says) for name, (data, says) in MALFORMED.items()} | monsters()
    for i, (data, size, _) in enumerate(hostile.values()):
        path = tmp_path / str(i)
        path.write_bytes(data)
        os.truncate(path, max(size, len(data)))
    command = [sys.executable, "-W", "error", "-c", ALONE, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    outcomes = json.loads(ran.stdout)
    wrong = {
        name: outcomes[str(i)] for i, (name, case) in enumerate(hostile.items()) if case[2] not in outcomes[str(i)]
    }
    assert wrong == {}
