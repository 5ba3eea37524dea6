"""Which tensors of a file a CPU multiplies a row and a token at a time, as its header says: several tokens in one call
are then no cheaper than one after another.

llama.cpp (`ggml/src/ggml-cpu/repack.cpp`) copies tensors of some types, with rows in multiples of 8, into a layout that
it multiplies by four tokens at once. Plain numbers need none.
"""

from dataclasses import dataclass

from .gguf import Header, Tensor
from .weights import is_split, share_read

PLAIN = {"F32", "F16", "BF16"}
ROWS = 8


@dataclass(frozen=True, slots=True)
class UnpackedTensors:
    """What of a file is multiplied a token at a time."""

    types: tuple[str, ...]
    """The one that most bytes are of first."""
    count: int
    total: int
    """Tensors of the file."""
    share: float
    """Of the bytes that a step reads."""


def unpacked_tensors(header: Header, packed: frozenset[str]) -> UnpackedTensors | None:
    """The tensors that a step reads and that a build which packs these types leaves as they are; None where there are
    none, and where the header does not name them all (a split model, a type that is not known)."""
    if is_split(header) or any(tensor.bytes is None for tensor in header.tensors):
        return None
    tied = not any(tensor.name == "output.weight" for tensor in header.tensors)
    read = [(tensor, share_read(header, tensor, tied) * (tensor.bytes or 0)) for tensor in header.tensors]
    found = [(tensor, size) for tensor, size in read if size and left_out(tensor, packed)]
    if not found:
        return None
    by_type: dict[str, float] = {}
    for tensor, size in found:
        by_type[tensor.type_name] = by_type.get(tensor.type_name, 0.0) + size
    types = tuple(sorted(by_type, key=lambda name: -by_type[name]))
    return UnpackedTensors(types, len(found), len(read), sum(by_type.values()) / sum(size for _, size in read))


def left_out(tensor: Tensor, packed: frozenset[str]) -> bool:
    """Whether a matrix stays as it is. Vectors are plain everywhere."""
    if len(tensor.shape) < 2 or tensor.type_name in PLAIN:
        return False
    return tensor.type_name not in packed or tensor.shape[1] % ROWS != 0
