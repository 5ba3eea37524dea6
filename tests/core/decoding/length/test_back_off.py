"""Back-off: what pays is drafted; hope may cost a little, and what the drafter has not read counts in its price."""

import pytest

from speccas.core.decoding.length.back_off import BackOff
from speccas.core.decoding.length.constants import CONSTANTS
from speccas.core.decoding.length.latency import LatencyModel


def back_off(balance: float | None, unread: int = 0) -> BackOff:
    """On a machine whose expert reads a token in two seconds, and whose drafter reads one in half of one."""
    return BackOff(LatencyModel({1: 2.0, 4: 5.0}, step=0.1, catch_up=0.5), balance, unread)


def test_what_pays_is_drafted_whatever_is_left_to_hope_for() -> None:
    assert back_off(balance=0.0).begin(shortfall=0.0, hopeful=False)
    assert back_off(balance=0.0, unread=100).begin(shortfall=-0.1, hopeful=False)
    assert not back_off(balance=1.0).begin(shortfall=0.1, hopeful=False), "not even the best text would pay"


def test_hope_costs_what_it_is_expected_to_lose() -> None:
    first = back_off(balance=None)
    assert first.balance == CONSTANTS.first_hope
    assert not first.begin(shortfall=CONSTANTS.first_hope + 0.01, hopeful=True)
    assert first.begin(shortfall=CONSTANTS.first_hope - 0.01, hopeful=True)
    assert first.balance == pytest.approx(0.01)
    assert not first.begin(shortfall=0.02, hopeful=True), "it is spent"


def test_hope_grows_with_what_was_decoded_up_to_a_limit() -> None:
    waiting = back_off(balance=0.0)
    waiting.earn(2.0)
    assert waiting.balance == pytest.approx(CONSTANTS.hope_share), "of one expert step"
    waiting.earn(1e6)
    assert waiting.balance == CONSTANTS.largest_hope
    assert back_off(balance=100.0).balance == CONSTANTS.largest_hope


def test_what_was_not_read_is_part_of_the_price() -> None:
    """Half a second for a token is a quarter of an expert step."""
    assert back_off(balance=0.6, unread=2).begin(shortfall=0.1, hopeful=True)
    assert not back_off(balance=0.6, unread=3).begin(shortfall=0.1, hopeful=True)


def test_what_the_drafter_has_not_read() -> None:
    asked = back_off(balance=0.0, unread=5)
    assert not asked.begin(shortfall=1.0, hopeful=False) and asked.catching_up == 0
    asked.learn(tokens=1, asked=0, whole=True)
    assert asked.begin(shortfall=0.0, hopeful=False) and asked.catching_up == 6
    asked.learn(tokens=4, asked=3, whole=True)
    assert asked.begin(shortfall=0.0, hopeful=False) and asked.catching_up == 1, "the last one of a draft that stands"
    asked.learn(tokens=2, asked=3, whole=False)
    assert asked.begin(shortfall=0.0, hopeful=False) and asked.catching_up == 0
