"""Relative costs are kept while the curve keeps its shape, and the recent speed is that of the last rounds."""

import pytest

from speccas.core.decoding.length.constants import CONSTANTS
from speccas.core.decoding.length.latency import LatencyModel
from speccas.core.decoding.length.relative import RecentSpeed, RelativeCosts


def test_costs_are_in_steps_of_the_expert() -> None:
    costs = RelativeCosts(LatencyModel({1: 2.0, 2: 3.0, 3: 5.0, 4: 4.0}, step=0.5))
    assert costs.call(1) == 1 and costs.call(2) == 1.5 and costs.step == 0.25
    assert costs.call(3) == 2, "with a padding token"


def test_costs_of_calls_are_dropped_by_any_round_but_the_second_of_single_tokens_and_a_few_after_it() -> None:
    costs = RelativeCosts(LatencyModel({1: 1.0, 4: 2.0}, step=0.1))
    dropped = []
    for batch in (4, 1, *[1] * CONSTANTS.stable_rounds, 1, 4):
        before = costs.version
        costs.learn(batch)
        dropped.append(costs.version != before)
    assert dropped == [True, True, *[False] * (CONSTANTS.stable_rounds - 1), True, False, True]
    assert costs.call(4) == 2
    costs.latency.seen[4] = 3.0
    assert costs.call(4) == 2, "kept"
    costs.learn(4)
    assert costs.call(4) == 3


def test_recent_speed_is_never_below_that_of_the_expert_alone() -> None:
    speed = RecentSpeed(LatencyModel({1: 2.0}, step=0.1))
    assert speed.value == 1
    speed.learn(tokens=3, draft_seconds=1.0, verify_seconds=3.0)
    assert speed.value == pytest.approx(3 * 2.0 / 4.0)
    for _ in range(200):
        speed.learn(tokens=1, draft_seconds=1.0, verify_seconds=3.0)
    assert speed.value == 1
