"""A drafter that is the expert's own beginning: its first layers, then its last norm and output (early exit).

Without training it is a poor drafter: a middle layer's state is not what the output layer was made for (LayerSkip,
arXiv 2404.16710, trains both together). `distill --kind model` begins with such layers and trains them.
"""

import re
from array import array
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from ..errors import Stopped, UsageError
from ..headers.architecture import require_language_model
from ..headers.gguf import Header, Tensor, read_header
from ..headers.head_kind import guessing_layers
from ..headers.weights import is_split
from ..headers.write import Stored, pieces, values_of, with_items, with_number, write_gguf
from ..runtime.stop import StopFlag

LAYER = re.compile(r"blk\.(\d+)\.")


def cut_layers(
    source: Path,
    target: Path,
    layers: int,
    stop: StopFlag | None = None,
    tell: Callable[[int, int], None] | None = None,
) -> None:
    """Write `target`, the model of `source` with its first `layers` alone; `tell` hears the bytes that are written, and
    of how many. Weights are those of the source, bit by bit.

    UsageError: so many layers leave nothing out, a split file, a file with a head inside. CannotPair: no language
    model. IntegrityError, OSError, Stopped: there is no `target` then, or the one from before.
    """
    header = read_header(source)
    before = require_cuttable(header, layers)
    values = values_of(source, header)
    start = f"{header.architecture}."
    for key, value in header.metadata.items():
        if key == start + "block_count":
            values[key] = with_number(values[key], layers)
        elif key.startswith(start) and isinstance(value, array) and len(value) == before:  # one for each layer
            values[key] = with_items(values[key], value[:layers])
    kept = [tensor for tensor in header.tensors if layer_of(tensor) < layers]
    total = sum(tensor.bytes or 0 for tensor in kept)
    done = 0

    def heard(tensor: Tensor) -> Iterator[bytes]:
        nonlocal done
        for piece in pieces(source, header, tensor):
            if stop:
                raise Stopped("stopped")
            yield piece
            done += len(piece)
            if tell is not None:
                tell(done, total)

    stored = [Stored(each.name, each.shape, each.type, each.bytes or 0, partial(heard, each)) for each in kept]
    write_gguf(target, values, stored, header.alignment)


def require_cuttable(header: Header, layers: int) -> int:
    """How many layers the model has. Raises as `cut_layers` where it cannot be cut to so many."""
    require_language_model(header, header.file)
    if is_split(header):
        raise UsageError(
            f"{header.file} is one part of several", "layers are cut from a file that holds the whole model"
        )
    if guessing_layers(header):
        raise UsageError(f"{header.file} has a head behind its layers", "take that head as the drafter")
    before = header.get(f"{header.architecture}.block_count", int, 0)
    if not 0 < layers < before:
        raise UsageError(f"{header.file} has {before} layers, and {layers} were wanted", f"give 1 to {before - 1}")
    return before


def layer_of(tensor: Tensor) -> int:
    """Of a tensor; -1 for one that is of no layer."""
    found = LAYER.match(tensor.name)
    return -1 if found is None else int(found[1])
