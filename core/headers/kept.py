"""Which tokens a smaller vocabulary keeps of a larger one: the most used, with all that is needed to build them.

The larger one is called the expert's here, and the smaller the drafter's.
"""

import re
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from .gguf import StringArray
from .markers import FORCED
from .spelling import merged
from .vocabulary import NORMAL, UNUSED, Tokens, VocabularyMap, compare

FILLER = re.compile(rb"\[PAD\d+\]|[<\[][^<>\[\]]*(unused|reserved|placeholder|extra_id|extra_token)[^<>\[\]]*[>\]]")
"""Texts of tokens that only fill a vocabulary up, whatever the file says they are."""


@dataclass(frozen=True)
class Kept:
    """`ids` are the expert's, ascending: the drafter's token i is the expert's `ids[i]`."""

    ids: tuple[int, ...]
    tokens: Tokens
    """The drafter's tokenizer."""


def strings(texts: Iterable[bytes]) -> StringArray:
    """Texts as the header of a GGUF holds them."""
    parts = [len(text).to_bytes(8, "little") + text for text in texts]
    starts = accumulate((len(part) for part in parts), initial=8)
    return StringArray(b"".join(parts), array("q", starts))


def choose(expert: Tokens, counts: Sequence[int] | NDArray[np.int64], size: int, base: Iterable[int] = ()) -> Kept:
    """At most `size` tokens: all that are no plain text, less those that only fill the vocabulary up; every single
    byte; those of `base`; and by `counts` the most used others, each with the tokens that its merges go through. Of
    tokens used equally often, the one with the lower id is first.

    UsageError where the tokenizer is not byte-level BPE or `size` is too small.
    """
    require_merges(expert)
    plain = [text.decode("utf-8", "replace") for text in expert.texts]
    ids = {text: token for token, text in enumerate(plain)}
    kept = {token for token in range(len(expert)) if expert.type(token) != NORMAL and not fills(expert, token)}
    kept |= {token for text, token in ids.items() if len(text) == 1} | set(base)
    if len(kept) > size:
        raise UsageError(f"{size:,} tokens are too few", f"{len(kept):,} are needed at least")
    for token in np.argsort(-np.asarray(counts, np.int64), kind="stable").tolist():
        if len(kept) == size:
            break
        if token in kept or ids[plain[token]] != token or expert.type(token) != NORMAL:
            continue
        parts = {ids.get(part, -1) for part in _way(plain[token], expert.ranks)} - kept
        if parts and -1 not in parts and len(kept) + len(parts) <= size:
            kept |= parts
    return restore(expert, sorted(kept))


def require_merges(tokens: Tokens) -> None:
    """Raises UsageError where a tokenizer is not byte-level BPE with its merges in the header."""
    if tokens.model != "gpt2" or not tokens.merges:
        kind = {"gpt2": "without merges in the header", "": "not named"}.get(tokens.model, repr(tokens.model))
        raise UsageError(f"the tokenizer is {kind}", "only a byte-level BPE one with its merges can be made smaller")


def fills(tokens: Tokens, token: int) -> bool:
    """Whether a token only fills the vocabulary up to a round number."""
    text = tokens.texts[token]
    return tokens.type(token) == UNUSED or (text not in FORCED and FILLER.fullmatch(text) is not None)


def _way(text: str, ranks: Mapping[tuple[str, str], int]) -> list[str]:
    """What the merges make one after the other on their way to a token, itself last; [] where they make others of its
    text. With all of these and the bytes kept, the kept merges go the same way: none that is missing was the first."""
    parts = list(text)
    made = list(merged(parts, ranks))
    return made if len(parts) == 1 else []


def restore(expert: Tokens, kept: Sequence[int]) -> Kept:
    """The drafter's tokenizer with the expert's tokens `kept` (ascending), and the merges whose parts are all kept."""
    texts = [expert.texts[token] for token in kept]
    known = set(texts)
    merges = [
        merge
        for merge in expert.merges or ()
        for left, _, right in [merge.partition(b" ")]
        if left in known and right in known and left + right in known
    ]
    types = array("q", (expert.type(token) for token in kept))
    end = kept.index(expert.end) if expert.end in kept else -1
    return Kept(tuple(kept), replace(expert, texts=strings(texts), types=types, merges=strings(merges), end=end))


def of_drafter(expert: Tokens, drafter: Tokens) -> Kept:
    """The vocabulary of a drafter that was exported before. UsageError where it is not a part of the expert's."""
    ids = {text: token for token, text in enumerate(expert.texts)}
    kept = [ids.get(text, -1) for text in drafter.texts]
    if -1 in kept or kept != sorted(set(kept)):
        raise UsageError("the drafter's tokens are no part of the expert's", "start from one of this recipe")
    return restore(expert, kept)


def spelling(kept: Kept, expert: Tokens) -> VocabularyMap:
    """How a token of the expert is spelled by the drafter, by the same code as when it drafts."""
    return compare(kept.tokens, expert)
