"""Random byte-level BPE tokenizers, small, with several merges for one token as some converters write them."""

import random
from array import array
from collections.abc import Sequence

from speccas.core.headers.kept import strings
from speccas.core.headers.vocabulary import CONTROL, NORMAL, Tokens

LETTERS = "abcdefghijklmnopqrst"


def random_tokens(seed: int, more: Sequence[tuple[str, int]] = (), merges: int = 100) -> Tokens:
    """Letters, then what random merges of what is there make, then `more` as (text, type). A merge that makes what is
    a token already makes no second one."""
    chance = random.Random(seed)
    texts, pairs = list(LETTERS), list[str]()
    while len(pairs) < merges:
        left, right = chance.choice(texts), chance.choice(texts)
        if f"{left} {right}" in pairs or len(left + right) > 6:
            continue
        pairs.append(f"{left} {right}")
        if left + right not in texts:
            texts.append(left + right)
        splits = [(left + right)[:i] + " " + (left + right)[i:] for i in range(1, len(left + right))]
        pairs += [each for each in splits if set(each.split(" ")) <= set(texts) and each not in pairs]
    types = [NORMAL] * len(texts) + [kind for _, kind in more]
    words = [*texts, *(text for text, _ in more)]
    assert CONTROL not in types[: len(texts)]
    return Tokens(
        "gpt2",
        "gpt-2",
        strings(word.encode() for word in words),
        array("q", types),
        strings(each.encode() for each in pairs),
    )
