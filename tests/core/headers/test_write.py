"""Writing GGUF files: what was read is written back bit by bit, and no half file stands under the name."""

import struct
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speccas.core.errors import IntegrityError
from speccas.core.headers.gguf import read_header
from speccas.core.headers.write import Stored, encoded, pieces, values_of, with_items, with_number, write_gguf
from tests.builders.gguf import ARRAY, BOOL, F64, STRING, U32, build, items, pair, preamble, string_array, tensor, text
from tests.builders.models import TINY

WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, BOOL: 1, 10: 8, 11: 8, F64: 8}
BLOCKS = {0: (1, 4), 1: (1, 2), 2: (32, 18), 12: (256, 144), 30: (1, 2)}


def plain(kind: int) -> st.SearchStrategy[bytes]:
    """Any bytes of a number, NaN with a payload among them; of a bool the two that there are."""
    return st.sampled_from([b"\0", b"\1"]) if kind == BOOL else st.binary(min_size=WIDTHS[kind], max_size=WIDTHS[kind])


def array_of(kind: int) -> st.SearchStrategy[bytes]:
    return st.lists(plain(kind), max_size=5).map(lambda each: items(kind, len(each), b"".join(each)))


TEXTS = st.binary(max_size=9).map(text)
VALUES = st.one_of(
    *(plain(kind).map(partial(lambda kind, value: (kind, value), kind)) for kind in WIDTHS),
    TEXTS.map(lambda value: (STRING, value)),
    *(array_of(kind).map(lambda value: (ARRAY, value)) for kind in WIDTHS),
    st.lists(TEXTS, max_size=4).map(lambda each: (ARRAY, items(STRING, len(each), b"".join(each)))),
)
SHAPES = st.tuples(st.sampled_from(sorted(BLOCKS)), st.lists(st.integers(1, 3), max_size=3))


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """A sound file of random values and tensors, at any alignment."""
    alignment = draw(st.sampled_from([8, 32, 64]))
    values = draw(st.dictionaries(st.text(min_size=1, max_size=6), VALUES, max_size=6))
    pairs = [pair(key, kind, value) for key, (kind, value) in values.items()]
    pairs.append(pair("general.alignment", U32, struct.pack("<I", alignment)))
    infos, data = [], b""
    for i, (kind, shape) in enumerate(draw(st.lists(SHAPES, max_size=4))):
        block, width = BLOCKS[kind]
        infos.append(tensor(f"t{i}", (block, *shape), kind, len(data)))
        rows = 1
        for each in shape:
            rows *= each
        body = draw(st.binary(min_size=1, max_size=8))
        data += (body * (rows * width))[: rows * width]
        data += bytes(-len(data) % alignment)
    head = preamble(len(infos), len(pairs)) + b"".join(pairs) + b"".join(infos)
    return head + bytes(-len(head) % alignment) + data if infos else head


def again(source: Path, target: Path) -> Path:
    header = read_header(source)
    stored = [
        Stored(each.name, each.shape, each.type, each.bytes or 0, partial(pieces, source, header, each))
        for each in header.tensors
    ]
    write_gguf(target, values_of(source, header), stored, header.alignment)
    return target


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(files())
def test_a_file_that_was_read_is_written_as_it_was(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.gguf").write_bytes(data)
    assert again(tmp_path / "a.gguf", tmp_path / "b.gguf").read_bytes() == data


def test_a_real_file_is_written_as_it_was(tmp_path: Path) -> None:
    assert again(TINY, tmp_path / "b.gguf").read_bytes() == TINY.read_bytes()


def test_values_change_in_the_type_that_they_have() -> None:
    assert with_number(struct.pack("<Iq", 11, 7), -3) == struct.pack("<Iq", 11, -3)
    texts = string_array(["a", "", "bc"])
    assert with_items(encoded(string_array(["x"])), texts) == encoded(texts)


def test_a_tensor_that_is_not_whole_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="t has 3 bytes, not 4"):
        write_gguf(tmp_path / "a.gguf", {}, [Stored("t", (1,), 0, 4, partial(list, (b"abc",)))])
    assert not list(tmp_path.iterdir())


def test_a_source_that_shrinks_meanwhile_is_no_silent_loss(tmp_path: Path) -> None:
    source = tmp_path / "a.gguf"
    source.write_bytes(build([], [tensor("t", (8,), 0, 0)], 32))
    header = read_header(source)
    source.write_bytes(source.read_bytes()[:-8])
    with pytest.raises(IntegrityError, match="has changed while it was read"):
        list(pieces(source, header, header.tensors[0]))
