"""Copies of a GGUF file with another vocabulary: some tokens renamed, or some taken off its end."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
STRING, ARRAY = 8, 9
ALIGNMENT = 32
Q8_0 = 8
ROW = 34  # bytes of a block of 32 values as Q8_0


def text(data: bytes) -> bytes:
    return struct.pack("<Q", len(data)) + data


@dataclass
class Tensor:
    """`shape` as in the file: the row's length first."""

    name: bytes
    shape: tuple[int, ...]
    kind: int
    data: bytes


class Reader:
    """The few kinds of values that a header holds, read one after another."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def number(self, kind: str) -> int:
        (value,) = struct.unpack_from("<" + kind, self.data, self.at)
        self.at += struct.calcsize("<" + kind)
        return int(value)

    def text(self) -> bytes:
        length = self.number("Q")
        self.at += length
        return self.data[self.at - length : self.at]

    def skip(self, kind: int) -> None:
        if kind == STRING:
            self.text()
        elif kind == ARRAY:
            inner, count = self.number("i"), self.number("Q")
            for _ in range(count if inner == STRING else 0):
                self.text()
            self.at += 0 if inner == STRING else count * SIZES[inner]
        else:
            self.at += SIZES[kind]


def changed(
    source: Path,
    target: Path,
    rename: Callable[[int, bytes], bytes] = lambda token, text: text,
    drop: int = 0,
) -> None:
    """Write `source` to `target` with its tokens renamed, and without the last `drop` of them."""
    reader = Reader(source.read_bytes())
    assert reader.data[:4] == b"GGUF"
    reader.at = 4
    reader.number("I")
    tensors, pairs = reader.number("Q"), reader.number("Q")
    metadata: dict[bytes, bytes] = {}
    for _ in range(pairs):
        key, start = reader.text(), reader.at
        reader.skip(reader.number("i"))
        metadata[key] = reader.data[start : reader.at]
    listed = []
    for _ in range(tensors):
        name = reader.text()
        shape = tuple(reader.number("Q") for _ in range(reader.number("I")))
        listed.append((name, shape, reader.number("i"), reader.number("Q")))
    base = -(-reader.at // ALIGNMENT) * ALIGNMENT
    ends = sorted([*(offset for *_, offset in listed), len(reader.data) - base])
    found = [
        Tensor(name, shape, kind, reader.data[base + offset : base + ends[ends.index(offset) + 1]])
        for name, shape, kind, offset in listed
    ]
    for key in (b"tokenizer.ggml.tokens", b"tokenizer.ggml.token_type"):
        metadata[key] = shorter(metadata[key], drop, rename)
    for tensor in found:
        if tensor.name == b"token_embd.weight":
            assert tensor.kind == Q8_0
            width, rows = tensor.shape
            tensor.shape = (width, rows - drop)
            tensor.data = tensor.data[: (rows - drop) * width // 32 * ROW]
    target.write_bytes(written(metadata, found))


def shorter(raw: bytes, drop: int, rename: Callable[[int, bytes], bytes]) -> bytes:
    """An array without its last `drop` items; texts renamed."""
    kind, inner, count = struct.unpack_from("<iiQ", raw)
    head = struct.pack("<iiQ", kind, inner, count - drop)
    if inner != STRING:
        return head + raw[16 : 16 + (count - drop) * SIZES[inner]]
    reader = Reader(raw)
    reader.at = 16
    return head + b"".join(text(rename(i, reader.text())) for i in range(count - drop))


def written(metadata: dict[bytes, bytes], tensors: list[Tensor]) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    head += b"".join(text(key) + value for key, value in metadata.items())
    body = b""
    for tensor in tensors:
        head += text(tensor.name) + struct.pack("<I", len(tensor.shape))
        head += struct.pack(f"<{len(tensor.shape)}QiQ", *tensor.shape, tensor.kind, len(body))
        body += tensor.data + bytes(-len(tensor.data) % ALIGNMENT)
    return head + bytes(-len(head) % ALIGNMENT) + body
