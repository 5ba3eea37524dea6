"""Fixtures of the models' tests: small GGUF headers made here. Knows the format; not what a test wants of it."""

import struct
from collections.abc import Callable, Sequence

import pytest

from speccas.core.headers.gguf import Header, parse_header

Value = str | int | Sequence[str] | Sequence[bytes] | Sequence[int]


@pytest.fixture(scope="session")
def make_header() -> Callable[..., Header]:
    """The header of a GGUF without weights; a key's dots are typed as two underscores."""

    def text(value: bytes | str) -> bytes:
        raw = value.encode() if isinstance(value, str) else value
        return struct.pack("<Q", len(raw)) + raw

    def pair(key: str, value: Value) -> bytes:
        if isinstance(value, str):
            return text(key) + struct.pack("<i", 8) + text(value)
        if isinstance(value, int):
            return text(key) + struct.pack("<iI", 4, value)
        kind = 5 if value and isinstance(value[0], int) else 8
        body = b"".join(struct.pack("<i", each) if isinstance(each, int) else text(each) for each in value)
        return text(key) + struct.pack("<iiQ", 9, kind, len(value)) + body

    def make(**metadata: Value) -> Header:
        pairs = [pair(key.replace("__", "."), value) for key, value in metadata.items()]
        data = b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs)) + b"".join(pairs)
        return parse_header(data, len(data), "made.gguf")

    return make
