"""Drafters of another tokenizer: what they may propose, how they read the expert's tokens, and that `exact` is exact.

Toy tokenizers whose tokens cut across each other, and real SmolLM2 with real Qwen; knows both from outside only.
"""

import itertools
import time
from array import array
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from speccas.core.decoding.answer import Lexicon, Request
from speccas.core.decoding.arms import parse_arm
from speccas.core.decoding.drafts.second_model import DrafterPrompt, SecondModel, common_prefix
from speccas.core.decoding.events import Judged
from speccas.core.decoding.length.policy import FixedPolicy
from speccas.core.decoding.sampling import Distribution, Floats, Sampling
from speccas.core.decoding.table import TableModel
from speccas.core.files.profiles import Profile
from speccas.core.files.source import Source
from speccas.core.headers.spelling import LETTER
from speccas.core.headers.vocabulary import CONTROL, NORMAL, Relation, Tokens, VocabularyMap, compare
from speccas.core.runtime.backend import LoadOptions
from speccas.core.runtime.pair import Pair, load_pair
from tests.builders.gguf import string_array
from tests.builders.loaded import answered, asked
from tests.builders.models import FETCHED
from tests.core.decoding.toys import play

END = "<end>"


def tokens(words: Sequence[str], merges: Sequence[tuple[str, str]]) -> Tokens:
    """A byte-level BPE tokenizer: `words` in letters of GPT-2, then an end token."""
    types = array("q", [NORMAL] * len(words) + [CONTROL])
    joined = string_array([f"{left} {right}" for left, right in merges])
    return Tokens("gpt2", "toy", string_array([*words, END]), types, joined, len(words))


EXPERT = tokens(["a", "b", "c", "ab", "bc"], [("a", "b"), ("b", "c")])
DRAFTER = tokens(["c", "b", "a", "ca", "ab", "cab"], [("c", "a"), ("a", "b"), ("ca", "b")])


def test_the_toy_tokenizers_overlap_and_their_ends_are_one() -> None:
    vocabulary = compare(DRAFTER, EXPERT)
    assert vocabulary.relation is Relation.OVERLAPPING
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


@pytest.mark.parametrize(
    ("rule", "count"),
    [
        ("exact", 1_000),
        pytest.param("exact", 8_000, marks=pytest.mark.slow),
        ("token:0.5", 500),
        pytest.param("token:0.5", 4_000, marks=pytest.mark.slow),
        pytest.param("comparative:0.1", 4_000, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("k", [1, 3])
def test_sampled_output_has_the_rules_distribution(rule: str, count: int, k: int) -> None:
    """First token by chi-square for every rule, and three tokens for exact, whose joint is the expert's own."""
    vocabulary = compare(DRAFTER, EXPERT)
    expert, small = TableModel(logits(1, 6), order=2), TableModel(logits(2, 7), order=2, max_rows=1)
    drafter = SecondModel(small, vocabulary, 10**6)
    prompt = (0, 1, 4)
    lexicon = Lexicon(EXPERT.stands_for, lambda token: False)
    expert.extend(prompt[:-1], rows=0)
    found: Counter[tuple[int, ...]] = Counter()
    length = 3 if rule == "exact" else 1
    for seed in range(count):
        request = Request(prompt, Sampling(1.0, seed=seed), 3, 10**6)
        ids: list[int] = []
        for event in play(parse_arm(rule), FixedPolicy(k), expert, drafter, request, lexicon, time.perf_counter):
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
    drafter = SecondModel(small, vocabulary, 10**6)
    expert.extend((0, 1), rows=0)
    lexicon = Lexicon(EXPERT.stands_for, lambda token: False)
    request = Request((0, 1, 4), Sampling(), 6, 10**6)
    events = list(play(parse_arm("token"), FixedPolicy(4), expert, drafter, request, lexicon, time.perf_counter))
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
    model = SecondModel(small, vocabulary, 10**6)
    committed: list[int] = [97]
    for _ in range(data.draw(st.integers(1, 6))):
        committed = committed[: data.draw(st.integers(1, len(committed)))]
        committed += data.draw(st.lists(st.integers(0, len(expert) - 1), max_size=6))
        model.observe(committed)
        for token in data.draw(st.lists(st.integers(0, len(expert) - 1), max_size=3)):
            model.push(token)  # a draft that will be turned down
            model.next()
        model.observe(committed)
        model.next()
        assert b"".join(drafter.stands_for(token) for token in small.ids) == b"".join(map(expert.stands_for, committed))


@settings(max_examples=60)
@given(vocabularies(), vocabularies(), st.data())
def test_a_prompt_of_its_own_comes_before_the_spelling(drafter: Tokens, expert: Tokens, data: st.DataObject) -> None:
    """Drafter prompts set, replaced and taken away between texts and truncations: the cache is the prompt's own ids and
    then the bytes of the rest, and what is the same stays in it."""
    vocabulary = compare(drafter, expert)
    small = TableModel(lambda last: np.zeros(len(drafter)), max_rows=1)
    model = SecondModel(small, vocabulary, 10**6)
    some = st.lists(st.integers(97, 99), min_size=1, max_size=3)
    for _ in range(data.draw(st.integers(1, 6))):
        ids = data.draw(some)
        if data.draw(st.booleans()):
            theirs = data.draw(st.sampled_from([ids, ids[:1]]))
            model.prompt = DrafterPrompt(tuple(theirs), tuple(data.draw(some)))
        elif data.draw(st.booleans()):
            model.prompt = None
        if data.draw(st.booleans()):
            small.truncate(data.draw(st.integers(0, len(small))))
        before, held = small.evaluated, list(small.ids)
        model.observe(ids)
        for token in data.draw(st.lists(st.integers(0, len(expert) - 1), max_size=3)):
            model.push(token)
        model.observe(ids)
        model.next()
        prompt = model.prompt
        applies = prompt is not None and tuple(ids[: len(prompt.ids)]) == prompt.ids
        own, rest = (list(prompt.own), ids[len(prompt.ids) :]) if applies and prompt is not None else ([], ids)
        assert small.ids[: len(own)] == own
        assert b"".join(map(drafter.stands_for, small.ids[len(own) :])) == b"".join(map(expert.stands_for, rest))
        same = common_prefix(held, small.ids)
        assert small.evaluated - before == max(1, len(small.ids) - same), "what it held is not read again"


@pytest.fixture(scope="module")
def strangers() -> object:
    """SmolLM2 drafting for Qwen, where somebody has fetched both."""
    files = {"drafter": "smollm2-135m-instruct-q4_1.gguf", "expert": "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"}
    if not all((FETCHED / name).is_file() for name in files.values()):
        pytest.skip(f"no Qwen in {FETCHED}")
    drafter, expert = (Source(path=str(FETCHED / name)) for name in files.values())
    with load_pair(Profile("strangers", drafter, expert), LoadOptions(threads=1)) as pair:
        yield pair


def spelled(vocabulary: VocabularyMap, token: int) -> bytes:
    return b"".join(vocabulary.drafter.stands_for(each) for each in vocabulary.spell(token))


@pytest.mark.real
def test_every_token_of_qwen_is_spelled_by_its_bytes(strangers: Pair) -> None:
    """All 151,936 of them, half characters included, but for bytes that SmolLM2 has no token for."""
    vocabulary = strangers.vocabulary
    assert len(vocabulary.expert) == 151_936
    known = {byte for byte in range(256) if (bytes([byte]), False) in vocabulary.drafter.index}
    assert len(known) == 235 and set(b"\xc2\xf0\xe4\x80") <= known
    halves = 0
    for token in range(len(vocabulary.expert)):
        wanted = vocabulary.expert.stands_for(token)
        assert spelled(vocabulary, token) == bytes(byte for byte in wanted if byte in known), token
        halves += not is_text(wanted)
    assert halves > 1000


def is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


CODE = [
    "Write a Python function that adds two numbers.",
    "Write a Python class Stack with push and pop.",
    "Write a C function that swaps two integers.",
    "Show a bash loop that prints 1 to 5.",
    "Write a SQL query that counts users by country.",
    "Write HTML for a table of two rows.",
    "Fix this: def f(x):\n\treturn x+\n",
    "Write a JSON object with name, age and a nested list.",
    "Write fizzbuzz in Rust.",
    "Explain: for (int i = 0; i < n; ++i) { a[i] = 0; }",
]
DIGITS = [
    "What is 123456789 times 2?",
    "Count from 95 to 105.",
    "Write pi to 20 digits.",
    "Give the phone number 0049 30 1234567 in groups of two.",
    "What is 17 * 23?",
    "List the years 1914, 1918, 1939, 1945 in reverse.",
    "Convert 255 to binary and hexadecimal.",
    "1, 1, 2, 3, 5, 8, what comes next?",
    "Write 3.14159e-10 as a plain number.",
    "Add 0.1 and 0.2 exactly.",
]
CHINESE = [
    "用中文说你好。",
    "写一首关于大海的短诗。",
    "北京有什么好玩的地方？",
    "把“我喜欢读书”翻译成英语。",
    "请用三句话介绍长城。",
    "一加一等于几？请解释。",
    "写一个反转字符串的Python函数。",
    "什么是人工智能？",
    "列出五种水果。",
    "春天的颜色是什么？",
]
EMOJI = [
    "Reply with three emoji: 😀🎉👩‍🚀",
    "What does 🤷🏽‍♀️ mean?",
    "Write a tweet about pizza 🍕 with many emoji.",
    "Repeat: 🏳️‍🌈🇩🇪🇯🇵",
    "Answer only in emoji: how is the weather? ☀️🌧️❄️",
    "Write 'I love music' with emoji between the words 🎵",
    "Name the emoji 🐙, 🦑 and 🦐.",
    "List five animals, each with its emoji.",
    "Ünïcödé ẞ ÅÇ naïve façade: repeat these words.",
    "العربية и русский: translate 'hello' into both.",
]
SPACES = [
    "Repeat exactly:\n\n        indented    text\t\ttabs",
    "Draw a small box with | and - and spaces inside.",
    "Align these in columns: a 1, bbb 22, ccccc 333.",
    "Write YAML with four levels of nesting.",
    "Write a Makefile with two targets.",
    "Repeat:" + " " * 40 + "far" + "\n" * 8 + "below",
    "Write an ASCII tree of depth 3.",
    "Indent this by 12 spaces: return None",
    "Write a poem with empty lines between the verses.",
    "Print a markdown table of 3 columns, well aligned.",
]
PROMPTS = [*CODE, *DIGITS, *CHINESE, *EMOJI, *SPACES]


@pytest.mark.real
@pytest.mark.parametrize("number", range(len(PROMPTS)))
def test_exact_is_the_expert_alone_up_to_near_ties(strangers: Pair, number: int) -> None:
    """50 prompts, k from 1 to 8: where they first differ the expert alone has a near-tie (design, 3, invariant 4)."""
    pair = strangers
    prompt = asked(pair, PROMPTS[number])
    assert prompt.drafter is not None, "it reads the prompt in its own template"
    answers = []
    for arm, k in (("expert", 1), ("exact", 1 + number % 8)):
        events = answered(pair, prompt, arm, 10, k)
        answers.append([token for event in events if isinstance(event, Judged) for token in event.tokens])
    alone, exact = answers
    first = next((i for i, (a, b) in enumerate(zip(alone, exact, strict=False)) if a.id != b.id), None)
    if first is not None:
        gap = alone[first].gap
        assert gap is not None and gap <= 0.5
    else:
        assert len(alone) == len(exact)
    committed = b"".join(map(pair.tokens.stands_for, [token.id for token in exact]))
    behind = pair.second_model.spelled[len(prompt.drafter.own) :]
    assert committed.startswith(b"".join(map(pair.vocabulary.drafter.stands_for, behind)))
