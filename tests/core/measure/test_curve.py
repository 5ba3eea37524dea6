"""The measured curve: what is taken of several times, and what the caches hold afterwards. Asserts no time."""

from dataclasses import replace

import pytest

from speccas.core.decoding.arms import parse_arm
from speccas.core.decoding.cost import Costs
from speccas.core.decoding.drafting import Auto
from speccas.core.measure.curve import FULL, Curve, Planner, alone_speed, measure_full, of_times, spread
from speccas.core.models.load import LoadedPair


def test_the_least_of_each_size_counts() -> None:
    costs = of_times({1: [3.0, 2.0], 4: [5.0, 9.0]}, [0.5, 0.25])
    assert costs.seen == {1: 2.0, 4: 5.0} and costs.step == 0.25
    assert of_times({}, [0.5]).seen == {1: 5.0}, "a context without room"


def test_times_that_spread_are_not_steady() -> None:
    assert spread({1: [2.0, 2.2, 9.0], 4: [4.0, 3.0, 8.0]}) == pytest.approx(4 / 3)
    assert spread({1: [2.0]}) == 1.0 == spread({})
    costs = Costs({1: 1.0}, 0.1)
    assert Curve(costs, 1.3).steady and not Curve(costs, 1.31).steady


@pytest.mark.tiny
def test_measuring_leaves_the_caches_as_they_were(tiny: LoadedPair) -> None:
    ids = tiny.expert.tokenize("The sea is", special=False)
    for _ in tiny.prefill(ids):
        pass
    held = len(tiny.expert), len(tiny.small)
    curve = measure_full(tiny)
    assert tuple(curve.costs.seen) == FULL and min(curve.costs.seen.values()) > 0 and curve.costs.step > 0
    assert alone_speed(tiny, 2) > 0
    assert (len(tiny.expert), len(tiny.small)) == held
    planner = Planner(tiny)
    planner.adopt(curve.costs)
    before = tiny.settings
    tiny.settings = replace(before, draft_tokens="auto")
    drafting = planner.drafting(parse_arm("exact"))
    tiny.settings = before
    assert isinstance(drafting, Auto) and drafting.costs is curve.costs, "it is not measured again"
