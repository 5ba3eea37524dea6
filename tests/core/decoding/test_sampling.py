"""From logits to a distribution, and draws from it: filters by hand, draws by chi-square, the ends of ranges.

Knows arrays; no rule and no model.
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from speccas.core.decoding.sampling import (
    BLOCK,
    Distribution,
    Floats,
    Sampling,
    allowed,
    draw,
    from_probabilities,
    probabilities,
    residual,
)
from speccas.core.errors import NativeError

VALUES = (0.1, 0.4, 0.05, 0.25, 0.2)
NAN, INF = float("nan"), float("inf")


def logits(values: tuple[float, ...] = VALUES) -> Floats:
    return from_probabilities(values).logits


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(1.0), VALUES),
        (Sampling(0.0), (0, 1, 0, 0, 0)),
        (Sampling(0.5), [x * x / 0.275 for x in VALUES]),
        (Sampling(1.0, top_k=2), (0, 0.4 / 0.65, 0, 0.25 / 0.65, 0)),
        (Sampling(1.0, top_k=1), (0, 1, 0, 0, 0)),
        (Sampling(1.0, top_k=9), VALUES),
        (Sampling(1.0, top_p=0.3), (0, 1, 0, 0, 0)),
        (Sampling(1.0, top_p=0.6), (0, 0.4 / 0.65, 0, 0.25 / 0.65, 0)),
        (Sampling(1.0, top_p=0.66), (0, 0.4 / 0.85, 0, 0.25 / 0.85, 0.2 / 0.85)),
        (Sampling(1.0, min_p=0.51), (0, 0.4 / 0.65, 0, 0.25 / 0.65, 0)),
        (Sampling(1.0, min_p=0.49), (0, 0.4 / 0.85, 0, 0.25 / 0.85, 0.2 / 0.85)),
        (Sampling(1.0, min_p=1.0), (0, 1, 0, 0, 0)),
        (Sampling(1.0, top_k=3, top_p=0.7), (0, 0.4 / 0.65, 0, 0.25 / 0.65, 0)),  # of the 0.85 that top-k left
        (Sampling(0.5, top_k=2), (0, 0.16 / 0.2225, 0, 0.0625 / 0.2225, 0)),
        (Sampling(2.0, top_p=0.6), (0, 0.4**0.5 / 1.132456, 0, 0.5 / 1.132456, 0)),  # the filter sees temperature 1
        (Sampling(0.0, top_k=2, top_p=0.5, min_p=0.1), (0, 1, 0, 0, 0)),
    ],
)
def test_filters(sampling: Sampling, expected: tuple[float, ...]) -> None:
    assert probabilities(logits(), sampling) == pytest.approx(expected, abs=1e-6)


def test_equals_keep_the_first() -> None:
    row = np.array([1, 3, 3, 3, 0], dtype=np.float32)
    assert Distribution(row).argmax == 1
    assert probabilities(row, Sampling(0.0)) == pytest.approx([0, 1, 0, 0, 0])
    assert probabilities(row, Sampling(1.0, top_k=2)) == pytest.approx([0, 0.5, 0.5, 0, 0])
    assert [Distribution(row).rank(v) for v in range(5)] == [3, 0, 0, 0, 4] == Distribution(row).ranks(5).tolist()


def sorted_filters(shifted: Floats, sampling: Sampling) -> list[bool]:
    """The filters as they are defined, one token after the other in order of probability."""
    order = sorted(range(len(shifted)), key=lambda entry: -shifted[entry])
    kept = order[: sampling.top_k or None]
    total = sum(math.exp(shifted[entry]) for entry in kept)
    reached, nucleus = 0.0, []
    for entry in kept:
        nucleus.append(entry)
        reached += math.exp(shifted[entry])
        if sampling.top_p < 1 and reached >= sampling.top_p * total:
            break
    return [entry in nucleus and math.exp(shifted[entry]) >= sampling.min_p for entry in range(len(shifted))]


@given(
    st.lists(st.sampled_from([0.0, -0.5, -1.0, -2.5, -4.0, -9.0, -INF]), min_size=1, max_size=12),
    st.integers(0, 13),
    st.sampled_from([0.2, 0.51, 0.77, 0.95, 0.9999, 1.0]),
    st.sampled_from([0.0, 0.07, 0.3]),
)
def test_filters_sort_no_more_than_they_must(values: list[float], top_k: int, top_p: float, min_p: float) -> None:
    shifted = np.array([0.0, *values], dtype=np.float32)
    sampling = Sampling(1.0, top_k, top_p, min_p)
    assert allowed(shifted, sampling).tolist() == sorted_filters(shifted, sampling)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=12), st.integers(1, 14))
def test_ranks(values: list[int], most: int) -> None:
    row = Distribution(np.array(values, dtype=np.float32))
    full = [row.rank(token) for token in range(len(values))]
    assert row.ranks(most).tolist() == [rank if rank < most else len(values) for rank in full]


@pytest.mark.parametrize("temperature", [1e-320, 1e-9, 0.01, 100.0, 1e6])
def test_extreme_temperatures(temperature: float) -> None:
    found = probabilities(np.array([-5, 80, 79, -INF], dtype=np.float32), Sampling(temperature))
    assert found.sum() == pytest.approx(1)
    assert found[3] == 0
    if temperature < 0.02:
        assert found[1] == pytest.approx(1)


@pytest.mark.parametrize("row", [[1, NAN, 2], [NAN] * 3, [INF, 0, 0], [-INF] * 3])
def test_logits_that_are_no_numbers(row: list[float]) -> None:
    """At every temperature: greedy decoding would take the argmax of rubbish."""
    bad = np.array(row, dtype=np.float32)
    for sampling in (Sampling(0.0), Sampling(1.0), Sampling(0.7, top_k=2)):
        with pytest.raises(NativeError, match="not numbers"):
            probabilities(bad, sampling)
    with pytest.raises(NativeError, match="not numbers"):
        _ = Distribution(bad).argmax
    with pytest.raises(NativeError, match="not numbers"):
        _ = Distribution(bad).log_mass


@given(st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=9))
def test_numbers_of_a_distribution(values: list[float]) -> None:
    row = Distribution(np.array(values, dtype=np.float32))
    exact = np.exp(np.array(values) - max(values))
    exact /= exact.sum()
    assert row.all() == pytest.approx(exact, rel=1e-5)
    assert [row.prob(v) for v in range(len(values))] == pytest.approx(exact, rel=1e-5)
    assert row.max == pytest.approx(exact.max(), rel=1e-5)
    assert row.entropy == pytest.approx(-(exact * np.log(exact)).sum(), abs=1e-4)
    assert [p for _, p in row.top(3)] == pytest.approx([exact[v] for v, _ in row.top(3)], rel=1e-5)
    assert [p for _, p in row.top(3)] == pytest.approx(sorted(exact, reverse=True)[:3], rel=1e-5)
    best = sorted(values, reverse=True)
    assert row.gap == (pytest.approx(best[0] - best[1], abs=1e-5) if len(best) > 1 else INF)


@pytest.mark.parametrize("size", [1, 7, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 3 * BLOCK + 5, 49_152, 152_064])
def test_draw_follows_its_weights(size: int) -> None:
    """Seven tokens share nearly all of it, near the ends of blocks too; most have no weight at all."""
    rng = np.random.default_rng(size)
    weights = np.zeros(size, dtype=np.float32)
    places = np.unique([0, size // 3, size // 2, size - 1, BLOCK - 1, BLOCK, 2 * BLOCK][: max(1, size)])
    places = places[places < size]
    weights[places] = rng.uniform(0.3, 3.0, len(places))
    weights[rng.integers(0, size, size // 100)] += np.float32(1e-4)
    found = np.bincount([draw(weights, rng.random()) for _ in range(4_000)], minlength=size)
    assert found[weights == 0].sum() == 0
    expected = weights / weights.sum(dtype=np.float64) * 4_000
    common = expected > 10
    observed, promised = [*found[common], found[~common].sum()], [*expected[common], expected[~common].sum()]
    if promised[-1] < 5:
        observed, promised = observed[:-1], promised[:-1]
    assert len(observed) == 1 or chisquare(observed, np.array(promised) / sum(promised) * sum(observed)).pvalue > 1e-4


@given(
    st.lists(st.floats(0, 1, width=32), min_size=1, max_size=9).filter(any),
    st.integers(1, 400),
    st.floats(0, 1, exclude_max=True),
)
def test_draw_from_many_is_draw_from_their_sum(weights: list[float], times: int, uniform: float) -> None:
    """The entry where the running sum passes the share that was asked for."""
    row = np.repeat(np.array(weights, dtype=np.float32), times)
    entry = draw(row, uniform)
    total = row.sum(dtype=np.float64)
    below, through = row[:entry].sum(dtype=np.float64), row[: entry + 1].sum(dtype=np.float64)
    assert row[entry] > 0
    assert below - 1e-6 * total <= uniform * total <= through + 1e-6 * total


def test_sampled_once_for_each_way_of_sampling() -> None:
    row = Distribution(logits())
    warm, cold = Sampling(1.0), Sampling(0.5)
    assert row.sampled(warm) is row.sampled(warm)
    assert row.sampled(cold) == pytest.approx(probabilities(row.logits, cold))
    assert row.sampled(warm) == pytest.approx(VALUES)


@given(st.lists(st.floats(-40, 40, width=32), min_size=1, max_size=9))
def test_a_token_alone_and_among_all(values: list[float]) -> None:
    """To the last bit: `token:0` keeps the likeliest token by either."""
    row = Distribution(np.array(values, dtype=np.float32))
    assert [row.prob(token) for token in range(len(values))] == row.all().tolist()
    assert row.max == row.all().max()


@pytest.mark.parametrize(
    ("weights", "uniform", "entry"),
    [
        ([0, 0, 1, 0], 0.0, 2),
        ([0, 0, 1, 0], np.nextafter(1, 0), 2),
        ([0.5, 0.5, 0, 0], 0.5, 1),
        ([0.1] * 10 + [0], np.nextafter(1, 0), 9),
        ([1e-40, 0], 0.9, 0),
    ],
)
def test_draw_at_the_ends(weights: list[float], uniform: float, entry: int) -> None:
    assert draw(np.array(weights, dtype=np.float32), uniform) == entry


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=9).filter(any), st.floats(0, 1, exclude_max=True))
def test_draw_never_takes_what_has_no_weight(weights: list[float], uniform: float) -> None:
    assert weights[draw(np.array(weights, dtype=np.float32), uniform)] > 0


def test_residual() -> None:
    pi, q, p = np.array([[0.5, 0.3, 0.2], [0.2, 0.6, 0.2], [0.1, 0.1, 0.8]], dtype=np.float32)
    assert residual(pi, q, p) == pytest.approx([0.3, 0, 0])
    assert residual(q, q, p) is p  # nothing left: from the expert
    assert residual(q * np.float32(1 - 1e-7), q, p) is p
