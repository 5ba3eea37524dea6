"""Heads by their kind: which of the expert's states one reads, and the head itself over loaded weights."""

from ...decoding.drafts.head import Head
from ...decoding.rewind import Rewindable
from ...headers.gguf import Header
from ...headers.heads import is_eagle3, target_layers
from ..backend import Context, HeadContext, ModelFile, Weights

ROWS = 32
"""Rows of logits that a call of a head computes at most, wanted or not."""


def states_read(head: Header) -> tuple[int, ...]:
    """The layers of the expert whose input a file's head reads; () for a language model."""
    return target_layers(head) if is_eagle3(head) else ()


def make_head(
    file: ModelFile, weights: Weights, expert: Context, length: int, threads: int | None
) -> tuple[HeadContext, Head]:
    """A head's cache of `length` pairs, and the source that drafts from it. Raises DoesNotFit, Unavailable."""
    from ..llama import LlamaContext, LlamaWeights, physical_cores
    from .eagle3 import Eagle3, draft_vocabulary

    bare = expert.model if isinstance(expert, Rewindable) else expert
    assert isinstance(weights, LlamaWeights) and isinstance(bare, LlamaContext), "heads run on llama.cpp alone"
    shared = draft_vocabulary(file.header, file.path, weights.size)
    made = Eagle3(weights, bare.ctx, bare.states_width, length, threads or physical_cores())
    return made, Head(made, length, shared)
