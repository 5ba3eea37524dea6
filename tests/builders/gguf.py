"""Small GGUF files from parts: single values byte by byte, or a whole header from a dictionary of metadata."""

import struct
from array import array
from collections.abc import Sequence

from speccas.core.headers.gguf import Header, StringArray, parse_header

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
"""Types of a metadata value."""
T_F32, T_Q4_0, T_Q4_K = 0, 2, 12
"""Types of a tensor."""

Value = str | bytes | bool | int | Sequence[str] | Sequence[bytes] | Sequence[int]


def text(value: bytes | str) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def pair(key: bytes | str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<i", kind) + value


def items(kind: int, count: int, body: bytes) -> bytes:
    """The value of an array."""
    return struct.pack("<iQ", kind, count) + body


def tensor(name: bytes | str, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QiQ", len(shape), *shape, kind, offset)


def preamble(tensors: int, pairs: int, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, pairs)


def build(
    pairs: Sequence[bytes] = (),
    tensors: Sequence[bytes] = (),
    data: int = 0,
    alignment: int = 32,
    version: int = 3,
) -> bytes:
    """A file with `data` zero bytes of weights behind its padded header."""
    head = preamble(len(tensors), len(pairs), version) + b"".join(pairs) + b"".join(tensors)
    return head + bytes(-len(head) % alignment) + bytes(data) if tensors else head


def integer(value: int) -> bytes:
    return struct.pack("<I", value)


def strings(*values: bytes | str) -> bytes:
    """The value of an array of texts."""
    return items(STRING, len(values), b"".join(map(text, values)))


def entry(key: str, value: Value) -> bytes:
    """A metadata pair, its type chosen by the value: texts, U32, BOOL, and arrays of texts or of I32."""
    if isinstance(value, str | bytes):
        return pair(key, STRING, text(value))
    if isinstance(value, bool):
        return pair(key, BOOL, bytes([value]))
    if isinstance(value, int):
        return pair(key, U32, integer(value))
    numbers = [each for each in value if isinstance(each, int)]
    if numbers:
        return pair(key, ARRAY, items(I32, len(numbers), struct.pack(f"<{len(numbers)}i", *numbers)))
    return pair(key, ARRAY, strings(*(each for each in value if not isinstance(each, int))))


def model_file(**metadata: Value) -> bytes:
    """A sound file without weights; two underscores in a key stand for a dot."""
    return build([entry(key.replace("__", "."), value) for key, value in metadata.items()])


def parsed(data: bytes) -> Header:
    return parse_header(data, len(data), "made.gguf")


def model_header(**metadata: Value) -> Header:
    """The header of `model_file`."""
    return parsed(model_file(**metadata))


def string_array(texts: Sequence[str]) -> StringArray:
    """Texts as the header's reader holds them: in one piece, with the place where each starts."""
    blob, starts = b"", array("Q", [8])
    for each in texts:
        blob += text(each)
        starts.append(len(blob) + 8)
    return StringArray(blob, starts)
