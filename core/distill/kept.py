"""Which of the expert's tokens the drafter keeps: the most used, with all that is needed to build them by merges."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..headers.gguf import StringArray
from ..headers.vocabulary import NORMAL, Tokens, VocabularyMap, compare


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
    """At most `size` tokens: all that are no plain text, every single byte, those of `base`, and by `counts` the most
    used others, each with the tokens it is merged from. Of tokens used equally often, the one merged earlier is first.

    UsageError where the tokenizer is not byte-level BPE or `size` is too small.
    """
    if expert.model != "gpt2" or expert.merges is None:
        raise UsageError("the expert's tokenizer is not byte-level BPE", "the recipe is for such an expert")
    ids = {text: token for token, text in enumerate(expert.texts)}
    made: dict[int, tuple[int, int]] = {}
    for merge in expert.merges:
        left, _, right = merge.partition(b" ")
        whole = ids.get(left + right)
        if whole is not None and left in ids and right in ids:
            made.setdefault(whole, (ids[left], ids[right]))
    letters = (token for text, token in ids.items() if len(text.decode("utf-8", "replace")) == 1)
    kept = {token for token in range(len(expert)) if expert.type(token) != NORMAL} | set(letters) | set(base)
    if len(kept) > size:
        raise UsageError(f"{size} tokens are too few", f"{len(kept)} are needed at least")
    for token in np.argsort(-np.asarray(counts, np.int64), kind="stable").tolist():
        needed = _parts(token, made, kept)
        if needed is not None and len(kept) + len(needed) <= size:
            kept |= needed
    return restore(expert, sorted(kept))


def _parts(token: int, made: dict[int, tuple[int, int]], kept: set[int]) -> set[int] | None:
    """What is missing to build `token`, itself included; None where no merge makes it."""
    needed: set[int] = set()
    waiting = [token]
    while waiting:
        part = waiting.pop()
        if part in kept or part in needed:
            continue
        if part not in made:
            return None
        needed.add(part)
        waiting.extend(made[part])
    return needed


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
