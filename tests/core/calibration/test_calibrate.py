"""The measured curve: what is taken of several times, and what the caches hold afterwards. Asserts no time."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from speccas.core.calibration.calibrate import FULL, Curve, Planner, alone_speed, measure_full, of_times, spread
from speccas.core.decoding.answer import Request
from speccas.core.decoding.arms import parse_arm
from speccas.core.decoding.length.acceptance import BUCKETS, AcceptanceModel
from speccas.core.decoding.length.auto import AutoPolicy
from speccas.core.decoding.length.latency import LatencyModel
from speccas.core.decoding.sampling import Sampling
from speccas.core.record.metrics import Fold
from speccas.core.runtime.pair import LoadedPair


def test_the_least_of_each_size_counts() -> None:
    costs = of_times({1: [3.0, 2.0], 4: [5.0, 9.0]}, [0.5, 0.25])
    assert costs.seen == {1: 2.0, 4: 5.0} and costs.step == 0.25
    assert of_times({}, [0.5]).seen == {1: 5.0}, "a context without room"


def test_times_that_spread_are_not_steady() -> None:
    assert spread({1: [2.0, 2.2, 9.0], 4: [4.0, 3.0, 8.0]}) == pytest.approx(4 / 3)
    assert spread({1: [2.0]}) == 1.0 == spread({})
    costs = LatencyModel({1: 1.0}, 0.1)
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
    assert isinstance(drafting, AutoPolicy) and drafting.latency is curve.costs, "it is not measured again"


@pytest.mark.tiny
def test_what_the_prompt_cost_a_token_goes_into_the_costs_and_outlives_the_process(
    tiny: LoadedPair, tmp_path: Path
) -> None:
    before, bulk, path, arm = tiny.settings, tiny.expert.bulk, tmp_path / "curves.json", parse_arm("exact")
    tiny.settings = replace(before, draft_tokens="auto")
    try:
        for _ in tiny.prefill(tiny.expert.tokenize("The sea is wide, and the sky above it is", special=False)):
            pass
        tiny.expert.bulk = 1e-6
        planner = Planner(tiny, path)
        drafting = planner.drafting(arm)
        assert isinstance(drafting, AutoPolicy) and drafting.latency.prefill_token == 1e-6
        assert drafting.latency.verify(16) - drafting.latency.verify(4) == pytest.approx(12e-6)
        planner.save()
        tiny.expert.bulk = math.inf
        again = Planner(tiny, path).drafting(arm)
        assert isinstance(again, AutoPolicy) and again.latency.prefill_token == 1e-6
        (saved,) = json.loads(path.read_text()).values()
        del saved["bulk"]
        path.write_text(json.dumps({Planner(tiny).key: saved}))
        older = Planner(tiny, path).drafting(arm)
        assert isinstance(older, AutoPolicy) and older.latency.prefill_token == math.inf, (
            "figures of an earlier speccas"
        )
    finally:
        tiny.settings, tiny.expert.bulk = before, bulk


def kept(path: Path, pair: LoadedPair, accepted: float, curve: dict[str, float]) -> Planner:
    """A planner that finds this curve, and a dozen drafts of which so many were accepted, from earlier answers."""
    chances = AcceptanceModel(
        [accepted] * BUCKETS, [12.0] * BUCKETS, [accepted] * (BUCKETS + 1), [12.0] * (BUCKETS + 1)
    ).as_json()
    figures = {"seen": curve, "step": 0.5, "catch_up": 0.1, "chances": {"exact greedy": chances}}
    figures["rested"] = {"exact greedy": 0.0}
    path.write_text(json.dumps({Planner(pair).key: figures}))
    return Planner(pair, path)


@pytest.mark.tiny
def test_a_drafter_that_is_left_off_does_not_read_the_prompt(tiny: LoadedPair, tmp_path: Path) -> None:
    before, path, arm = tiny.settings, tmp_path / "curves.json", parse_arm("exact")
    tiny.settings = replace(before, draft_tokens="auto")
    try:
        ids = tiny.expert.tokenize("The sea is wide, and the sky above it is", special=False)
        steep, flat = {"1": 1.0, "16": 16.0}, {"1": 1.0, "16": 1.1}
        assert Planner(tiny, path).reads(arm), "nothing is known yet"
        assert kept(path, tiny, 12.0, flat).reads(arm), "drafts pay"
        planner = kept(path, tiny, 0.0, steep)
        assert not planner.reads(arm) and not planner.reads(parse_arm("expert"))
        tiny.expert.truncate(0)
        tiny.small.truncate(0)
        read = tiny.small.evaluated
        for _ in tiny.prefill(ids, planner.reads(arm)):
            pass
        request = Request(tuple(ids), Sampling(), 12, tiny.context, (), True)
        fold = Fold()
        for event in tiny.play(arm, request, planner.drafting(arm)):
            fold(event)
        assert fold.figures().rounds_off == len(fold.tokens) == 12
        assert tiny.small.evaluated == read, "neither the prompt nor the answer"
        planner.save()
        (saved,) = json.loads(path.read_text()).values()
        assert saved["rested"]["exact greedy"] > 0, "how long drafts were left off outlives the process"
        assert not Planner(tiny, path).reads(arm)
        drafter = tiny.drafter
        assert drafter.behind >= len(ids)
        tiny.settings = replace(before, draft_tokens=4)
        assert Planner(tiny, path).reads(arm), "it is told to draft"
        fixed = Fold()
        for event in tiny.play(arm, request, Planner(tiny).drafting(arm)):
            fixed(event)
        assert tiny.small.evaluated > read + len(ids), "what was not read before is read for the first draft"
        assert [token.id for token in fixed.tokens] == [token.id for token in fold.tokens]
    finally:
        tiny.settings = before
