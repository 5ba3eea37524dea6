"""Heads by their kind: which of the expert's states one reads, and the head itself over loaded weights."""

from ...decoding.drafts.head import Head
from ...decoding.rewind import Rewindable
from ...headers.gguf import Header
from ...headers.head_kind import HeadKind, kind_of, own_layers
from ...headers.heads import target_layers
from ..backend import Context, HeadContext, ModelFile, Weights

ROWS = 32
"""Rows of logits that a call of a head computes at most, wanted or not."""


def states_read(head: Header, expert: Header) -> tuple[int, ...]:
    """The layers of the expert whose input a file's head reads, the number of all its layers for the state behind the
    last; () for a language model."""
    kind = kind_of(head)
    if kind is None:
        return ()
    if kind is HeadKind.EAGLE3:
        return target_layers(head)
    return (own_layers(expert),)


def make_head(file: ModelFile, weights: Weights, expert: Context, length: int) -> tuple[HeadContext, Head]:
    """A head's cache of `length` pairs, and the source that drafts from it. Raises DoesNotFit, Unavailable."""
    from ..llama import LlamaContext, LlamaWeights
    from .assistant import Assistant
    from .eagle3 import Eagle3, draft_vocabulary
    from .mtp import Mtp

    bare = expert.model if isinstance(expert, Rewindable) else expert
    assert isinstance(weights, LlamaWeights) and isinstance(bare, LlamaContext), "heads run on llama.cpp alone"
    kind = kind_of(file.header)
    if kind is HeadKind.MTP:
        mtp = Mtp(weights, bare, length)
        return mtp, Head(mtp, length, longest=mtp.layers if mtp.layers > 1 else None)
    if kind is HeadKind.ASSISTANT:
        assistant = Assistant(weights, bare, length)
        return assistant, Head(assistant, length, ahead=True)
    shared = draft_vocabulary(file.header, file.path, weights.size)
    eagle = Eagle3(weights, bare, length)
    return eagle, Head(eagle, length, shared)
