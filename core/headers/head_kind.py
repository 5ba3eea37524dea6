"""What kind of draft head a file holds, if any; and the head in a model's own file, as a header of its own."""

from dataclasses import replace
from enum import StrEnum

from .gguf import Header, Tensor
from .weights import is_split, number


class HeadKind(StrEnum):
    """Heads that can draft, by what people call them."""

    EAGLE3 = "EAGLE-3"
    MTP = "MTP"
    ASSISTANT = "assistant"
    """Of Gemma 4: it has no cache of its own, and reads the expert's."""


ARCHITECTURES = {"eagle3": HeadKind.EAGLE3, "gemma4-assistant": HeadKind.ASSISTANT}


def kind_of(header: Header) -> HeadKind | None:
    """None where a file is no head, or one of a kind that is not run."""
    found = ARCHITECTURES.get(header.architecture)
    return HeadKind.MTP if found is None and has_no_trunk(header) else found


def guessing_layers(header: Header) -> int:
    """Layers behind a model's own that guess further tokens: the head in its file; 0 where it has none."""
    return max(0, min(number(header, "nextn_predict_layers"), number(header, "block_count")))


def own_layers(header: Header) -> int:
    """A model's layers without those; also where its file holds the others alone."""
    return number(header, "block_count") - guessing_layers(header)


def has_no_trunk(header: Header) -> bool:
    """Whether a file holds such layers, and none of the model's own."""
    layers, guessing = number(header, "block_count"), guessing_layers(header)
    if not guessing or layers == guessing:
        return guessing > 0
    return any(_guesses(header, each) for each in header.tensors) and not any(
        each.name.startswith("blk.0.") for each in header.tensors
    )


def inside(header: Header) -> Header:
    """The head in a model's file as if it were alone there: its layers, and the model's vocabulary. Without layers
    where the model has none that guess."""
    tensors = tuple(each for each in header.tensors if _guesses(header, each))
    metadata = {**header.metadata, f"{header.architecture}.block_count": guessing_layers(header)}
    return replace(header, metadata=metadata, tensors=tensors, places={})


def inside_bytes(header: Header) -> int:
    """Bytes of the head in a model's file; 0 where it lies in another part of a split one."""
    return 0 if is_split(header) else sum(each.bytes or 0 for each in inside(header).tensors)


def _guesses(header: Header, tensor: Tensor) -> bool:
    head, _, rest = tensor.name.removeprefix("blk.").partition(".")
    return tensor.name.startswith("blk.") and bool(rest) and head.isdigit() and int(head) >= own_layers(header)
