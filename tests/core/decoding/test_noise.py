"""Coupled sampling: the noise is fair, belongs to position and token alone, and makes `exact` the expert's own text."""

import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chisquare, kstest

from speccas.core.calibration.planner import Planner, Wanted
from speccas.core.decoding.answer import Request
from speccas.core.decoding.arms import parse_arm
from speccas.core.decoding.deferral import Position
from speccas.core.decoding.events import Event, Judged
from speccas.core.decoding.length.acceptance import AcceptanceModel, LookupStatistics
from speccas.core.decoding.length.auto import AutoPolicy
from speccas.core.decoding.length.latency import LatencyModel
from speccas.core.decoding.length.policy import FixedPolicy, Policy
from speccas.core.decoding.noise import Noise, exponentials, hashed, keyed
from speccas.core.decoding.rules import Exact
from speccas.core.decoding.sampling import Distribution, Sampling, from_probabilities
from speccas.core.decoding.table import TableModel
from speccas.core.decoding.verify import CoupledVerifier
from speccas.core.files.profiles import Profile
from speccas.core.files.source import Source
from speccas.core.runtime.backend import LoadOptions
from speccas.core.runtime.generate import Length, PromptRead, generate
from speccas.core.runtime.pair import Pair, load_pair
from tests.builders.loaded import answered, asked
from tests.core.decoding.toys import Toy, joint, near, p_value, play, table

LARGE = table(7, 6, order=2, spread=1.4)
DRAFTERS = [near(LARGE, seed, spread=1.2) for seed in (1, 2)]
PROMPT = (0, 1, 2, 0, 1)
ASK = "Write the words red, green, blue, then write the words red, green, blue again."


# --- the noise itself -------------------------------------------------------------------------------------------------


def noises(seed: int, position: int, size: int = 50_000) -> NDArray[np.float64]:
    return exponentials(hashed(np.arange(size, dtype=np.uint32), keyed(seed, 0, 0, position)))


def test_each_position_has_exponential_noise_of_its_own() -> None:
    for seed, position in [(0, 0), (0, 1), (1, 0), (2**40, 900)]:
        assert kstest(noises(seed, position), "expon").pvalue > 1e-4
    for other in [noises(0, 1), noises(1, 0)]:
        assert abs(np.corrcoef(noises(0, 0), other)[0, 1]) < 0.02


def test_turns_and_regenerations_have_chance_of_their_own() -> None:
    """Not one seed for two: 0 and turn 1 is not seed 1000, nor 1 asked anew."""
    keys = [
        keyed(seed, turn, again, at) for seed in (0, 1, 1000) for turn in (0, 1) for again in (0, 1) for at in (0, 1)
    ]
    assert len(set(keys)) == len(keys)


def test_draws_follow_the_weights_of_a_whole_vocabulary() -> None:
    """Among them thousands of unlikely tokens, which only the look for rare noise can find."""
    weights = np.full(8_000, 0.3 / 7_990, dtype=np.float32)
    weights[100:110] = 0.07
    found: Counter[int] = Counter()
    for seed in range(2_000):
        token = Noise(Sampling(1.0, seed=seed)).first(weights, 5)
        found[token if 100 <= token < 110 else token // 3_000 - 10] += 1
    tails = {-10: 3_000 - 10, -9: 3_000, -8: 2_000}
    expected = {**dict.fromkeys(range(100, 110), 0.07), **{tail: n * 0.3 / 7_990 for tail, n in tails.items()}}
    assert chisquare([found[i] for i in expected], [2_000 * p for p in expected.values()]).pvalue > 1e-4


@pytest.mark.parametrize("temperature", [0.3, 1.0, 40.0])
def test_the_short_way_finds_the_winner_of_the_whole_race(temperature: float) -> None:
    row = np.random.default_rng(3).normal(0, 3, 5_000).astype(np.float32)
    for seed in range(200):
        sampling = Sampling(temperature, seed=seed)
        weights = Distribution(row).sampled(sampling)
        with np.errstate(divide="ignore"):
            whole = exponentials(hashed(np.arange(5_000, dtype=np.uint32), keyed(seed, 0, 0, 3))) / weights
        assert Noise(sampling).first(weights, 3) == whole.argmin()


def test_a_larger_vocabulary_changes_nothing() -> None:
    """A padded file has more tokens, and none of them is ever likely."""
    row = np.random.default_rng(4).normal(0, 3, 3_000).astype(np.float32)
    longer = np.concatenate([row, np.full(64, -60, dtype=np.float32)])
    for seed in range(100):
        sampling = Sampling(1.0, seed=seed)
        noise = Noise(sampling)
        assert noise.first(Distribution(row).sampled(sampling), 0) == noise.first(
            Distribution(longer).sampled(sampling), 0
        )


def test_a_token_without_weight_is_never_drawn() -> None:
    weights = np.zeros(5_000, dtype=np.float32)
    weights[[4, 4_000]] = 0.5
    drawn = {Noise(Sampling(1.0, seed=seed)).first(weights, 0) for seed in range(40)}
    assert drawn == {4, 4_000}


def test_the_gap_is_where_another_token_would_have_won() -> None:
    """Moving the second best token's logit by the gap makes it the winner; by a little less it does not."""
    row = np.random.default_rng(5).normal(0, 1, 50).astype(np.float32)
    near_ties = 0
    for seed in range(300):
        sampling = Sampling(0.8, seed=seed)
        verifier = CoupledVerifier(sampling)
        won = verifier.draw(Distribution(row), 0)
        gap = verifier.gap(Distribution(row), won, 0)
        assert gap is not None
        if gap < 0.5:
            near_ties += 1
            moved = row.copy()
            moved[won] -= gap + 1e-3
            assert verifier.draw(Distribution(moved), 0) != won
        moved = row.copy()
        moved[won] -= gap - 1e-3
        assert verifier.draw(Distribution(moved), 0) == won
    assert near_ties > 30


@pytest.mark.parametrize("sampling", [Sampling(0.8, top_k=8), Sampling(0.8, top_p=0.8), Sampling(0.8, min_p=0.2)])
def test_the_gap_sees_the_edge_of_a_filter(sampling: Sampling) -> None:
    """No row that differs by less than half the gap in every logit draws another token."""
    rng = np.random.default_rng(6)
    row = rng.normal(0, 1, 50).astype(np.float32)
    small = 0
    for seed in range(300):
        verifier = CoupledVerifier(replace(sampling, seed=seed))
        won = verifier.draw(Distribution(row), 0)
        gap = verifier.gap(Distribution(row), won, 0)
        assert gap is not None
        small += gap < 0.5
        if sampling.top_p == 1:  # what top-p keeps depends on all logits, so its edge moves by more than one of them
            moved = row + rng.choice([-1.0, 1.0], 50).astype(np.float32) * np.float32(gap * 0.49)
            assert verifier.draw(Distribution(moved), 0) == won
    assert 30 < small < 300


@pytest.mark.parametrize("temperature", [1e-30, 1e-4, 100.0])
def test_hardly_any_and_very_much_chance(temperature: float) -> None:
    row = np.random.default_rng(7).normal(0, 3, 5_000).astype(np.float32)
    verifier = CoupledVerifier(Sampling(temperature, seed=1))
    won = verifier.draw(Distribution(row), 0)
    gap = verifier.gap(Distribution(row), won, 0)
    assert gap is not None and 0 <= gap <= 0.5
    if temperature < 1:
        assert won == row.argmax() and gap == pytest.approx(min(0.5, Distribution(row).gap), abs=0.01)


# --- what is written with it ------------------------------------------------------------------------------------------


def toy(drafter: int = 0) -> Toy:
    expert = TableModel(LARGE, 2, cost=lambda n: 0.9 + 0.1 * n)
    return Toy(expert, TableModel(DRAFTERS[drafter], 2, cost=lambda n: 0.1))


def text(pair: Toy, arm: str, request: Request, policy: Policy | None = None, lookup: bool = False) -> list[int]:
    pair.prefill(request.prompt)
    statistics = LookupStatistics() if lookup else None
    chosen = policy or FixedPolicy(4)
    return ids(play(parse_arm(arm), chosen, pair.expert, pair.drafter, request, pair.lexicon, pair.clock, statistics))


def auto(careful: bool = False) -> AutoPolicy:
    return AutoPolicy(latency=LatencyModel({1: 1.0, 8: 1.4}, 0.1), acceptance=AcceptanceModel(), careful=careful)


@pytest.mark.parametrize(
    "sampling",
    [Sampling(0.8, seed=3), Sampling(1.0, seed=4), Sampling(0.8, 4, 0.9, 0.05, seed=5), Sampling(2.0, seed=6)],
)
def test_exact_writes_the_experts_text_whoever_drafts(sampling: Sampling) -> None:
    request = Request(PROMPT, sampling, 60)
    alone = text(toy(), "expert", request)
    assert len(set(alone)) > 2
    for drafter in (0, 1):
        for k in (1, 4, 8):
            for lookup in (False, True):
                assert text(toy(drafter), "exact", request, FixedPolicy(k), lookup) == alone
        assert text(toy(drafter), "exact", request, auto()) == alone
    other = text(toy(), "expert", replace(request, sampling=replace(sampling, seed=99)))
    assert other != alone


def test_drafts_agree_more_often_than_those_of_a_stranger() -> None:
    """The coupling is what makes them agree: it is near the optimal test's acceptance, 1 - TV."""
    rng = np.random.default_rng(8)
    accepted = independent = optimal = 0.0
    for seed in range(600):
        p = from_probabilities(rng.dirichlet([0.5] * 12).tolist())
        q = Distribution(p.logits + rng.normal(0, 0.5, 12).astype(np.float32))
        at = Position(q, p, Sampling(1.0, seed=seed))
        verifier = CoupledVerifier(at.sampling)
        accepted += verifier.verdict(Exact(), verifier.draw(q, 0), at, 0).accepted
        independent += float((at.q * at.p).sum())
        optimal += 1 - at.total_variation
    assert independent < accepted - 60 and optimal - 60 < accepted < optimal + 30


@pytest.mark.parametrize("rule", ["token", "comparative:-0.1", "lossy", "top-k:2"])
def test_a_lossy_rule_writes_the_same_again_for_the_same_k_and_lookup(rule: str) -> None:
    request = Request(PROMPT, Sampling(0.9, seed=11), 60)
    first = text(toy(), rule, request, FixedPolicy(4))
    assert text(toy(), rule, request, FixedPolicy(4)) == first


def rounds_after_a_loss(policy: AutoPolicy) -> tuple[int, list[bool]]:
    """How many tokens a first draft has, all turned down at a great loss; then whether each further round, of a token
    each, would draft."""
    sure = from_probabilities([0.99, 0.01])
    assert policy.begin(8)
    drafted = 0
    while policy.more(drafted, 8) and policy.takes(sure):
        drafted += 1
    policy.learn(0, 1, drafted + 1, 100.0, 1.4)
    began = []
    for _ in range(drafted + 1):
        began.append(policy.begin(8))
        policy.learn(0, 1, 1, 0.0, 1.0)
    return drafted, began


def test_a_round_with_discarded_drafts_counts_when_the_answer_is_past_them() -> None:
    """How long it took depends on tokens that were drawn with the noise of positions that are still to be written."""
    drafted, began = rounds_after_a_loss(auto(careful=True))
    assert drafted > 2 and began[: drafted - 1] == [True] * (drafted - 1) and not began[-1]
    assert not any(rounds_after_a_loss(auto())[1]), "where that decides nothing, it counts at once"


def test_nothing_is_tried_before_the_last_trial_counts() -> None:
    """Else a drafter that does not pay would be tried again and again before its loss is known."""
    dear = AutoPolicy(latency=LatencyModel({1: 1.0, 4: 1.6, 8: 3.0}, 0.5), acceptance=AcceptanceModel(), careful=True)
    drafted, began = rounds_after_a_loss(dear)
    assert drafted >= 1 and not any(began)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["token", "comparative:-0.1"])
def test_lossy_answers_follow_the_rule_where_auto_always_drafts(name: str) -> None:
    """An expert call costs the same whatever it reads, so auto drafts in every round: pi is the rule's throughout."""
    sampling, found = Sampling(0.8), Counter[tuple[int, ...]]()
    large, small = table(52, 5, order=2, spread=1.4), near(table(52, 5, order=2, spread=1.4), 53, spread=1.2)
    rule = parse_arm(name).rule
    assert rule is not None
    for seed in range(4_000):
        pair = Toy(TableModel(large, 2, cost=lambda n: 1.0), TableModel(small, 2, cost=lambda n: 0.01))
        latency = LatencyModel({1: 1.0, 8: 1.0}, 0.01)
        policy = AutoPolicy(latency=latency, acceptance=AcceptanceModel(), careful=True)
        request = Request((0, 1), replace(sampling, seed=seed), 3)
        found[tuple(text(pair, name, request, policy))] += 1
    assert p_value(found, joint(large, small, (0, 1), 3, rule.pi, sampling)) > 1e-4


@pytest.mark.tiny
def test_tiny_writes_one_text_a_seed(tiny: Pair) -> None:
    prompt = asked(tiny, "Name three rivers.")
    sampling = Sampling(0.8, 40, 0.9, 0.05, seed=2)
    alone = ids(answered(tiny, prompt, "expert", 16, sampling=sampling))
    assert ids(answered(tiny, prompt, "exact", 16, 4, sampling=sampling)) == alone


@pytest.mark.slow
@pytest.mark.tiny
@pytest.mark.parametrize("sampling", [Sampling(0.8, seed=2), Sampling(0.8, top_p=0.9, min_p=0.05, seed=3)])
def test_one_text_whatever_k_auto_lookup_and_drafter(tiny: Pair, sampling: Sampling) -> None:
    expert = Source(path=str(tiny.files["expert"].path))
    with load_pair(Profile("twins", expert, expert), LoadOptions(threads=1)) as twins:
        alone = ids(answered(tiny, asked(tiny, ASK), "expert", 24, sampling=sampling))
        assert len(alone) > 8
        for pair in (tiny, twins):
            prompt = asked(pair, ASK)
            for k, lookup in itertools.product((1, 4, 8), (False, True)):
                assert ids(answered(pair, prompt, "exact", 24, k, sampling=sampling, lookup=lookup)) == alone
            for _ in range(5):  # what auto drafts depends on the clock
                drafting = Planner(pair).drafting(Wanted("auto"))
                events = generate(pair, prompt, parse_arm("exact"), sampling, Length(24), drafting)
                assert ids(event for event in events if not isinstance(event, PromptRead)) == alone


def ids(events: Iterable[Event]) -> list[int]:
    return [token.id for event in events if isinstance(event, Judged) for token in event.tokens]
