"""The drafter's vocabulary: closed under merges, every byte in it, and each token spelled as the expert spells it."""

import numpy as np
import pytest

from speccas.core.errors import UsageError
from speccas.core.headers.kept import Kept, choose, of_drafter, restore, spelling, strings
from speccas.core.headers.spelling import LETTER
from speccas.core.headers.vocabulary import Relation, Tokens
from tests.core.distill.conftest import TEXT


def test_control_tokens_and_every_byte_that_the_expert_has_are_kept(tokens: Tokens, kept: Kept) -> None:
    assert len(kept.ids) == 600 and list(kept.ids) == sorted(set(kept.ids))
    assert {token for token in range(len(tokens)) if tokens.type(token) != 1} <= set(kept.ids)
    bytes_ = {bytes([byte]) for byte in LETTER}
    known = {tokens.stands_for(token) for token in range(len(tokens))} & bytes_
    assert known <= {kept.tokens.stands_for(token) for token in range(600)} and len(known) > 200


def test_every_kept_token_is_merged_from_kept_ones(tokens: Tokens, kept: Kept) -> None:
    """The drafter's own merges give each token back as one, so a text's kept tokens are the expert's."""
    for token in range(600):
        if kept.tokens.type(token) == 1:
            assert kept.tokens.spell(kept.tokens.stands_for(token)) == [token]


def test_used_words_are_one_token_and_others_are_spelled(tokens: Tokens, kept: Kept) -> None:
    words = spelling(kept, tokens)
    assert words.relation is Relation.SUBSET
    for token in tokens.spell(b" water"):
        assert len(words.spell(token)) == 1
    rare = next(token for token in range(20000, 49152) if token not in kept.ids)
    pieces = words.spell(rare)
    assert len(pieces) > 1
    assert b"".join(kept.tokens.stands_for(piece) for piece in pieces) == tokens.stands_for(rare)


def test_more_used_tokens_come_first(tokens: Tokens) -> None:
    counts = np.zeros(len(tokens), np.int64)
    counts[20000:20200], counts[30000:30200] = 1, 9
    found = choose(tokens, counts, 450).ids
    often, seldom = (sum(start <= token < start + 200 for token in found) for start in (30000, 20000))
    assert often > 20 and seldom <= 2, "what is seldom used comes in only where no other fits"


def test_tokens_of_an_earlier_drafter_stay(tokens: Tokens) -> None:
    counts = np.zeros(len(tokens), np.int64)
    first = choose(tokens, counts, 400)
    counts[30000:30100] = 1
    second = choose(tokens, counts, 500, first.ids)
    assert set(first.ids) < set(second.ids) and of_drafter(tokens, first.tokens).ids == first.ids
    with pytest.raises(UsageError, match="no part of the expert's"):
        of_drafter(second.tokens, tokens)


def test_a_vocabulary_without_room_for_the_bytes_is_refused(tokens: Tokens) -> None:
    with pytest.raises(UsageError, match="100 tokens are too few"):
        choose(tokens, [0] * len(tokens), 100)


def test_what_was_remembered_is_restored(tokens: Tokens, kept: Kept) -> None:
    again = restore(tokens, list(kept.ids))
    assert again.ids == kept.ids and again.tokens.texts == kept.tokens.texts
    assert again.tokens.merges == kept.tokens.merges and again.tokens.end == kept.ids.index(tokens.end)


def test_strings_lie_as_in_a_header() -> None:
    parts = [*TEXT.split(b" "), b""]
    assert list(strings(parts)) == parts and strings(parts)[3] == parts[3] and strings(parts)[-1] == b""
