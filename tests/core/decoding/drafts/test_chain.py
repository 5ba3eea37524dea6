"""A cascade of three over tables: what it writes follows the outer rule, whatever the inner pair does."""

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from speccas.core.decoding.answer import Lexicon, Request
from speccas.core.decoding.arms import parse_arm
from speccas.core.decoding.deferral import Position, Rule
from speccas.core.decoding.drafts.chain import FIRST, SECOND, Chain, Inner, dense, standing
from speccas.core.decoding.drafts.second_model import SecondModel, Spelling
from speccas.core.decoding.engine import speculate
from speccas.core.decoding.events import Event, Judged, Status, Token
from speccas.core.decoding.length.policy import FixedPolicy
from speccas.core.decoding.sampling import Distribution, Floats, Sampling, Shared
from speccas.core.decoding.table import TableModel, VirtualClock
from speccas.core.decoding.verify import VERIFIERS
from tests.core.decoding.toys import Joint, Same, near, p_value, table

SIZE, LENGTH = 5, 3
PROMPT = (0, 1)
LARGE = table(52, SIZE, order=2, spread=1.4)
MIDDLE = near(LARGE, 53, spread=1.0)
SMALL = near(MIDDLE, 54, spread=1.0)
INNER = ("exact", "token:0.6", "comparative:-0.1", "confidence:0.5", "lossy:0.4", "ensemble:0.4")


def rule(name: str) -> Rule:
    found = parse_arm(name).rule
    assert found is not None
    return found


class Three:
    """Three tables in a chain, with a prompt in all caches."""

    def __init__(
        self, tables: Sequence[Floats], inner: Inner, prompt: Sequence[int] = PROMPT, spelling: Spelling | None = None
    ) -> None:
        order = tables[0].ndim - 1
        self.models = [TableModel(each, order) for each in tables]
        self.small, self.middle, self.expert = self.models
        self.chain = Chain(
            SecondModel(self.small, spelling or Same(), 1000), SecondModel(self.middle, Same(), 1000), inner
        )
        self.prompt = tuple(prompt)
        self.expert.extend(prompt[:-1], rows=0)
        self.chain.observe(list(prompt))
        assert [total for _, total in self.chain.catch_up()] == [len(prompt) - 1] * 2

    def run(self, arm: str, sampling: Sampling, k: int, length: int = LENGTH) -> list[Event]:
        lexicon = Lexicon(lambda token: b"-", lambda token: False)
        request = Request(self.prompt, sampling, length)
        return list(
            speculate(parse_arm(arm), self.expert, [self.chain], FixedPolicy(k), request, lexicon, VirtualClock())
        )


def tokens_of(events: Sequence[Event]) -> list[Token]:
    return [token for event in events if isinstance(event, Judged) for token in event.tokens]


def ids_of(events: Sequence[Event]) -> tuple[int, ...]:
    return tuple(token.id for token in tokens_of(events))


def written(arm: str, inner: Inner, sampling: Sampling, samples: int) -> Counter[tuple[int, ...]]:
    found: Counter[tuple[int, ...]] = Counter()
    for seed in range(samples):
        three = Three((SMALL, MIDDLE, LARGE), inner)
        found[ids_of(three.run(arm, replace(sampling, seed=seed), (1, 2, 4)[seed % 3]))] += 1
    return found


def promised(outer: Rule, inner: Rule, sampling: Sampling) -> Joint:
    """By enumeration: the inner pi is q of the outer position."""
    rows = {}
    for last in itertools.product(range(SIZE), repeat=2):
        within = Position(Distribution(SMALL[last]), Distribution(MIDDLE[last]), sampling)
        said = standing(inner, within, None, False)
        rows[last] = outer.pi(Position(said, Distribution(LARGE[last]), sampling))
    found = {}
    for answer in itertools.product(range(SIZE), repeat=LENGTH):
        text = (*PROMPT, *answer)
        found[answer] = math.prod(float(rows[text[i : i + 2]][token]) for i, token in enumerate(answer))
    return found


@pytest.mark.parametrize("test", VERIFIERS)
@pytest.mark.parametrize("inner", INNER)
def test_exact_above_any_inner_rule_is_the_expert(inner: str, test: str) -> None:
    sampling = Sampling(0.8, test=test)
    found = written("exact", Inner(rule(inner), 2), sampling, 900)
    assert p_value(found, promised(rule("exact"), rule(inner), sampling)) > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("test", VERIFIERS)
@pytest.mark.parametrize(
    ("inner", "outer"),
    [
        ("exact", "token:0.6"),
        ("token:0.6", "comparative:-0.1"),
        ("comparative:-0.1", "token:0.6"),
        ("confidence:0.5", "confidence:0.5"),
        ("lossy:0.4", "ensemble:0.4"),
        ("ensemble:0.4", "lossy:0.4"),
    ],
)
def test_output_follows_the_outer_rule(inner: str, outer: str, test: str) -> None:
    sampling = Sampling(0.8, top_k=4, test=test)
    found = written(outer, Inner(rule(inner), 3), sampling, 3_000)
    assert p_value(found, promised(rule(outer), rule(inner), sampling)) > 1e-4


def test_the_inner_rule_shows_in_what_a_lossy_outer_one_writes() -> None:
    """Else the tests above could not tell one inner rule from another."""
    sampling = Sampling(0.8)
    joints = [promised(rule("confidence:0.5"), rule(inner), sampling) for inner in INNER]
    for one, other in itertools.combinations(joints, 2):
        assert sum(abs(one[each] - other[each]) for each in one) / 2 > 0.03


@pytest.mark.parametrize("inner", INNER)
def test_coupled_exact_writes_the_experts_own_text_of_a_seed(inner: str) -> None:
    for seed in range(30):
        sampling = Sampling(0.9, seed=seed)
        alone = ids_of(Three((SMALL, MIDDLE, LARGE), Inner()).run("exact", sampling, 1, 12))
        for k, own in ((2, 1), (4, 2), (7, 4)):
            assert ids_of(Three((SMALL, MIDDLE, LARGE), Inner(rule(inner), own)).run("exact", sampling, k, 12)) == alone


@pytest.mark.parametrize("inner", ["exact", "token:0.8", "comparative:0.3", "ensemble:0.7"])
def test_greedy_exact_is_the_expert_alone(inner: str) -> None:
    accepted = written_by_first = 0
    for seed in range(12):
        large = table(seed, 6, 3)
        middle = near(large, seed + 100)
        small = near(middle, seed + 200)
        alone, text = [], [0, 1]
        for _ in range(24):
            alone.append(int(large[(0,) * (3 - len(text[-3:])) + tuple(text[-3:])].argmax()))
            text.append(alone[-1])
        for k, own in itertools.product(range(1, 9), (1, 2, 4)):
            three = Three((small, middle, large), Inner(rule(inner), own), (0, 1))
            tokens = tokens_of(three.run("exact", Sampling(), k, 24))
            assert [token.id for token in tokens] == alone
            assert not any(token.status is Status.KEPT for token in tokens)
            accepted += sum(token.level is not None for token in tokens)
            written_by_first += sum(token.level == FIRST for token in tokens)
            assert three.expert.ids == [0, 1, *alone][: len(three.expert)]
            for model in (three.small, three.middle):
                assert model.ids == [0, 1, *alone][: len(model)], "every cache holds a prefix of the answer"
    assert 0.2 * accepted < written_by_first < 0.95 * accepted


def test_levels_say_who_wrote_an_accepted_token() -> None:
    tokens = tokens_of(Three((SMALL, MIDDLE, LARGE), Inner(rule("exact"), 2)).run("token:0.6", Sampling(), 4, 40))
    for token in tokens:
        accepted = token.status in (Status.AGREED, Status.KEPT)
        assert token.level in ((FIRST, SECOND) if accepted else (None,))
    assert {token.level for token in tokens} == {FIRST, SECOND, None}


def test_one_call_of_the_drafter_reads_a_whole_inner_draft() -> None:
    """A chain whose models are one: every inner draft is right, so k 6 over an inner k 2 takes two calls."""
    three = Three((LARGE, LARGE, LARGE), Inner(rule("exact"), 2))
    before = len(three.middle.extends)
    three.run("exact", Sampling(), 6, 7)
    reads = [tokens for _, tokens in three.middle.extends[before:]]
    assert len(reads) == 2 and max(reads) <= 4


class Half:
    """A first drafter that lacks a token, and spells it with two others."""

    shared = Shared(SIZE, 4, np.arange(4, dtype=np.int32), np.arange(4, dtype=np.int32))

    def spell(self, token: int) -> Sequence[int]:
        return (token,) if token < 4 else (0, 1)


def test_a_first_drafter_of_another_vocabulary() -> None:
    for seed in range(20):
        sampling = Sampling(0.9, seed=seed)
        alone = ids_of(Three((SMALL, MIDDLE, LARGE), Inner()).run("exact", sampling, 1, 12))
        small = SMALL[:4, :4, :4]
        three = Three((small, MIDDLE, LARGE), Inner(rule("token:0.5"), 3), spelling=Half())
        assert ids_of(three.run("exact", sampling, 4, 12)) == alone


def test_what_the_drafter_lacks_is_impossible_to_the_inner_pair() -> None:
    ids = np.array([3, 1], dtype=np.int32)
    of = Distribution(np.log(np.array([0.3, 0.1], dtype=np.float32)), Shared(4, 2, ids), log_mass=0.0)
    assert dense(of).all() == pytest.approx([0, 0.25, 0, 0.75], abs=1e-6)
    whole = Distribution(np.zeros(4, dtype=np.float32))
    assert dense(whole) is whole
