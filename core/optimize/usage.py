"""Which tokens of a vocabulary are used most, without a corpus: by the order of its merges.

A tokenizer's merges were learnt one after the other, each the most frequent pair of its training text, so a token that
was merged earlier is the more frequent one. Nothing is counted in the prompts of a bench or in what is measured: a
vocabulary chosen by them would be accepted more often there than anywhere else. Before all others come the words of the
file's own chat template, which stand in every prompt.
"""

import re

import numpy as np
from numpy.typing import NDArray

from ..headers.vocabulary import Tokens

WORD = re.compile(r"[^\S\r\n]?\w+|[^\S\r\n]?[^\w\s]+|\s+")
"""Words about as the tokenizers cut them; a text that is cut elsewhere only counts other tokens."""
LONG = 40  # letters; merging is quadratic in them, and no such word is one token
SIZES = (32_768, 65_536, 98_304)
"""Tokens that may be kept of a large vocabulary. Of the 151,936 of Qwen2.5-Coder (0.5B for 1.5B, draft length 3) the
first 32,768 cost 4 points of acceptance in mathematics and 8 in code, 65,536 cost 2 and 5; of the programs of HumanEval
and their prompts these hold 96.1, 98.6 and 99.8 % of the tokens."""
WORTH = 0.8
"""The largest share of a vocabulary that is worth cutting to."""
LEAST = 98_304
"""Of a smaller vocabulary the output layer is too small a part of a step to be worth the tokens."""


def usage(tokens: Tokens, template: str = "") -> NDArray[np.int64]:
    """A number for each token, larger where it is used more: its place in the merges from behind, 0 for a token that no
    merge makes, and of the words of `template` and their parts more than any other has."""
    merges = tokens.merges or ()
    ids = {text: token for token, text in enumerate(tokens.texts)}
    found = np.zeros(len(tokens), np.int64)
    for rank, merge in enumerate(merges):
        token = ids.get(merge.replace(b" ", b"", 1), -1)
        if token >= 0 and not found[token]:
            found[token] = len(merges) - rank
    words = {word for word in WORD.findall(template) if len(word) < LONG}
    spelled = sorted({token for word in words for token in tokens.spell(word.encode())})
    found[spelled] += len(merges)
    return found


def default_sizes(tokens: int) -> tuple[int, ...]:
    """How many of `tokens` a drafter may keep where nobody says it, fewest first; none where it keeps them all."""
    return tuple(size for size in SIZES if size <= WORTH * tokens) if tokens >= LEAST else ()
