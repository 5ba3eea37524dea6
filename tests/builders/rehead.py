"""A whole model file with other words in its header; the weights stay as they are."""

import struct
from collections.abc import Mapping
from pathlib import Path

from tests.builders.gguf import ARRAY, STRING, Value, entry

WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a plain metadata value by type."""
TENSORS_AT, PAIRS_AT = 8, 16


def reheaded(source: Path, target: Path, changes: Mapping[str, Value | None]) -> Path:
    """`target`, a copy of `source` with these metadata set, or taken out where None."""
    data = source.read_bytes()
    tensors, pairs = struct.unpack_from("<QQ", data, TENSORS_AT)
    at, kept = 24, list[bytes]()
    for _ in range(pairs):
        key_end = at + 8 + struct.unpack_from("<Q", data, at)[0]
        end = value_end(data, key_end)
        if data[at + 8 : key_end].decode() not in changes:
            kept.append(data[at:end])
        at = end
    first = at
    for _ in range(tensors):
        at += 8 + struct.unpack_from("<Q", data, at)[0]
        at += 4 + 8 * struct.unpack_from("<I", data, at)[0] + 4 + 8
    kept += [entry(key, value) for key, value in changes.items() if value is not None]
    head = data[:PAIRS_AT] + struct.pack("<Q", len(kept)) + b"".join(kept) + data[first:at]
    target.write_bytes(head + bytes(-len(head) % 32) + data[at + -at % 32 :])
    return target


def value_end(data: bytes, at: int) -> int:
    """Where the value of a metadata pair ends; `at` is where its type stands."""
    kind: int = struct.unpack_from("<i", data, at)[0]
    at += 4
    if kind == ARRAY:
        kind, count = struct.unpack_from("<iQ", data, at)
        at += 12
        if kind != STRING:
            return int(at + count * WIDTHS[kind])
    elif kind == STRING:
        count = 1
    else:
        return at + WIDTHS[kind]
    for _ in range(count):
        at += 8 + struct.unpack_from("<Q", data, at)[0]
    return int(at)
