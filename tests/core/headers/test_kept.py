"""A smaller vocabulary is closed under merges: over random tokenizers, also those with several merges for a token."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speccas.core.errors import UsageError
from speccas.core.headers.kept import choose, strings
from speccas.core.headers.vocabulary import CONTROL, NORMAL, UNUSED, Relation, Tokens, compare
from tests.builders.bpe import LETTERS, random_tokens


@given(st.integers(0, 10**6), st.integers(40, 120))
def test_every_kept_token_is_reached_by_the_kept_merges(seed: int, size: int) -> None:
    tokens = random_tokens(seed)
    counts = np.random.default_rng(seed).integers(0, 5, len(tokens))
    kept = choose(tokens, counts, size)
    assert list(kept.ids) == sorted(set(kept.ids)) and len(kept.ids) <= size
    for mine, token in enumerate(kept.ids):
        assert kept.tokens.texts[mine] == tokens.texts[token] and kept.tokens.type(mine) == tokens.type(token)
        if kept.tokens.type(mine) == NORMAL:
            assert kept.tokens.spell(kept.tokens.stands_for(mine)) == [mine]
    assert compare(kept.tokens, tokens).relation in (Relation.SUBSET, Relation.PADDED)


@given(st.integers(0, 10**6), st.text(LETTERS, max_size=30))
def test_text_is_spelled_whole_and_as_before_where_all_its_tokens_are_kept(seed: int, written: str) -> None:
    tokens = random_tokens(seed)
    kept = choose(tokens, np.random.default_rng(seed).integers(0, 5, len(tokens)), 70)
    mine = kept.tokens.spell(written.encode())
    assert b"".join(kept.tokens.stands_for(token) for token in mine) == written.encode()
    before = tokens.spell(written.encode())
    if set(before) <= set(kept.ids):
        assert [kept.ids[token] for token in mine] == before


def test_the_most_used_are_kept_with_what_they_are_built_of() -> None:
    tokens = random_tokens(3)
    way = [token for token in range(len(tokens)) if len(tokens.texts[token]) >= 5][-1]
    counts = np.zeros(len(tokens), np.int64)
    counts[way] = 9
    assert way in choose(tokens, counts, 60).ids


@pytest.mark.parametrize(
    ("text", "kind", "stays"),
    [
        ("[PAD151935]", UNUSED, False),
        ("<|reserved_special_token_7|>", CONTROL, False),
        ("<unused12>", CONTROL, False),
        ("<|image_pad|>", CONTROL, True),
        ("<|fim_pad|>", CONTROL, True),
        ("<|end|>", CONTROL, True),
    ],
)
def test_tokens_that_only_fill_the_vocabulary_up_go(text: str, kind: int, stays: bool) -> None:
    tokens = random_tokens(1, [(text, kind)])
    token = len(tokens) - 1
    assert (token in choose(tokens, [0] * len(tokens), 60).ids) is stays
    assert token in choose(tokens, [0] * len(tokens), 60, [token]).ids, "what the header names stays"


def test_what_cannot_be_made_smaller_is_refused_in_one_line() -> None:
    tokens = random_tokens(1)
    few = len(LETTERS)
    with pytest.raises(UsageError, match=f"^{few - 1} tokens are too few$"):
        choose(tokens, [0] * len(tokens), few - 1)
    for changes, said in (
        ({"merges": None}, "without merges in the header"),
        ({"merges": strings([])}, "without merges in the header"),
        ({"model": "llama"}, "'llama'"),
        ({"model": ""}, "not named"),
    ):
        other = Tokens(**{**vars(tokens), **changes})
        with pytest.raises(UsageError, match=f"the tokenizer is {said}"):
            choose(other, [0] * len(tokens), 60)


def test_the_builder_gives_tokens_with_more_than_one_merge() -> None:
    """Else the first test would not see a way that is not the first."""
    several = 0
    for seed in range(20):
        tokens = random_tokens(seed)
        wholes = [merge.replace(b" ", b"") for merge in tokens.merges or ()]
        several += len(wholes) - len(set(wholes))
    assert several > 20
