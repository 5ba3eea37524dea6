"""Drafters of another tokenizer: what they may propose, how they read the expert's tokens, and that `exact` is exact.

Toy tokenizers whose tokens cut across each other, and real SmolLM2 with real Qwen; knows both from outside only.
"""

import itertools
import time
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from speccas.core.decoding.answer import Lexicon, Request
from speccas.core.decoding.arms import parse_arm, play
from speccas.core.decoding.drafting import Fixed
from speccas.core.decoding.events import Judged
from speccas.core.decoding.model_drafter import ModelDrafter
from speccas.core.decoding.sampling import Distribution, Floats, Sampling
from speccas.core.decoding.table import TableModel
from speccas.core.models.gguf import StringArray
from speccas.core.models.load import LoadedPair, chosen_pair
from speccas.core.models.template import Message
from speccas.core.models.vocabulary import CONTROL, LETTER, NORMAL, Tokens, Verdict, Vocabulary, compare
from speccas.core.settings import Settings

FILES = Path.home() / ".cache/speccas-test-models"
END = "<end>"


def strings(texts: Sequence[str]) -> StringArray:
    blob, starts = b"", array("Q", [8])
    for text in texts:
        data = text.encode()
        blob += len(data).to_bytes(8, "little") + data
        starts.append(len(blob) + 8)
    return StringArray(blob, starts)


def tokens(words: Sequence[str], merges: Sequence[tuple[str, str]]) -> Tokens:
    """A byte-level BPE tokenizer: `words` in letters of GPT-2, then an end token."""
    types = array("q", [NORMAL] * len(words) + [CONTROL])
    joined = strings([f"{left} {right}" for left, right in merges])
    return Tokens("gpt2", "toy", strings([*words, END]), types, joined, len(words))


EXPERT = tokens(["a", "b", "c", "ab", "bc"], [("a", "b"), ("b", "c")])
DRAFTER = tokens(["c", "b", "a", "ca", "ab", "cab"], [("c", "a"), ("a", "b"), ("ca", "b")])


def test_the_toy_tokenizers_overlap_and_their_ends_are_one() -> None:
    vocabulary = compare(DRAFTER, EXPERT)
    assert vocabulary.verdict is Verdict.OVERLAPPING
    shared = vocabulary.shared
    assert shared is not None and shared.ids is not None
    assert {EXPERT.stands_for(int(i)) for i in shared.ids} == {b"a", b"b", b"c", b"ab", END.encode()}
    assert [DRAFTER.stands_for(i) for i in vocabulary.spell(4)] == [b"b", b"c"]


def test_two_drafter_tokens_of_the_same_bytes_count_once() -> None:
    twice = tokens(["a", "b", "c", "a"], [])
    shared = compare(twice, EXPERT).shared
    assert shared is not None and shared.ids is not None and len(set(map(int, shared.ids))) == len(shared.ids)


def logits(seed: int, size: int) -> Callable[[tuple[int, ...]], Floats]:
    table = np.random.default_rng(seed).normal(0, 1.0, (size, size, size)).astype(np.float32)
    return lambda last: table[(0,) * (2 - len(last)) + last]


@pytest.mark.parametrize("rule", ["exact", "token:0.5", "comparative:0.1"])
@pytest.mark.parametrize("k", [1, 3])
def test_sampled_output_has_the_rules_distribution(rule: str, k: int) -> None:
    """First token by chi-square for every rule, and three tokens for exact, whose joint is the expert's own."""
    vocabulary = compare(DRAFTER, EXPERT)
    expert, small = TableModel(logits(1, 6), order=2), TableModel(logits(2, 7), order=2, max_rows=1)
    drafter = ModelDrafter(small, vocabulary, 10**6)
    prompt = (0, 1, 4)
    lexicon = Lexicon(EXPERT.stands_for, lambda token: False)
    expert.extend(prompt[:-1], rows=0)
    found: Counter[tuple[int, ...]] = Counter()
    count = 20_000 if rule == "exact" else 4_000
    length = 3 if rule == "exact" else 1
    for seed in range(count):
        request = Request(prompt, Sampling(1.0, seed=seed), 3, 10**6)
        ids: list[int] = []
        for event in play(parse_arm(rule), Fixed(k), expert, drafter, request, lexicon, time.perf_counter):
            if isinstance(event, Judged):
                ids += [token.id for token in event.tokens]
        found[tuple(ids[:length])] += 1
    if rule != "exact":
        assert set(found) <= {(i,) for i in range(6)}  # every rule runs on such a pair, in the expert's ids
        return
    p = logits(1, 6)
    wanted = {
        path: float(
            np.prod([Distribution(p(tuple([*prompt, *path][: 3 + i][-2:]))).prob(v) for i, v in enumerate(path)])
        )
        for path in itertools.product(range(6), repeat=3)
    }
    common = [path for path, share in wanted.items() if share * count >= 5]
    rest = count - sum(found[path] for path in common)
    expected = [wanted[path] * count for path in common]
    assert chisquare([*(found[path] for path in common), rest], [*expected, count - sum(expected)]).pvalue > 1e-4


def test_a_draft_ends_before_a_position_that_is_mostly_not_shared() -> None:
    """The drafter is sure of a token that the expert lacks: nothing is drafted there, and it is asked once a round."""
    vocabulary = compare(DRAFTER, EXPERT)
    sure = np.zeros(7, dtype=np.float32)
    sure[3] = 9  # "ca"
    expert, small = TableModel(logits(1, 6), order=2), TableModel(lambda last: sure, max_rows=1)
    drafter = ModelDrafter(small, vocabulary, 10**6)
    expert.extend((0, 1), rows=0)
    lexicon = Lexicon(EXPERT.stands_for, lambda token: False)
    request = Request((0, 1, 4), Sampling(), 6, 10**6)
    events = list(play(parse_arm("token"), Fixed(4), expert, drafter, request, lexicon, time.perf_counter))
    rounds = [event for event in events if isinstance(event, Judged)]
    assert [each.drafted for each in rounds] == [0] * 6
    spelling = sum(len(vocabulary.spell(token)) for token in (0, 1, 4, *(t.id for r in rounds for t in r.tokens)))
    assert small.evaluated <= spelling, "each token is read once, and no draft token twice"


ALPHABET = [LETTER[byte] for byte in range(256)]


@st.composite
def vocabularies(draw: st.DrawFn) -> Tokens:
    """All 256 bytes and random merges over a few of them."""
    words, merges = list(ALPHABET), []
    some = [LETTER[byte] for byte in b"ab \xe4\xbd"]
    for _ in range(draw(st.integers(0, 12))):
        left, right = draw(st.sampled_from(some)), draw(st.sampled_from(some))
        if left + right not in words:
            words.append(left + right)
            some.append(left + right)
            merges.append((left, right))
    return tokens(words, merges)


@settings(max_examples=60)
@given(vocabularies(), vocabularies(), st.data())
def test_the_drafters_cache_spells_what_is_committed(drafter: Tokens, expert: Tokens, data: st.DataObject) -> None:
    vocabulary = compare(drafter, expert)
    small = TableModel(lambda last: np.zeros(len(drafter)), max_rows=1)
    model = ModelDrafter(small, vocabulary, 10**6)
    committed: list[int] = [97]
    for _ in range(data.draw(st.integers(1, 6))):
        committed = committed[: data.draw(st.integers(1, len(committed)))]
        committed += data.draw(st.lists(st.integers(0, len(expert) - 1), max_size=6))
        model.follow(committed)
        for token in data.draw(st.lists(st.integers(0, len(expert) - 1), max_size=3)):
            model.push(token)  # a draft that will be turned down
            model.next()
        model.follow(committed)
        model.next()
        assert b"".join(drafter.stands_for(token) for token in small.ids) == b"".join(map(expert.stands_for, committed))


@pytest.fixture(scope="module")
def strangers() -> object:
    """SmolLM2 drafting for Qwen, where somebody has fetched both."""
    files = {"drafter": "smollm2-135m-instruct-q4_1.gguf", "expert": "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"}
    if not all((FILES / name).is_file() for name in files.values()):
        pytest.skip(f"no Qwen in {FILES}")
    chosen = Settings(threads=1, **{role: str(FILES / name) for role, name in files.items()})  # type: ignore[arg-type]
    with LoadedPair(chosen_pair(chosen), chosen) as pair:
        yield pair


def spelled(vocabulary: Vocabulary, token: int) -> bytes:
    return b"".join(vocabulary.drafter.stands_for(each) for each in vocabulary.spell(token))


@pytest.mark.real
def test_every_token_of_qwen_is_spelled_by_its_bytes(strangers: LoadedPair) -> None:
    vocabulary = strangers.vocabulary
    known = {byte for byte in range(256) if (bytes([byte]), False) in vocabulary.drafter.index}
    for token in range(0, len(vocabulary.expert), 7):
        wanted = vocabulary.expert.stands_for(token)
        if set(wanted) <= known:
            assert spelled(vocabulary, token) == wanted


PROMPTS = [
    "Write a Python function that adds two numbers.",
    "What is 123456789 times 2?",
    "用中文说你好。",
    "Reply with three emoji: 😀🎉👩‍🚀",
    "Repeat exactly:\n\n        indented    text\t\ttabs",
]


@pytest.mark.real
@pytest.mark.parametrize("number", range(len(PROMPTS)))
def test_exact_is_the_expert_alone_up_to_near_ties(strangers: LoadedPair, number: int) -> None:
    pair = strangers
    ids = pair.prompt_ids([Message("user", PROMPTS[number])])
    request = Request(tuple(ids), Sampling(), 20, pair.context)
    answers = []
    for arm, k in (("expert", 1), ("exact", 1 + 2 * number % 8)):
        for _ in pair.prefill(ids):
            pass
        events = pair.play(parse_arm(arm), request, Fixed(k))
        answers.append([token for event in events if isinstance(event, Judged) for token in event.tokens])
    alone, exact = answers
    first = next((i for i, (a, b) in enumerate(zip(alone, exact, strict=False)) if a.id != b.id), None)
    if first is not None:
        gap = alone[first].gap
        assert gap is not None and gap <= 0.5
