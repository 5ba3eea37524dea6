"""The latency model: what is believed of calls that were timed, and of sizes that were not."""

import pytest

from speccas.core.decoding.length.latency import LatencyModel


def test_a_padding_row_is_read_where_it_is_cheaper() -> None:
    latency = LatencyModel({1: 1.0, 2: 1.5, 3: 2.0, 4: 1.6}, 0.1)
    assert latency.cheapest_size(3, 17) == 4 and latency.cheapest_size(1, 17) == 1
    assert latency.cheapest_size(3, 3) == 3


def test_between_two_sizes_a_token_costs_as_much_as_one_alone_or_a_call_of_four() -> None:
    """The curve of a packed file: 1.6 for four, and 1.7 and 2.4 for two and three."""
    latency = LatencyModel({1: 1.0, 4: 1.6, 8: 3.0}, 0.1)
    assert [latency.verify(n) for n in (2, 3, 5, 6, 7)] == pytest.approx([1.6, 1.6, 2.6, 3.0, 3.0])
    plain = LatencyModel({1: 1.0, 4: 4.0}, 0.1)
    assert plain.verify(2) == pytest.approx(2.0) and plain.verify(6) == pytest.approx(6.0)


def test_costs_follow_what_is_seen() -> None:
    latency = LatencyModel({1: 1.0, 4: 4.0}, 0.1)
    for _ in range(50):
        latency.learn_verify(4, 8.0)
    assert latency.verify(4) == pytest.approx(8.0, rel=0.05)
    assert latency.verify(1) > 1.0  # a machine that slows down slows for all


def test_what_is_kept_of_another_day_holds_as_ratios() -> None:
    """The machine takes twice as long today: the first calls tell of it, and not of their sizes."""
    latency = LatencyModel({1: 1.0, 4: 1.6, 8: 3.0}, 0.1)
    for n in (4, 4, 1, 4):
        latency.learn_verify(n, 2 * {1: 1.0, 4: 1.6}[n])
    assert latency.verify(4) / latency.verify(1) == pytest.approx(1.6, rel=0.1)
    assert latency.verify(8) / latency.verify(1) == pytest.approx(3.0, rel=0.1)


def test_a_step_is_what_is_left_of_a_draft_when_reading_is_taken_off() -> None:
    latency = LatencyModel({1: 1.0}, step=0.1, catch_up=0.05)
    latency.learn_draft(steps=3, read=1, seconds=0.35)
    assert latency.step == pytest.approx(0.1)
    latency.learn_draft(steps=4, read=0, seconds=0.8)
    assert latency.step == pytest.approx(0.125)
    latency.learn_draft(steps=2, read=100, seconds=2 * 0.125 + 100 * 0.03)
    assert latency.step == pytest.approx(0.125) and latency.catch_up == pytest.approx(0.045)


def test_beyond_the_largest_size_a_token_costs_no_more_than_one_of_a_prompt() -> None:
    latency = LatencyModel({1: 1.0, 4: 4.0}, 0.1)
    assert latency.verify(16) == pytest.approx(16.0)
    latency.learn_prefill(0.25)
    latency.learn_prefill(0.5)
    assert latency.verify(16) == pytest.approx(4.0 + 12 * 0.25) and latency.verify(3) == pytest.approx(3.0)
    latency.learn_prefill(0.0)
    assert latency.verify(16) == pytest.approx(4.0), "never less than a smaller call"
    assert LatencyModel({1: 1.0, 4: 1.3}, 0.1, prefill_token=0.5).verify(16) == pytest.approx(2.5), (
        "nor is a flat curve made steeper"
    )


def test_a_curve_may_end_before_the_largest_size_that_was_seen() -> None:
    latency = LatencyModel({1: 1.0, 8: 3.0, 9: 3.5}, 0.1)
    assert latency.curve(2) == pytest.approx([1.0, 13 / 7]) and latency.curve(5)[3] == pytest.approx(1 + 2 * 3 / 7)
    assert LatencyModel({5: 1.0}, 0.1).curve(4) == [1.0] * 4
