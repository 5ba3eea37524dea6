"""Statistics: what intervals and verdicts promise, on synthetic runs whose truth is known."""

import numpy as np
import pytest

from speccas.core.bench.stats import (
    BETTER,
    FASTER,
    LOSS,
    NOT_SHOWN,
    SLOWER,
    SMALL,
    UNDECIDED,
    IntervalEstimate,
    loss,
    mcnemar,
    mean,
    median,
    percentiles,
    verdict,
)

RUNS = 500
PROMPTS = 12


def ratios(truth: float, seed: int, prompts: int = PROMPTS, repeats: int = 3) -> list[float]:
    """Per-prompt paired speed-ups of a synthetic arm: prompts differ in how well they suit it, repeats are noisy, and
    the machine drifts, which both arms of a block share."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(prompts):
        suits = truth * np.exp(rng.normal(0, 0.12))
        block = []
        for _ in range(repeats):
            speed = 40 * np.exp(rng.normal(0, 0.3))
            block.append(speed * suits * np.exp(rng.normal(0, 0.05)) / (speed * np.exp(rng.normal(0, 0.05))))
        found.append(float(np.median(block)))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("truth", [0.8, 1.4])
def test_the_interval_covers_a_known_ratio(truth: float) -> None:
    covered = 0
    for seed in range(RUNS):
        found = median(ratios(truth, seed))
        assert found.low is not None and found.high is not None
        covered += found.low <= truth <= found.high
    assert covered >= 0.9 * RUNS


@pytest.mark.slow
def test_two_identical_arms_show_no_difference() -> None:
    undecided = 0
    for seed in range(RUNS):
        found = median(ratios(1.0, 10_000 + seed))
        undecided += verdict(found, found) == UNDECIDED
    assert undecided >= 0.9 * RUNS


@pytest.mark.slow
def test_the_interval_of_a_mean_change_covers_it_for_few_prompts() -> None:
    covered = 0
    for seed in range(RUNS):
        changes = np.random.default_rng(seed).normal(-0.1, 0.3, 10)
        found = mean(list(changes))
        assert found.low is not None and found.high is not None
        covered += found.low <= -0.1 <= found.high
    assert covered >= 0.9 * RUNS


def test_a_clear_difference_is_shown() -> None:
    fast, slow = median(ratios(1.6, 1)), median(ratios(0.6, 1))
    assert verdict(fast, fast) == FASTER
    assert verdict(slow, slow) == SLOWER


def test_longer_answers_are_not_faster() -> None:
    fast = median(ratios(1.6, 1))
    assert verdict(fast, IntervalEstimate(0.9, 0.7, 1.2, PROMPTS)) == UNDECIDED


def test_too_few_prompts_have_no_interval_and_no_verdict() -> None:
    found = median([2.0] * 5)
    assert (found.value, found.low, found.high, found.n) == (2.0, None, None, 5)
    assert verdict(found, found) == UNDECIDED
    assert mean([1.0] * 5).low is None
    assert median([]) == IntervalEstimate(None, None, None, 0)


def test_the_same_samples_give_the_same_interval() -> None:
    assert mean(ratios(1.2, 3)) == mean(ratios(1.2, 3))


def test_no_p99_under_a_hundred_samples() -> None:
    assert percentiles(list(range(99))).p99 is None
    assert percentiles(list(range(101))).p99 == 99
    assert percentiles(list(range(101))).p50 == 50
    assert percentiles([]).p50 is None


def test_a_loss_is_small_only_where_the_interval_shows_it() -> None:
    assert loss(IntervalEstimate(-0.01, -0.04, 0.02, 50), 0.05) == SMALL
    assert loss(IntervalEstimate(-0.01, -0.08, 0.02, 50), 0.05) == NOT_SHOWN
    assert loss(IntervalEstimate(-0.2, -0.3, -0.1, 50), 0.05) == LOSS
    assert loss(IntervalEstimate(0.2, 0.1, 0.3, 50), 0.05) == BETTER
    assert loss(IntervalEstimate(0.0, None, None, 3), 0.05) == NOT_SHOWN


def test_twelve_prompts_that_never_differ_do_not_show_a_small_loss() -> None:
    """A bootstrap of equal pairs has no width, whatever the truth."""
    same = mcnemar([True] * 12, [True] * 12)
    assert same.most_lost == pytest.approx(1 - 0.025 ** (1 / 12))
    assert loss(mean([0.0] * 12), 0.05, same.most_lost) == NOT_SHOWN
    many = mcnemar([True] * 80, [True] * 80)
    assert loss(mean([0.0] * 80), 0.05, many.most_lost) == SMALL


def test_mcnemar_counts_only_prompts_that_differ() -> None:
    expert = [True] * 10 + [False] * 4
    arm = [False] * 8 + [True] * 2 + [True] + [False] * 3
    found = mcnemar(expert, arm)
    assert (found.lost, found.won) == (8, 1)
    assert found.p_value == pytest.approx(2 * (1 + 9) / 2**9)  # two-sided binomial: 9 pairs, at most one the other way
    assert mcnemar([], []).p_value == 1
