"""A GGUF file, version 3, from values as they lie in a header and tensors that come piece by piece.

What `gguf.py` reads is written back as it was: `write_gguf` of a file's `values_of` and `pieces` is that file.
"""

import struct
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..atomic import atomic_file
from ..errors import IntegrityError
from .gguf import Header, StringArray, Tensor

UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
LETTERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 10: "Q", 11: "q"}
"""Types of whole numbers, by their letter in `struct`."""
ALIGNMENT = 32
PIECE = 4 << 20  # bytes that are copied at once


@dataclass(frozen=True)
class Stored:
    """A tensor to write. `shape` is in GGUF's order, a row first; `pieces` gives its `size` bytes in order."""

    name: str
    shape: tuple[int, ...]
    type: int
    size: int
    pieces: Callable[[], Iterable[bytes]]


def write_gguf(path: Path, values: Mapping[str, bytes], tensors: Sequence[Stored], alignment: int = ALIGNMENT) -> None:
    """Written beside its place and moved there. `values` are `encoded`, or of `values_of`. Raises OSError, ValueError
    where a tensor's pieces are of another size than it says, and what `pieces` raise."""
    head = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(values))]
    head += [_text(key.encode()) + value for key, value in values.items()]
    offset = 0
    for tensor in tensors:
        sizes = struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape)
        head.append(_text(tensor.name.encode()) + sizes + struct.pack("<iQ", tensor.type, offset))
        offset += padded(tensor.size, alignment)
    start = b"".join(head)
    with atomic_file(path) as file:
        file.write(start.ljust(padded(len(start), alignment), b"\0") if tensors else start)
        for tensor in tensors:
            written = sum(file.write(piece) for piece in tensor.pieces())
            if written != tensor.size:
                raise ValueError(f"{tensor.name} has {written} bytes, not {tensor.size}")
            file.write(bytes(padded(written, alignment) - written))


def padded(size: int, alignment: int = ALIGNMENT) -> int:
    """`size` rounded up to a whole number of alignments."""
    return -(-size // alignment) * alignment


def values_of(path: Path, header: Header) -> dict[str, bytes]:
    """Each value of a file as it lies there, with its type: nothing that the reader's Python values leave out is lost.

    OSError; IntegrityError where the file is another than when its header was read.
    """
    found = {}
    with path.open("rb") as file:
        for key, (start, end) in header.places.items():
            file.seek(start)
            found[key] = _read(file.read(end - start), end - start, header)
    return found


def pieces(path: Path, header: Header, tensor: Tensor, start: int = 0, end: int | None = None) -> Iterator[bytes]:
    """The bytes `start` to `end` of a tensor's own, a few megabytes at a time. OSError, IntegrityError as above."""
    end = (tensor.bytes or 0) if end is None else end
    with path.open("rb") as file:
        for at in range(start, end, PIECE):
            size = min(PIECE, end - at)
            file.seek(tensor.offset + at)
            yield _read(file.read(size), size, header)


def _read(data: bytes, size: int, header: Header) -> bytes:
    if len(data) != size:
        raise IntegrityError(f"{header.file} has changed while it was read", "do it again")
    return data


def encoded(value: object) -> bytes:
    """A value with its type: whole numbers as 32 bits without a sign, an array of them with one."""
    match value:
        case bool():
            return struct.pack("<I?", BOOL, value)
        case int():
            return struct.pack("<II", UINT32, value)
        case float():
            return struct.pack("<If", FLOAT32, value)
        case str():
            return struct.pack("<I", STRING) + _text(value.encode())
        case StringArray():
            return struct.pack("<IIQ", ARRAY, STRING, len(value)) + b"".join(map(_text, value))
        case array():
            return struct.pack(f"<IIQ{len(value)}i", ARRAY, INT32, len(value), *value)
    raise AssertionError(f"no GGUF value: {value!r}")


def with_number(value: bytes, number: int) -> bytes:
    """Another whole number in the type of this one."""
    return value[:4] + struct.pack("<" + LETTERS[int.from_bytes(value[:4], "little")], number)


def with_items(value: bytes, items: "StringArray | array[int] | array[float]") -> bytes:
    """Other items in an array of this one's type."""
    body = b"".join(map(_text, items)) if isinstance(items, StringArray) else items.tobytes()
    return value[:8] + struct.pack("<Q", len(items)) + body


def _text(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text
