"""Real models at temperature 0: `exact` writes what the expert alone writes, token for token.

Bit for bit on the tiny expert; elsewhere llama.cpp rounds a batch differently, and only near-ties may turn.
"""

import time
from collections.abc import Iterator

import pytest

from speccas.core.decoding.answer import Request
from speccas.core.decoding.arms import every_arm, parse_arm
from speccas.core.decoding.events import Status
from speccas.core.decoding.length.acceptance import LookupStatistics
from speccas.core.decoding.length.policy import FixedPolicy
from speccas.core.decoding.sampling import Sampling
from speccas.core.files.profiles import Profile
from speccas.core.files.source import Source
from speccas.core.record.metrics import Figures, Fold, against
from speccas.core.runtime.backend import LoadOptions
from speccas.core.runtime.pair import Pair, load_pair
from tests.builders.loaded import asked, prefill
from tests.builders.tiers import few_fast
from tests.core.decoding.toys import Run, play

NEAR_TIE = 0.5
"""The two best logits of the expert alone, where its answer and that of `exact` may part on other experts."""

PROMPTS = [
    "Write a short poem about the sea.", "What is the capital of France?",
    "Explain photosynthesis to a child.", "List five fruits.",
    "Write a Python function that adds two numbers.", "Who wrote Hamlet?", "Translate 'dog' to Spanish.",
    "Tell me a joke.", "What is 12 times 9?", "Describe a winter morning.", "How do airplanes fly?",
    "Name three planets.", "Write a haiku about rain.", "Why is the sky blue?",
    "Give me a recipe for pancakes.", "What does HTTP mean?", "Summarise the story of Cinderella.",
    "How many legs does a spider have?", "Write a slogan for a bakery.", "What is the largest ocean?",
    "Explain recursion.", "Write a letter to a friend.", "What causes tides?", "Give two uses of iron.",
    "Rewrite in the past tense: I go home.", "What is a prime number?", "Invent a name for a cat.",
    "How do I boil an egg?", "Compare cats and dogs.", "What is the speed of light?",
    "Write a for loop in C.", "Describe the taste of lemon.", "Who was Ada Lovelace?",
    "What is an atom made of?", "Plan a day in Rome.", "Count from one to ten.", "Spell the word 'rhythm'.",
    "What colour is grass?", "Write the first line of a novel.", "How does a bicycle stay upright?",
    "Give a synonym of 'happy'.", "What is rust?", "Write a SQL query for all users.",
    "Explain inflation in one sentence.", "Which animal is the tallest?", "日本の首都はどこですか。",
    "Écris une phrase sur la mer.", "1, 1, 2, 3, 5, 8,", "Repeat after me: la la la la la",
    "What is the meaning of life? 🙂",
]  # fmt: skip
assert len(PROMPTS) == 50


def prefilled(pair: Pair, text: str) -> tuple[int, ...]:
    prompt = asked(pair, text)
    prefill(pair, prompt)
    return prompt.ids


def played(
    pair: Pair,
    arm: str,
    prompt: tuple[int, ...],
    tokens: int,
    k: int = 4,
    temperature: float = 0.0,
    lookup: LookupStatistics | None = None,
) -> Run:
    request = Request(prompt, Sampling(temperature), tokens)
    events = play(
        parse_arm(arm),
        FixedPolicy(k),
        pair.expert,
        pair.second_model,
        request,
        pair.lexicon,
        time.perf_counter,
        lookup,
    )
    return Run(list(events))


def told(run: Run) -> Figures:
    fold = Fold()
    for event in run.events:
        fold(event)
    return fold.figures()


@pytest.mark.tiny
@pytest.mark.parametrize(("prompts", "least"), few_fast([(2, 5), (50, 300)], 1))
def test_exact_is_the_expert_alone(tiny: Pair, prompts: int, least: int) -> None:
    accepted = 0
    for i, text in enumerate(PROMPTS[:prompts]):
        prompt = prefilled(tiny, text)
        alone = played(tiny, "expert", prompt, 32)
        exact = played(tiny, "exact", prompt, 32, k=i % 8 + 1)
        assert exact.ids == alone.ids, (text, against(told(exact), exact.tokens, told(alone), alone.tokens, True))
        assert exact.text == alone.text
        assert exact.finished.finish is alone.finished.finish
        assert {token.status for token in exact.tokens} <= {Status.AGREED, Status.DEFERRED, Status.BONUS}
        accepted += told(exact).agreed or 0
    assert accepted > least


@pytest.mark.slow
@pytest.mark.tiny
def test_exact_with_looked_up_drafts_is_the_expert_alone(tiny: Pair) -> None:
    """Texts that ask for what stands in them; the drafter is asked nothing in a round that was looked up."""
    song = "The wheels on the bus go round and round, round and round, round and round, all through the town."
    found = 0
    for i, text in enumerate([f"Repeat this text: {song} {song}", "Repeat after me: la la la la la", *PROMPTS[:8]]):
        prompt = prefilled(tiny, text)
        alone = played(tiny, "expert", prompt, 48)
        exact = played(tiny, "exact", prompt, 48, k=i % 8 + 1, lookup=LookupStatistics())
        assert exact.ids == alone.ids
        figures = told(exact)
        assert figures.drafted is not None and figures.looked_up is not None and figures.looked_up <= figures.drafted
        found += figures.looked_up_accepted or 0
        assert all(each.draft_ms < 1e-9 for each in exact.rounds if each.source == "lookup")
    assert found > 40


@pytest.fixture(scope="module")
def twins(tiny: Pair) -> Iterator[Pair]:
    """The tiny expert as its own drafter."""
    source = Source(path=str(tiny.files["expert"].path))
    with load_pair(Profile("twins", source, source), LoadOptions(threads=1)) as pair:
        yield pair


@pytest.mark.slow
@pytest.mark.tiny
def test_the_expert_as_its_own_drafter_is_always_right(twins: Pair) -> None:
    for i, text in enumerate(PROMPTS[:8]):
        prompt = prefilled(twins, text)
        run = played(twins, "exact", prompt, 24, k=i + 1)
        figures = told(run)
        assert figures.acceptance == 1
        assert (figures.kept, figures.deferred) == (0, 0)
        assert figures.tokens_per_expert_call is not None
        assert figures.tokens_per_expert_call > (i + 2) * 0.75


@pytest.mark.tiny
@pytest.mark.parametrize("temperature", few_fast([0.8, 0.0], 1))
@pytest.mark.parametrize("arm", few_fast([arm.name for arm in every_arm()], 3))
def test_every_arm_runs(tiny: Pair, arm: str, temperature: float) -> None:
    prompt = prefilled(tiny, PROMPTS[0])
    run = played(tiny, arm, prompt, 12, temperature=temperature)
    figures = told(run)
    assert figures.tokens == len(run.tokens) > 0
    assert figures.text == run.text
    assert figures.kept == 0 or arm != "exact"
    assert figures.seconds > 0
    assert figures.overhead_seconds < figures.seconds
    committed = [*prompt, *run.ids]
    assert len(tiny.expert) < len(committed)
    assert run.tokens == played(tiny, arm, prompt, 12, temperature=temperature).tokens  # on from what the caches hold


@pytest.mark.real
@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize("text", PROMPTS[:4])
def test_exact_on_the_qwen_pair_parts_only_at_near_ties(real: Pair, text: str, temperature: float) -> None:
    prompt = prefilled(real, text)
    alone = played(real, "expert", prompt, 24, temperature=temperature)
    baseline = told(alone)
    for k in (3, 5, 8):
        run = played(real, "exact", prompt, 24, k, temperature=temperature)
        figures = against(told(run), run.tokens, baseline, alone.tokens, comparable=True)
        assert figures.kept == 0
        if not figures.identical_to_expert:
            assert figures.first_difference_gap is not None
            assert figures.first_difference_gap <= NEAR_TIE
