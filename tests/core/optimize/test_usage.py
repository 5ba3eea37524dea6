"""Which tokens are kept where nobody counts them: those that were merged first, and the words of the template."""

import pytest

from speccas.core.headers.gguf import read_header
from speccas.core.headers.kept import choose, strings
from speccas.core.headers.vocabulary import Tokens
from speccas.core.optimize.usage import LEAST, default_sizes, usage
from tests.builders.bpe import LETTERS, random_tokens
from tests.builders.models import TINY


def test_what_is_merged_earlier_is_used_more_and_what_no_merge_makes_least() -> None:
    tokens = Tokens("gpt2", "", strings([b"a", b"b", b"c", b"ab", b"abc", b"bc"]), None, strings([b"b c", b"a b"]))
    assert usage(tokens).tolist() == [0, 0, 0, 1, 0, 2]
    assert usage(tokens, "ab").tolist() == [0, 0, 0, 3, 0, 2], "a word of the template is before all others"


def test_of_several_merges_of_a_token_the_first_counts() -> None:
    tokens = Tokens("gpt2", "", strings([b"a", b"aa", b"aaa"]), None, strings([b"a a", b"a aa", b"aa a"]))
    assert usage(tokens).tolist() == [0, 3, 2]


def test_words_of_the_template_are_kept_whole_in_a_small_vocabulary() -> None:
    tokens = Tokens.of(read_header(TINY))
    template = "<|im_start|>system\nYou are a helpful assistant<|im_end|>\n<|im_start|>user\n"
    kept = choose(tokens, usage(tokens, template), 512)
    for word in ("system", "You", " helpful", " assistant", "user"):
        assert len(kept.tokens.spell(word.encode())) == 1, word
    plain = choose(tokens, usage(tokens), 512)
    assert len(plain.tokens.spell(b" assistant")) > 1


def test_without_a_template_the_first_merges_are_kept() -> None:
    tokens = random_tokens(2)
    kept = choose(tokens, usage(tokens), 60)
    assert {token for token in kept.ids if token >= len(LETTERS)} <= set(range(len(LETTERS), 80))


@pytest.mark.parametrize("tokens", [LEAST, 128_256, 151_936])
def test_only_a_large_vocabulary_is_trimmed_unasked(tokens: int) -> None:
    sizes = default_sizes(tokens)
    assert sizes and sizes == tuple(sorted(sizes)) and sizes[-1] < tokens and not any(size % 64 for size in sizes)
    assert default_sizes(49_152) == ()
