"""A drafter with a smaller vocabulary: the same file, less the rows of tokens that are hardly ever used.

A step of a small drafter spends a good part of its time on the output layer, a row for each token (FR-Spec, VocabTrim).
The tokens that stay are in the source's order, so they are a part of the expert's vocabulary as the source's are.
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import IntegrityError, Stopped, UsageError
from ..headers.architecture import require_language_model
from ..headers.gguf import Header, StringArray, Tensor, read_header
from ..headers.kept import Kept, choose, require_merges
from ..headers.vocabulary import Tokens
from ..headers.weights import EMBEDDING, is_split
from ..headers.write import PIECE, Stored, padded, pieces, values_of, with_items, with_number, write_gguf
from ..runtime.stop import StopFlag

STEP = 64
"""A vocabulary is a multiple of it: whole tiles for every kernel there is."""
BY_TOKEN = (EMBEDDING, "output.weight", "output.bias")
"""Tensors with a row for each token; without an output layer of its own a model uses the embeddings."""
MERGES = "tokenizer.ggml.merges"
OTHER_FORM = "tokenizer.huggingface.json"
"""The source's tokenizer in another form, which llama.cpp does not read: of another vocabulary it would be wrong."""


@dataclass(frozen=True, slots=True)
class Trimmed:
    """What was made of a file. Sizes in bytes."""

    tokens_before: int
    tokens: int
    merges_before: int
    merges: int
    bytes_before: int
    bytes: int


def trim(
    source: Path,
    target: Path,
    size: int,
    counts: Sequence[int] | NDArray[np.int64],
    stop: StopFlag | None = None,
    tell: Callable[[int, int], None] | None = None,
) -> Trimmed:
    """Write `target`, the model of `source` with `size` tokens, which is rounded up to a multiple of 64: control
    tokens, single bytes, and by `counts` (one for each of the source's tokens) the most used others with what they are
    merged from. Where fewer can be kept so, there are fewer. `tell` hears the bytes that are written, and of how many.

    Every other word of the header, and every other tensor, is that of the source, bit by bit.

    UsageError: its tokenizer is no byte-level BPE with merges, `size` is too small or leaves nothing out, a split file,
    weights by token that are not known here. CannotPair: no language model. IntegrityError, OSError, Stopped: there is
    no `target` then, or the one from before.
    """
    header = read_header(source)
    tokens, kept = selected(header, size, counts)
    values = {key: value for key, value in values_of(source, header).items() if key != OTHER_FORM}
    values |= _changed(header, kept, values)
    total = trimmed_bytes(header, len(kept.ids))
    done = 0

    def heard(written: Iterator[bytes]) -> Iterator[bytes]:
        nonlocal done
        for piece in written:
            if stop:
                raise Stopped("stopped")
            yield piece
            done += len(piece)
            if tell is not None:
                tell(min(done, total), total)

    stored = [_stored(source, header, tensor, kept, heard) for tensor in header.tensors]
    write_gguf(target, values, stored, header.alignment)
    merges_before, merges = (len(each.merges or ()) for each in (tokens, kept.tokens))
    return Trimmed(len(tokens), len(kept.ids), merges_before, merges, header.file_bytes, target.stat().st_size)


def rounded(size: int) -> int:
    """The vocabulary that is made for a wish of `size` tokens."""
    return padded(size, STEP)


def trimmed_bytes(header: Header, size: int) -> int:
    """Bytes of weights of the model with `size` tokens."""
    total, before = 0, len(Tokens.of(header))
    for tensor in header.tensors:
        whole = tensor.bytes or 0
        total += whole // before * size if tensor.name in BY_TOKEN else whole
    return total


def require_trimmable(header: Header, size: int) -> Tokens:
    """The model's tokens. Raises as `trim` where such a file cannot be cut to `size` tokens, whatever is used most."""
    require_language_model(header, header.file)
    tokens = Tokens.of(header)
    if is_split(header):
        raise UsageError(
            f"{header.file} is one part of several", "a vocabulary is cut in a file that holds the whole model"
        )
    try:
        require_merges(tokens)
    except UsageError as error:
        raise UsageError(f"{header.file}: {error.message}", error.hint) from None
    if rounded(size) >= len(tokens):
        raise UsageError(f"nothing to trim: {header.file} has {len(tokens):,} tokens", f"{rounded(size):,} were wanted")
    for tensor in header.tensors:
        rows = tensor.shape[-1] if tensor.shape else 1
        if tensor.bytes is None:
            raise UsageError(f"{header.file}: {tensor.name} is of an unknown type", "a newer speccas may know it")
        if tensor.name in BY_TOKEN:
            if rows != len(tokens) or tensor.bytes % rows:
                raise IntegrityError(f"{header.file}: {tensor.name} has {rows:,} rows for {len(tokens):,} tokens")
        elif len(tokens) in tensor.shape:
            raise UsageError(
                f"{header.file}: its vocabulary cannot be cut: {tensor.name} may have weights by token",
                f"what those of {header.architecture} are is not known here",
            )
    return tokens


def selected(header: Header, size: int, counts: Sequence[int] | NDArray[np.int64]) -> tuple[Tokens, Kept]:
    """The source's tokens, and those that are kept of them. Raises as `trim`."""
    tokens = require_trimmable(header, size)
    named = list(_named(header, len(tokens)))
    try:
        kept = choose(tokens, counts, rounded(size), named)
        if len(kept.ids) % STEP:  # no more can be kept
            kept = choose(tokens, counts, len(kept.ids) // STEP * STEP, named)
    except UsageError as error:
        raise UsageError(f"{header.file}: {error.message}", error.hint) from None
    return tokens, kept


def _is_token(key: str) -> bool:
    """Whether a value is a token's id, or ids of tokens, in a tokenizer's words or an architecture's."""
    last = key.rpartition(".")[2]
    return last.endswith(("_token_id", "_token_ids")) or last.startswith("token_ids_") or last == "suppress_tokens"


def _named(header: Header, tokens: int) -> Iterator[int]:
    """The tokens that the header names by their ids."""
    for key, value in header.metadata.items():
        if _is_token(key):
            ids = value if isinstance(value, array) else [value]
            yield from (int(each) for each in ids if isinstance(each, int) and 0 <= each < tokens)


def _changed(header: Header, kept: Kept, values: dict[str, bytes]) -> dict[str, bytes]:
    """The values that say something of the tokens, for those that are kept. An id that is no token's stays."""
    place = {token: mine for mine, token in enumerate(kept.ids)}
    before = len(Tokens.of(header))
    found = {}
    for key, value in header.metadata.items():
        if key not in values:
            continue
        if key == MERGES and isinstance(kept.tokens.merges, StringArray):
            found[key] = with_items(values[key], kept.tokens.merges)
        elif _is_token(key) and isinstance(value, array):
            found[key] = with_items(values[key], array(value.typecode, [place.get(int(each), each) for each in value]))
        elif _is_token(key) and isinstance(value, int) and value in place:
            found[key] = with_number(values[key], place[value])
        elif key.endswith(".vocab_size") and value == before:
            found[key] = with_number(values[key], len(kept.ids))
        elif key == "tokenizer.ggml.tokens":
            found[key] = with_items(values[key], kept.tokens.texts)
        elif key.startswith("tokenizer.") and isinstance(value, array) and len(value) == before:
            found[key] = with_items(values[key], array(value.typecode, [value[token] for token in kept.ids]))
    return found


def _stored(
    source: Path, header: Header, tensor: Tensor, kept: Kept, heard: Callable[[Iterator[bytes]], Iterator[bytes]]
) -> Stored:
    """A tensor of the file to make: the whole one, or its rows of the kept tokens."""
    whole = tensor.bytes or 0
    if tensor.name not in BY_TOKEN:
        parts = partial(pieces, source, header, tensor)
        return Stored(tensor.name, tensor.shape, tensor.type, whole, lambda: heard(parts()))
    row = whole // tensor.shape[-1]
    shape = (*tensor.shape[:-1], len(kept.ids))

    return Stored(
        tensor.name, shape, tensor.type, row * len(kept.ids), lambda: heard(_rows(source, header, tensor, kept))
    )


def _rows(source: Path, header: Header, tensor: Tensor, kept: Kept) -> Iterator[bytes]:
    """The bytes of a tensor's kept rows, a few megabytes at a time. A row is whole blocks in any type."""
    count = tensor.shape[-1]
    row = (tensor.bytes or 0) // count
    ids, step = np.asarray(kept.ids), max(1, PIECE // row)
    for first in range(0, count, step):
        last = min(first + step, count)
        mine = ids[(ids >= first) & (ids < last)] - first
        if len(mine):
            block = b"".join(pieces(source, header, tensor, first * row, last * row))
            yield np.frombuffer(block, np.uint8).reshape(-1, row)[mine].tobytes()
