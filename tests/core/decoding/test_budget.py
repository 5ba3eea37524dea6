"""A budget of regret: 0 is exact, no sum exceeds it, and what it cannot pay the exact test writes."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from speccas.core.decoding.arms import parse_arm
from speccas.core.decoding.budget import require_budget
from speccas.core.decoding.events import Started, Status, Token
from speccas.core.decoding.sampling import Distribution, Sampling
from speccas.core.decoding.verify import require_test
from speccas.core.errors import BudgetRefused
from speccas.core.record.metrics import Fold
from tests.core.decoding.toys import RULES, Run, pair, request

LOSSY = [name for name in RULES if name != "exact"]
TEMPERATURES = (0.0, 0.8)


def run(seed: int, arm: str, temperature: float, budget: float | None, test: str = "coupled", k: int = 4) -> Run:
    asked = request(temperature=temperature, max_tokens=40, seed=seed)
    return pair(seed).run(arm, replace(asked, sampling=replace(asked.sampling, budget=budget, test=test)), k)


def regret(seed: int, before: Sequence[int], token: int) -> float:
    """ln max p - ln p(v) from the table itself."""
    logits = pair(seed).expert.extend([0, 1, *before], rows=1)[0]
    assert not isinstance(logits, Distribution)
    return float(logits.max() - logits[token])


# --- 0 is exact, and no limit the rule --------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("arm", LOSSY)
def test_a_budget_of_0_is_exact(arm: str, temperature: float) -> None:
    changed = 0
    for seed in range(4):
        found, exact = run(seed, arm, temperature, 0.0), run(seed, "exact", temperature, None)
        assert found.ids == exact.ids
        assert not any(token.status is Status.KEPT or token.charged for token in found.tokens)
        changed += run(seed, arm, temperature, None).ids != exact.ids
    assert changed or arm == "cost-benefit:-0.4"


def test_a_budget_of_0_draws_as_exact_by_the_optimal_test() -> None:
    for seed in range(8):
        assert run(seed, "token", 0.8, 0.0, "token").ids == run(seed, "exact", 0.8, None, "token").ids


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("arm", LOSSY)
def test_a_large_budget_is_the_rule(arm: str, temperature: float) -> None:
    for seed in range(3):
        found, free = run(seed, arm, temperature, 1e6), run(seed, arm, temperature, None)
        assert found.ids == free.ids
        assert [token.status for token in found.tokens] == [token.status for token in free.tokens]
        assert all(token.charged is None for token in free.tokens)


def test_the_arm_is_lossless_with_a_budget_of_0_only() -> None:
    arm = parse_arm("token")
    assert arm.lossless(Sampling(0.8, budget=0.0))
    assert not arm.lossless(Sampling(0.8, budget=0.1)) and not arm.lossless(Sampling(0.8))


# --- what is charged --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_no_sum_exceeds_the_budget(temperature: float) -> None:
    """200 runs together, every rule among them."""
    rng, spent, bought = np.random.default_rng(5), 0, set[Status]()
    for seed in range(100):
        arm, budget = LOSSY[seed % len(LOSSY)], float(rng.uniform(0.1, 4))
        found = run(seed, arm, temperature, budget, ("coupled", "token")[seed % 2], k=1 + seed % 5)
        total = 0.0
        for i, token in enumerate(found.tokens):
            assert token.charged is not None
            if token.charged or not temperature:  # at 0 whatever is not the expert's first choice is paid
                assert not token.charged or token.status is not Status.AGREED
                assert token.charged == pytest.approx(regret(seed, found.ids[:i], token.id), abs=1e-5)
            if token.charged:
                bought.add(token.status)
            total += token.charged
        assert total <= budget
        spent += total > 0
        fold = Fold()
        for event in found.events:
            fold(event)
        figures = fold.figures()
        assert figures.charged == pytest.approx(total)
        assert figures.budget_left == pytest.approx(budget - total)
    assert spent > 50
    assert bought == {Status.KEPT, Status.BONUS, Status.DEFERRED}


@pytest.mark.parametrize("arm", LOSSY)
def test_what_the_rest_cannot_pay_is_the_experts_choice(arm: str) -> None:
    """At temperature 0: up to there the answer is the rule's own."""
    short = 0
    for seed in range(5):
        for budget in (0.3, 1.0, 2.5):
            found, free = run(seed, arm, 0.0, budget), run(seed, arm, 0.0, None)
            first = next((i for i in range(40) if found.ids[i] != free.ids[i]), None)
            if first is None:
                continue
            short += 1
            left = budget - sum(token.charged or 0.0 for token in found.tokens[:first])
            assert regret(seed, found.ids[:first], free.ids[first]) > left
            assert regret(seed, found.ids[:first], found.ids[first]) == 0
            assert found.tokens[first].charged == 0
    assert short or arm == "cost-benefit:-0.4"


def test_above_0_what_the_same_noise_would_not_have_drawn_is_charged() -> None:
    """The expert's own first choice costs nothing there either."""
    for seed in range(20):
        found, exact = run(seed, "token", 0.8, 1.5), run(seed, "exact", 0.8, None)
        first = next((i for i in range(40) if found.ids[i] != exact.ids[i]), 40)
        assert not any(token.charged for token in found.tokens[:first])
        if first < 40:
            cost = regret(seed, found.ids[:first], found.ids[first])
            assert found.tokens[first].charged == pytest.approx(cost, abs=1e-5)


def test_nothing_is_charged_of_exact() -> None:
    for temperature, test in (0.0, "coupled"), (0.8, "coupled"), (0.8, "token"):
        found = run(3, "exact", temperature, 2.0, test)
        assert {token.charged for token in found.tokens} == {0.0}


# --- what it goes with ------------------------------------------------------------------------------------------------


def test_it_is_told_at_the_start() -> None:
    for budget in (None, 1.5):
        started = run(1, "token", 0.0, budget).events[0]
        assert isinstance(started, Started) and started.budget == budget


def test_block_verification_and_arms_without_a_rule_are_refused() -> None:
    within = Sampling(0.8, budget=1.0)
    for temperature in TEMPERATURES:
        with pytest.raises(BudgetRefused, match="block verification judges whole drafts"):
            require_test(parse_arm("token").rule, replace(within, temperature=temperature, test="block"))
    require_test(parse_arm("token").rule, within)
    for name in ("drafter", "token-cascade", "answer-cascade"):
        with pytest.raises(BudgetRefused, match=f"{name} has none"):
            require_budget(parse_arm(name), within)
        require_budget(parse_arm(name), Sampling(0.8))
    for name in ("expert", "exact", "token"):
        require_budget(parse_arm(name), within)


def total_of(tokens: Sequence[Token]) -> float:
    return sum(token.charged or 0.0 for token in tokens)


def test_tokens_behind_the_end_cost_nothing() -> None:
    """A stop inside a draft: what was judged behind it was never written."""
    for seed in range(30):
        asked = request(max_tokens=40, stop=("ab", "cd", "ef"))
        sampled = replace(asked.sampling, budget=2.0)
        found = pair(seed).run("token", replace(asked, sampling=sampled))
        fold = Fold()
        for event in found.events:
            fold(event)
        assert fold.figures().charged == total_of(found.tokens) <= 2.0
