"""A strict, bounded reader of a GGUF file's header: its metadata and where its tensors lie.

A file from a stranger goes to native code only after it has been read here. Every count is held against the
bytes that remain before anything is made of it: time and memory are linear in a header of at most 48 MiB.
Layout and rules are those of llama.cpp's ggml/src/gguf.cpp; comments say where this is stricter.
"""

import math
import mmap
import stat
import struct
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn, TypeAlias, TypeVar, overload

from ..errors import IntegrityError, UsageError

MAX_HEADER = 48 << 20  # bytes; a vocabulary of 262 thousand tokens with its merges needs about 15 MB
MAX_TEXT = 8 << 20  # bytes of keys, names and strings together: as `str` they may take four times as much
MAX_KEYS = 1 << 16
MAX_TENSORS = 1 << 17  # a Tensor costs about 400 bytes here, and models have at most a few thousand
MAX_KEY_BYTES = 1 << 16
MAX_NAME_BYTES = 63  # GGML_MAX_NAME less its final zero
MAX_DIMENSIONS = 4
MAX_ALIGNMENT = 1 << 20

_ALIGNMENT_KEY = "general.alignment"
_UINT32, _BOOL, _STRING, _ARRAY = 4, 7, 8, 9
# GGUF value type -> its letter in `struct` and in `array`; a bool is one byte
_LETTERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}
_MIN_PAIR = 8 + 1 + 4 + 1  # key length, key, value type, value
_MIN_TENSOR = 8 + 1 + 4 + 4 + 8  # name length, name, number of dimensions, type, offset

# ggml type -> name, elements in a block, bytes of a block (ggml.h, ggml-common.h)
TENSOR_TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36), 10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8),
    28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
    42: ("Q2_0", 64, 18),
}  # fmt: skip

# general.file_type -> the name users know (LLAMA_FTYPE in llama.h)
FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S",
    12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K",
    19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL",
    26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0",
    37: "TQ2_0", 38: "MXFP4_MOE", 39: "NVFP4", 40: "Q1_0", 41: "Q2_0",
}  # fmt: skip
_GUESSED = 1024  # LLAMA_FTYPE_GUESSED, a flag beside the number

_AGAIN = "Download it again."
# what a file that is no GGUF often is, by its first bytes
_IMPOSTORS = (
    (b"version https://git-lfs", "This is a Git LFS pointer: fetch the file itself with `git lfs pull`."),
    (b"<", "This is a web page, saved in place of the file. " + _AGAIN),
    (b"\0\0\0\0", "This looks like a download that did not finish. " + _AGAIN),
    (b"PK", "This is an archive or a PyTorch file: convert it with llama.cpp's convert_hf_to_gguf.py."),
)

T = TypeVar("T")
D = TypeVar("D")


class Truncated(IntegrityError):
    """The header runs past the bytes at hand; it needs at least the first `needed` bytes of the file."""

    def __init__(self, message: str, needed: int) -> None:
        super().__init__(message, _AGAIN)
        self.needed = needed


class StringArray(Sequence[bytes]):
    """An array of n byte strings as it lies in the file; a string is cut out when it is asked for.

    `blob` is each string behind its length in 8 bytes; `starts` (n + 1,) says where in it each string begins,
    and where the one behind the last would.
    """

    __slots__ = ("_blob", "_starts")

    def __init__(self, blob: bytes, starts: "array[int]") -> None:
        self._blob = blob
        self._starts = starts

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        place = range(len(self))[index]  # raises IndexError, and counts from the end for us
        if isinstance(place, range):
            return [self[i] for i in place]
        return self._blob[self._starts[place] : self._starts[place + 1] - 8]

    def __iter__(self) -> Iterator[bytes]:
        blob = self._blob
        return (blob[start : after - 8] for start, after in pairwise(self._starts))

    def __eq__(self, other: object) -> bool:
        return self._blob == other._blob if isinstance(other, StringArray) else NotImplemented

    def begins_as(self, other: "StringArray", count: int) -> bool:
        """Whether the first `count` strings of both are the same."""
        mine, theirs = (each._blob[: each._starts[count] - 8] for each in (self, other))
        return mine == theirs

    def __repr__(self) -> str:
        return f"<StringArray of {len(self)}>"


# A bool array is an array of 0 and 1; bytes of a string that are no UTF-8 stand as U+FFFD.
Value: TypeAlias = "bool | int | float | str | StringArray | array[int] | array[float]"


@dataclass(frozen=True, slots=True)
class Tensor:
    """`shape` is in GGUF's order, a row first; `offset` counts from the start of the file.

    A type this module does not know is named "type N" and has `bytes` None.
    """

    name: str
    shape: tuple[int, ...]
    type: int
    type_name: str
    offset: int
    bytes: int | None


@dataclass(frozen=True, slots=True)
class Header:
    """A GGUF file without its weights; `data_offset` is where those begin, `file` the name used in errors, `places`
    where each value lies in the file, from its type to its end."""

    version: int
    metadata: Mapping[str, Value]
    tensors: tuple[Tensor, ...]
    data_offset: int
    file_bytes: int
    alignment: int
    file: str = "this file"
    places: Mapping[str, tuple[int, int]] = field(default_factory=dict, repr=False)

    def get(self, key: str, kind: type[T], default: D) -> T | D:
        """The value of `key`, or `default` where there is none. IntegrityError when it is not a `kind`."""
        if key not in self.metadata:
            return default
        value = self.metadata[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            found, wanted = type(value).__name__, kind.__name__
            raise IntegrityError(f"{self.file} is damaged: {key} is of type {found}, not {wanted}", _AGAIN)
        return value

    @property
    def architecture(self) -> str:
        return self.get("general.architecture", str, "")

    @property
    def name(self) -> str:
        return self.get("general.name", str, "")

    @property
    def parameters(self) -> int:
        return sum(math.prod(tensor.shape) for tensor in self.tensors)

    @property
    def file_type(self) -> str:
        """Such as "Q4_K_M": what the file says of itself, else the type most bytes are in, or ""."""
        number = self.get("general.file_type", int, None)
        if number is not None and number & ~_GUESSED in FILE_TYPES:
            return FILE_TYPES[number & ~_GUESSED]
        weight: Counter[str] = Counter()
        for tensor in self.tensors:
            weight[tensor.type_name] += tensor.bytes or 0
        return max(weight, key=weight.__getitem__, default="")


def read_header(path: Path) -> Header:
    """The header of a whole GGUF file; the file is closed again.

    UsageError: no such file, a directory, not readable. IntegrityError: not a whole, sound GGUF file.
    """
    name = _printable(str(path))
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise UsageError(f"{name} is a directory", "Name the .gguf file in it.")
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"{name} is not a file")  # a pipe would be waited for without end
        with path.open("rb") as file:
            size = file.seek(0, 2)
            head = mmap.mmap(file.fileno(), min(size, MAX_HEADER), access=mmap.ACCESS_READ) if size else b""
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{name}: no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path, or the file is shrinking
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{name} cannot be read: {reason}") from None
    if isinstance(head, bytes):
        return parse_header(head, 0, name)
    with head:
        return parse_header(head, size, name)


def parse_header(data: "bytes | memoryview | mmap.mmap", file_bytes: int, name: str) -> Header:
    """The header at the start of `data`, the first bytes of a file of `file_bytes` bytes called `name`.

    Truncated when the rest of the file would be needed to go on, IntegrityError when that would not help.
    """
    with memoryview(data)[: min(file_bytes, MAX_HEADER)] as view:
        reader = _Reader(view, file_bytes, _printable(name))
        version, tensor_count, key_count = _preamble(reader)
        metadata, places = _metadata(reader, key_count)
        alignment = _alignment(reader, metadata)
        entries = _entries(reader, tensor_count)
        data_offset = _pad(reader.at, alignment) if entries else reader.at
        tensors = _place(reader, entries, data_offset, alignment)
    return Header(version, metadata, tensors, data_offset, file_bytes, alignment, reader.name, places)


class _Reader:
    """A cursor over the first bytes of a file; every step is checked before it is taken."""

    __slots__ = ("at", "file_bytes", "name", "text_bytes", "view")

    def __init__(self, view: memoryview, file_bytes: int, name: str) -> None:
        self.view = view
        self.file_bytes = file_bytes
        self.name = name
        self.at = 0
        self.text_bytes = 0

    def damaged(self, what: str) -> NoReturn:
        raise IntegrityError(f"{self.name} is damaged: {what}", _AGAIN)

    def need(self, count: int) -> None:
        """Raises unless `count` more bytes are at hand."""
        end = self.at + count
        if end <= len(self.view):
            return
        if end > self.file_bytes:
            promise = f"{self.file_bytes:,} bytes where the header promises at least {end:,}"
            raise IntegrityError(f"{self.name} is cut short: {promise}", _AGAIN)
        if end > MAX_HEADER:
            self.damaged(f"its header is larger than {MAX_HEADER >> 20} MiB")
        raise Truncated(f"{self.name}: its header goes on behind the first {len(self.view):,} bytes", end)

    def take(self, count: int) -> memoryview:
        """The next `count` bytes, not to be kept: a file in use by a slice cannot be closed."""
        self.need(count)
        self.at += count
        return self.view[self.at - count : self.at]

    def number(self, letter: str) -> Any:
        """One number, by its letter in `struct`."""
        return struct.unpack("<" + letter, self.take(struct.calcsize("<" + letter)))[0]

    def string(self) -> bytes:
        length = self.number("Q")
        self.need(length)
        self.text_bytes += length
        if self.text_bytes > MAX_TEXT:
            self.damaged(f"it holds more than {MAX_TEXT >> 20} MiB of text")
        return bytes(self.take(length))

    def label(self, what: str, longest: int) -> str:
        """A key or a tensor's name: 1 to `longest` bytes of UTF-8 (llama.cpp takes any bytes)."""
        raw = self.string()
        if not 0 < len(raw) <= longest:
            self.damaged(f"a {what} of {len(raw):,} bytes")
        try:
            return raw.decode()
        except UnicodeDecodeError:
            self.damaged(f"the {what} {raw[:40]!r} is not UTF-8")

    def value(self, key: str) -> Value:
        kind = self.number("i")
        if key == _ALIGNMENT_KEY and kind != _UINT32:
            self.damaged(f"{key} is not an unsigned 32-bit number")
        if kind == _ARRAY:
            kind, count = self.number("i"), self.number("Q")
            return self.strings(count) if kind == _STRING else self.numbers(key, kind, count)
        if kind == _STRING:
            return self.string().decode(errors="replace")
        values = self.numbers(key, kind, 1)
        return values[0] == 1 if kind == _BOOL else values[0]

    def numbers(self, key: str, kind: int, count: int) -> "array[int] | array[float]":
        if kind == _ARRAY:
            self.damaged(f"{_shown(key)} is an array of arrays")
        if kind not in _LETTERS:
            self.damaged(f"{_shown(key)} has the unknown value type {kind}")
        values = array(_LETTERS[kind])
        values.frombytes(self.take(count * values.itemsize))
        if kind == _BOOL and max(values, default=0) > 1:  # llama.cpp takes any byte but 0 for true
            self.damaged(f"{_shown(key)} holds {max(values)}, which is neither true nor false")
        return values

    def strings(self, count: int) -> StringArray:
        self.need(8 * count)
        starts = array("I", [0]) * (count + 1)
        length_at = struct.Struct("<Q").unpack_from
        view, base, at, last = self.view, self.at, self.at, len(self.view) - 8
        for i in range(count):  # the one hot loop: 300 thousand turns for a vocabulary and its merges
            if at > last:
                self.need(at + 8 - base)  # raises
            starts[i] = at + 8 - base
            at += 8 + length_at(view, at)[0]
        blob = bytes(self.take(at - base))
        starts[count] = len(blob) + 8
        return StringArray(blob, starts)


def _preamble(reader: _Reader) -> tuple[int, int, int]:
    """Version, number of tensors, number of keys."""
    if reader.file_bytes == 0:
        raise IntegrityError(f"{reader.name} is empty", _AGAIN)
    start = bytes(reader.view[:24])
    if start[:4] != b"GGUF"[: len(start)]:
        hint = next((hint for first, hint in _IMPOSTORS if start.startswith(first)), "Name a .gguf file.")
        raise IntegrityError(f"{reader.name} is not a GGUF file: it begins with {start!r}", hint)
    reader.take(4)
    version = reader.number("I")
    if version and not version & 0xFFFF:  # 3 with its bytes turned around
        raise IntegrityError(f"{reader.name} is a big-endian GGUF file", "Take the little-endian one.")
    if version not in (2, 3):
        hint = "Take a newer conversion of the model." if version < 2 else "Update speccas."
        raise IntegrityError(f"{reader.name} is of GGUF version {version}: only 2 and 3 are known", hint)
    tensors, keys = reader.number("Q"), reader.number("Q")
    for what, count, most in ("tensors", tensors, MAX_TENSORS), ("keys", keys, MAX_KEYS):
        if count > most:
            reader.damaged(f"it claims to hold {count:,} {what}")
    reader.need(tensors * _MIN_TENSOR + keys * _MIN_PAIR)
    return version, tensors, keys


def _metadata(reader: _Reader, count: int) -> tuple[dict[str, Value], dict[str, tuple[int, int]]]:
    metadata: dict[str, Value] = {}
    places: dict[str, tuple[int, int]] = {}
    for _ in range(count):
        key = reader.label("key", MAX_KEY_BYTES)
        if key in metadata:
            reader.damaged(f"the key {_shown(key)} appears twice")
        start = reader.at
        metadata[key] = reader.value(key)
        places[key] = start, reader.at
    return metadata, places


def _alignment(reader: _Reader, metadata: Mapping[str, Value]) -> int:
    alignment = metadata.get(_ALIGNMENT_KEY, 32)
    if not isinstance(alignment, int) or alignment.bit_count() != 1 or alignment > MAX_ALIGNMENT:
        reader.damaged(f"its alignment is {alignment}")
    return alignment


_Entry: TypeAlias = tuple[str, tuple[int, ...], int, int]  # name, shape, type, offset behind the header


def _entries(reader: _Reader, count: int) -> list[_Entry]:
    entries: list[_Entry] = []
    names: set[str] = set()
    for _ in range(count):
        name = reader.label("tensor name", MAX_NAME_BYTES)
        if name in names:
            reader.damaged(f"the tensor {_shown(name)} appears twice")
        names.add(name)
        dimensions = reader.number("I")  # 0 is a single number
        if dimensions > MAX_DIMENSIONS:
            reader.damaged(f"the tensor {_shown(name)} has {dimensions:,} dimensions")
        shape = tuple(reader.number("Q") for _ in range(dimensions))
        if not 0 < math.prod(shape) < 2**63 - 1:  # llama.cpp lets 0 pass
            reader.damaged(f"the tensor {_shown(name)} has the shape {shape}")
        entries.append((name, shape, reader.number("i"), reader.number("Q")))
    return entries


def _place(reader: _Reader, entries: list[_Entry], data_offset: int, alignment: int) -> tuple[Tensor, ...]:
    """The tensors as they lie in the file: one behind the other, as llama.cpp demands, and all inside it."""
    tensors: list[Tensor] = []
    due, exact, end = 0, True, data_offset
    for name, shape, kind, offset in entries:
        if offset != due if exact else offset < due or offset % alignment:
            reader.damaged(f"the tensor {_shown(name)} lies at {offset:,} in the data, {due:,} is its place")
        type_name, block, width = TENSOR_TYPES.get(kind, (f"type {kind}", 1, 0))
        if (shape[0] if shape else 1) % block:
            reader.damaged(f"the tensor {_shown(name)} has the shape {shape}, impossible in {type_name}")
        size = math.prod(shape) // block * width
        tensors.append(Tensor(name, shape, kind, type_name, data_offset + offset, size or None))
        due = _pad(offset + size, alignment)
        exact = size > 0  # behind an unknown type (llama.cpp refuses it) any later place will do
        end = data_offset + offset + size
    if end > reader.file_bytes:
        reader.need(end - reader.at)  # raises
    return tuple(tensors)


def _pad(offset: int, alignment: int) -> int:
    return -(-offset // alignment) * alignment


def _shown(text: str) -> str:
    """Short and free of control characters: it comes from a stranger's file."""
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _printable(name: str) -> str:
    return name if name.isprintable() else repr(name)
