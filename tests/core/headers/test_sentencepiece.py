"""Pairs whose tokenizer is not byte-level BPE: what they share, how one spells for the other, and what is refused."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speccas.core.errors import CannotPair
from speccas.core.files.profiles import Profile
from speccas.core.files.source import Source
from speccas.core.headers.check import REFUSED, judge
from speccas.core.headers.vocabulary import CONTROL, NORMAL, USER_DEFINED, Relation, Tokens, compare, require_pair
from speccas.core.record.metrics import Fold
from speccas.core.runtime.backend import LoadOptions
from speccas.core.runtime.pair import load_pair
from tests.builders.gguf import model_header
from tests.builders.loaded import answered, llama_model
from tests.builders.sentencepiece import TEXTS, TYPES, Made, padded, renamed

ELSEWHERE = ["llama", "t5", "bert", "rwkv", "plamo2", "none"]
"""Values of tokenizer.ggml.model that are not byte-level BPE."""


def tokens(made: Made) -> Tokens:
    return Tokens.of(made.header())


@pytest.mark.parametrize("model", ELSEWHERE)
@pytest.mark.parametrize(("drafter", "expert"), [(0, 64), (64, 0), (0, 0)])
def test_padding_is_no_reason_to_refuse_a_pair(model: str, drafter: int, expert: int) -> None:
    small, large = padded(drafter, model).header(), padded(expert, model).header()
    found = judge(small, large, (1, 10))
    assert found.verdict == ("padded" if drafter != expert else "identical"), found.reason
    both = compare(Tokens.of(small), Tokens.of(large))
    assert all(both.spell(token) == (token,) for token in range(len(TEXTS)))
    beyond = [both.spell(token) for token in range(len(TEXTS), len(TEXTS) + expert)]
    assert all(max(spelled, default=0) < len(TEXTS) + drafter for spelled in beyond), "the drafter has such tokens"


def test_a_letter_is_not_the_byte_that_stands_for_the_same() -> None:
    small, large = tokens(renamed({270: "<one>"})), tokens(renamed({271: "<two>"}))
    both = compare(small, large)
    for text in ("a", "<0x61>", "▁", "<0x20>", "<0xE9>", "▁hello"):
        assert both.spell(TEXTS.index(text)) == (TEXTS.index(text),)
    assert (both.relation, both.share) == (Relation.OVERLAPPING, (len(TEXTS) - 2) / len(TEXTS))


def test_a_few_other_control_tokens_are_spelled_letter_by_letter() -> None:
    small, large = tokens(renamed({270: "<one>"})), tokens(renamed({270: "<two>"}))
    both = compare(small, large)
    require_pair(both, "a", "b")
    assert [small.texts[each].decode() for each in both.spell(270)] == ["<0x3C>", "t", "w", "o", "<0x3E>"]
    assert both.shared is not None and both.shared.rows is not None and 270 not in both.shared.rows
    assert both.lacking == []


@pytest.mark.parametrize("model", ["t5", "bert", "rwkv", "plamo2"])
def test_near_equal_works_where_nothing_must_be_spelled_and_is_refused_for_that_reason_elsewhere(model: str) -> None:
    def made(text: str, kind: int, at: int = 270) -> Made:
        texts, types = list(TEXTS), list(TYPES)
        texts[at], types[at] = text, kind
        return Made(texts, types, model)

    for text, kind in (("<two>", CONTROL), ("<unused7>", NORMAL), ("[PAD]", USER_DEFINED)):
        found = judge(made("<one>", CONTROL).header(), made(text, kind).header(), (1, 10))
        assert found.works, found.reason
        both = compare(tokens(made("<one>", CONTROL)), tokens(made(text, kind)))
        assert both.spell(270) == (), "it reads around it"
    refused = judge(made("<one>", CONTROL).header(), made("zebra", NORMAL).header(), (1, 10))
    assert refused.verdict == REFUSED
    for words in ("lacks 1 of the expert's tokens, such as 'zebra'", f"its tokenizer is '{model}'"):
        assert words in refused.reason


def test_a_header_without_merges_says_so() -> None:
    def made(*texts: str) -> Tokens:
        return Tokens.of(model_header(tokenizer__ggml__model="gpt2", tokenizer__ggml__tokens=texts))

    with pytest.raises(CannotPair, match="the file holds no merges"):
        require_pair(compare(made("a", "b"), made("b", "a", "ab")), "a", "b")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> object:
    path = Made(more={"tokenizer.ggml.add_space_prefix": False}).write(tmp_path_factory.mktemp("sp") / "sp.gguf")
    model = llama_model(path, context=64)
    yield model.weights
    model.weights.close()


@settings(max_examples=60)
@given(st.lists(st.sampled_from(["hello", "the", "in", "l", "h", "e", " ", "  ", "lo", "é", "歪", "\n", "<", "Z"])))
def test_a_spelling_is_that_of_llama_cpp(loaded: object, words: list[str]) -> None:
    text = "".join(words)
    assert tokens(Made()).spell(text.encode()) == loaded.tokenize(text, special=False)  # type: ignore[attr-defined]


def test_half_a_character_is_spelled_in_bytes() -> None:
    made = tokens(Made())
    assert [made.texts[each] for each in made.spell("é".encode()[:1] + b"he")] == [b"<0xC3>", b"he"]


PAIRS = {
    "padded expert": (padded(0, noise=0.006), padded(64)),
    "padded drafter": (padded(64, noise=0.006), padded(0)),
    "other control tokens": (renamed({270: "<one>", 271: "<1>"}, 0.006), renamed({270: "<two>", 271: "<2>"})),
    "other words": (Made(TEXTS[:-3], TYPES[:-3], noise=0.006), renamed({300: "<x>"})),
}


@pytest.mark.parametrize("case", PAIRS)
def test_exact_writes_what_the_expert_writes(case: str, tmp_path: Path) -> None:
    made = zip("de", PAIRS[case], strict=True)
    drafter, expert = (Source(path=str(each.write(tmp_path / f"{role}.gguf"))) for role, each in made)
    pair = Profile("sp", drafter, expert)
    with load_pair(pair, LoadOptions(threads=1, ctx=256)) as both:
        prompt = [1, *both.weights["expert"].tokenize("hello in the ", special=False)]
        figures = {}
        for arm in ("expert", "exact"):
            fold = Fold()
            for event in answered(both, prompt, arm, 80, ignore_eos=True):
                fold(event)
            figures[arm] = fold.figures(), [token.id for token in fold.tokens]
    assert figures["exact"][1] == figures["expert"][1]
    assert 0.2 < (figures["exact"][0].acceptance or 0) < 0.9, "drafts are neither all right nor all wrong"
