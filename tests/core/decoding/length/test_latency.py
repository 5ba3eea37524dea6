"""The latency model: what is believed of calls that were timed, and of sizes that were not."""

import pytest

from speccas.core.decoding.length.latency import LatencyModel


def test_a_padding_row_is_read_where_it_is_cheaper() -> None:
    latency = LatencyModel({1: 1.0, 2: 1.5, 3: 2.0, 4: 1.6}, 0.1)
    assert latency.cheapest_size(3, 17) == 4 and latency.cheapest_size(1, 17) == 1
    assert latency.cheapest_size(3, 3) == 3


def test_costs_between_measured_sizes_lie_on_their_line_and_follow_what_is_seen() -> None:
    latency = LatencyModel({1: 1.0, 4: 4.0}, 0.1)
    assert latency.verify(2) == pytest.approx(2.0) and latency.verify(6) == pytest.approx(6.0)
    for _ in range(50):
        latency.learn_verify(4, 8.0)
    assert latency.verify(4) == pytest.approx(8.0, rel=0.05)
    assert latency.verify(1) > 1.0  # a machine that slows down slows for all


def test_beyond_the_largest_size_a_token_costs_no_more_than_one_of_a_prompt() -> None:
    latency = LatencyModel({1: 1.0, 4: 4.0}, 0.1)
    assert latency.verify(16) == pytest.approx(16.0)
    latency.learn_prefill(0.25)
    latency.learn_prefill(0.5)
    assert latency.verify(16) == pytest.approx(4.0 + 12 * 0.25) and latency.verify(3) == pytest.approx(3.0)
    latency.learn_prefill(0.0)
    assert latency.verify(16) == pytest.approx(4.0), "never less than a smaller call"
    assert LatencyModel({1: 1.0, 4: 1.3}, 0.1, prefill_token=0.5).verify(14) == pytest.approx(2.3), (
        "nor is a flat curve made steeper"
    )
