"""Vocabularies: how two relate, and how a drafter spells what it lacks, held against llama.cpp's own tokenizer."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from speccas.core.errors import CannotPair, IntegrityError
from speccas.core.headers.spelling import BYTE_OF, LETTER
from speccas.core.headers.vocabulary import (
    BYTE,
    CONTROL,
    NORMAL,
    USER_DEFINED,
    Relation,
    Tokens,
    compare,
    require_pair,
)
from speccas.core.runtime.pair import Pair
from tests.builders.gguf import model_header

MakeTokens = Callable[..., Tokens]
BYTES = [LETTER[byte] for byte in range(256)]
WORDS = ["he", "ll", "hell", "hello"]
MERGES = ["h e", "l l", "he ll", "hell o"]


@pytest.fixture
def tokens() -> MakeTokens:
    """A tokenizer of byte-level BPE with these token texts; all are normal unless `types` says otherwise."""

    def make(
        texts: Sequence[str], types: Sequence[int] = (), merges: Sequence[str] = MERGES, model: str = "gpt2"
    ) -> Tokens:
        return Tokens.of(
            model_header(
                tokenizer__ggml__model=model,
                tokenizer__ggml__tokens=texts,
                tokenizer__ggml__token_type=types or [NORMAL] * len(texts),
                tokenizer__ggml__merges=merges,
            )
        )

    return make


def test_identical(tokens: MakeTokens) -> None:
    both = compare(tokens([*BYTES, *WORDS]), tokens([*BYTES, *WORDS]))
    assert (both.relation, both.shared, both.share) == (Relation.IDENTICAL, None, 1.0)
    assert [both.spell(token) for token in (0, 259)] == [(0,), (259,)]
    assert both.differences() == []
    require_pair(both, "a", "b")


def test_padded_either_way(tokens: MakeTokens) -> None:
    short, long = tokens([*BYTES, *WORDS]), tokens([*BYTES, *WORDS, "[PAD0]", "[PAD1]"])
    padded = compare(short, long)
    assert padded.relation is Relation.PADDED and padded.shared is not None and padded.share == 1.0
    assert (padded.shared.size, padded.shared.count, padded.shared.whole) == (262, 260, True)
    assert padded.spell(259) == (259,)
    assert padded.drafter.spell(b"[PAD1]") == list(padded.spell(261)) == [BYTES.index(c) for c in "[PAD1]"]
    assert padded.differences() == [(260, None, b"[PAD0]"), (261, None, b"[PAD1]")]
    require_pair(padded, "a", "b")
    other = compare(long, short)
    assert other.relation is Relation.PADDED and other.shared is not None and other.share == 260 / 262
    assert (other.shared.size, other.shared.count, other.shared.whole) == (260, 260, False)
    row = np.arange(262, dtype=np.float32)
    assert other.shared.of(row).tolist() == list(range(260))


def test_a_subset_has_other_ids_and_spells_what_it_lacks(tokens: MakeTokens) -> None:
    expert = tokens([*BYTES, *WORDS, "goodbye", "<|end|>"], [NORMAL] * 261 + [CONTROL])
    drafter = tokens(["<|end|>", *reversed(BYTES), "he", "ll", "hell"], [CONTROL] + [NORMAL] * 259, MERGES[:3])
    subset = compare(drafter, expert)
    assert subset.relation is Relation.SUBSET and subset.shared is not None and subset.share == 1.0
    assert subset.shared.whole and subset.shared.rows is None
    for token in range(262):
        spelled = b"".join(drafter.stands_for(each) for each in subset.spell(token))
        assert spelled == expert.stands_for(token)
    assert subset.spell(261) == (0,)
    assert [drafter.stands_for(each) for each in subset.spell(259)] == [b"hell", b"o"]
    assert len(subset.spell(260)) == 7
    require_pair(subset, "a", "b")


def test_overlapping_shares_what_has_the_same_bytes(tokens: MakeTokens) -> None:
    mine = tokens([*BYTES, "he", "xyz", "qqq"], merges=[])
    theirs = tokens([*BYTES, "ll", "he", "hell", "hello"])
    both = compare(mine, theirs)
    assert both.relation is Relation.OVERLAPPING and both.shared is not None and both.shared.rows is not None
    assert both.share == 257 / 259 and not both.shared.whole
    assert both.spell(257) == (256,) and both.spell(256) == tuple(mine.spell(b"ll"))
    assert both.differences(2) == [(256, b"he", b"ll"), (257, b"xyz", b"he")]
    require_pair(both, "small.gguf", "large.gguf")


def test_what_shares_next_to_nothing_is_refused_with_the_first_differences(tokens: MakeTokens) -> None:
    mine, theirs = tokens([f"x{i}" for i in range(300)]), tokens([f"y{i}" for i in range(300)])
    with pytest.raises(CannotPair) as refused:
        require_pair(compare(mine, theirs), "small.gguf", "large.gguf")
    assert refused.value.exit_code == 7
    for words in ("small.gguf and large.gguf", "0% of", "id 0: 'x0' / 'y0'", "id 1: 'x1' / 'y1'", "id 2: 'x2' / 'y2'"):
        assert words in refused.value.message


def test_a_control_token_is_not_the_normal_token_of_the_same_text(tokens: MakeTokens) -> None:
    drafter, expert = tokens(["a", "<s>"], [NORMAL, NORMAL]), tokens(["<s>", "a"], [CONTROL, NORMAL])
    both = compare(drafter, expert)
    assert both.relation is Relation.OVERLAPPING and both.shared is not None and both.shared.count == 1
    assert (b"<s>", True) in expert.index and (b"<s>", True) not in drafter.index


def test_a_marker_is_one_whether_a_file_calls_it_control_or_user_defined(tokens: MakeTokens) -> None:
    texts = [*BYTES, "<|im_start|>", "<|im_end|>", "<tool_call>"]
    drafter = tokens([*texts, "x"], [NORMAL] * 256 + [CONTROL] * 3 + [NORMAL])
    expert = tokens([*reversed(texts), "y"], [USER_DEFINED] * 3 + [NORMAL] * 257)
    both = compare(drafter, expert)
    assert [both.spell(token) for token in range(3)] == [(258,), (257,), (256,)]
    assert (drafter.turn_start, expert.turn_start) == (256, 2)
    assert [drafter.texts[token] for token in drafter.spell(b"<tool_call>")][:2] == [b"<", b"t"]


def test_two_kinds_of_tokenizer_share_by_bytes(tokens: MakeTokens) -> None:
    pieces = tokens(["<0x0A>", "▁he", "hello"], [BYTE, NORMAL, NORMAL], model="llama")
    assert [pieces.stands_for(token) for token in range(3)] == [b"\n", b" he", b"hello"]
    both = compare(pieces, tokens(["Ċ", "Ġhe", "hello", "x"]))
    assert both.relation is Relation.OVERLAPPING and both.shared is not None and both.shared.count == 3


def test_half_a_character_is_spelled(tokens: MakeTokens) -> None:
    drafter = tokens(BYTES, merges=[])
    for data in ("歪👩é".encode()[i:j] for i in range(9) for j in range(i, 10)):
        assert drafter.spell(data) == [BYTES.index(LETTER[byte]) for byte in data]
    assert drafter.spell(b"") == []


def test_a_missing_byte_is_left_out(tokens: MakeTokens) -> None:
    lacking = [letter for letter in BYTES if BYTE_OF[letter] != 0xE9]
    subset = compare(tokens(lacking, merges=[]), tokens([*BYTES, *WORDS]))
    require_pair(subset, "a", "b")
    assert subset.drafter.spell(b"a\xe9b") == [lacking.index("a"), lacking.index("b")]
    assert subset.spell(BYTES.index(LETTER[0xE9])) == ()


def test_what_cannot_be_spelled_is_refused_before_anything_is_written(tokens: MakeTokens) -> None:
    pieces = tokens(["a", "b"], model="rwkv")
    with pytest.raises(CannotPair, match=r"lacks 1 of the expert's tokens, such as 'ab'.* its tokenizer is 'rwkv'"):
        require_pair(compare(pieces, tokens(["b", "a", "ab"])), "a", "b")


def test_merges_are_applied_lowest_rank_first(tokens: MakeTokens) -> None:
    """Not longest first: "abc" with `b c` before `a b` is a + bc."""
    drafter = tokens([*BYTES, "ab", "bc", "abc"], merges=["b c", "a b"])
    assert [drafter.stands_for(token) for token in drafter.spell(b"abc")] == [b"a", b"bc"]


def test_a_merge_that_leads_to_no_token_leaves_bytes(tokens: MakeTokens) -> None:
    drafter = tokens([*BYTES, "he"])
    assert [drafter.stands_for(token) for token in drafter.spell(b"he hello")] == [
        *(b"he", b" "),
        *(bytes([byte]) for byte in b"hello"),
    ]


def test_a_broken_vocabulary() -> None:
    with pytest.raises(CannotPair, match="no vocabulary"):
        Tokens.of(model_header(general__architecture="llama"))
    with pytest.raises(IntegrityError, match="2 tokens but 1 token types"):
        Tokens.of(model_header(tokenizer__ggml__tokens=["a", "b"], tokenizer__ggml__token_type=[1]))
    bare = Tokens.of(model_header(tokenizer__ggml__tokens=["a", "b"]))
    assert [bare.type(0), bare.ranks, bare.model] == [NORMAL, {}, ""]


@pytest.mark.slow
@pytest.mark.tiny
def test_the_tiny_drafter_spells_every_token_of_its_expert(tiny: Pair) -> None:
    vocabulary = tiny.vocabulary
    drafter, expert = vocabulary.drafter, vocabulary.expert
    assert (vocabulary.relation, len(drafter), len(expert)) == (Relation.SUBSET, 14_336, 49_152)
    whole = 0
    for token in range(len(expert)):
        spelled = vocabulary.spell(token)
        assert b"".join(drafter.stands_for(each) for each in spelled) == expert.stands_for(token)
        whole += len(spelled) == 1
        assert expert.type(token) != CONTROL or (len(spelled) == 1 and drafter.type(spelled[0]) == CONTROL)
    assert whole == len(drafter)


@pytest.mark.tiny
def test_bytes_and_spellings_are_those_of_llama_cpp(tiny: Pair) -> None:
    drafter, expert = tiny.vocabulary.drafter, tiny.vocabulary.expert
    for token in range(len(expert)):
        assert tiny.lexicon.piece(token) == expert.stands_for(token)
    words = [expert.stands_for(token).decode("utf-8", "replace") for token in range(300, len(expert), 7)]
    for word in (word for word in words if word.lstrip(" ").isalpha() and word.isascii()):
        assert drafter.spell(word.encode()) == tiny.weights["drafter"].tokenize(word, special=False)


def test_the_turn_is_mapped_by_role_and_what_has_the_same_text_by_text() -> None:
    def made(texts: Sequence[str], end: str, **more: int) -> Tokens:
        words = [*BYTES, *texts]
        return Tokens.of(
            model_header(
                tokenizer__ggml__model="gpt2",
                tokenizer__ggml__tokens=words,
                tokenizer__ggml__token_type=[NORMAL] * 256 + [CONTROL] * len(texts),
                tokenizer__ggml__merges=["a b"],
                tokenizer__ggml__eos_token_id=words.index(end),
                **more,
            )
        )

    drafter = made(["<|im_start|>", "<|im_end|>", "<|pad|>"], "<|im_end|>")
    expert = made(["<|pad|>", "<eos>", "<start_of_turn>", "<end_of_turn>"], "<eos>")
    assert (drafter.turn_start, drafter.turn_end) == (256, 257)
    assert (expert.turn_start, expert.turn_end) == (258, 259), "EOS ends a document there"
    both = compare(drafter, expert)
    assert [both.spell(token) for token in (256, 258, 259)] == [(258,), (256,), (257,)]
    assert [drafter.stands_for(each) for each in both.spell(257)] == [b"<", b"e", b"o", b"s", b">"]
    assert both.shared is not None and both.shared.entry is not None
    assert both.shared.entry[259] >= 0 > both.shared.entry[258], "it may end a turn, and never start one"
    require_pair(both, "a", "b")
    named = made(["<eos>", "<stop>"], "<eos>", tokenizer__ggml__eot_token_id=257)
    assert named.turn_end == 257
    two = compare(made(["<|im_end|>", "<|endoftext|>"], "<|im_end|>"), made(["<|endoftext|>"], "<|endoftext|>"))
    assert two.spell(256) == (256,), "the role goes before the text"
    assert two.shared is not None and two.shared.rows is not None and 257 not in two.shared.rows


def test_no_end_of_a_turn_is_refused() -> None:
    def made(**more: int) -> Tokens:
        types = [NORMAL] * 256
        return Tokens.of(
            model_header(
                tokenizer__ggml__model="gpt2",
                tokenizer__ggml__tokens=[*(BYTES if more else reversed(BYTES)), "<end>"],
                tokenizer__ggml__token_type=[*types, CONTROL if more else NORMAL],
                tokenizer__ggml__merges=["a b"],
                **more,
            )
        )

    with pytest.raises(CannotPair, match="end of a turn is no token of the drafter"):
        require_pair(compare(made(), made(tokenizer__ggml__eos_token_id=256)), "a", "b")
