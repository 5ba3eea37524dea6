"""The measured curve: what is taken of several times, and what the caches hold afterwards. Asserts no time."""

import json
import math
from pathlib import Path

import pytest

from speccas.core.calibration.calibrate import FULL, Curve, alone_speed, measure_full, of_times, spread
from speccas.core.calibration.planner import Planner, Wanted, key_of
from speccas.core.decoding.arms import Arm, parse_arm
from speccas.core.decoding.length.acceptance import BUCKETS, START, AcceptanceModel
from speccas.core.decoding.length.auto import AutoPolicy
from speccas.core.decoding.length.latency import LatencyModel
from speccas.core.decoding.sampling import Sampling
from speccas.core.record.metrics import Fold
from speccas.core.runtime.generate import Length, PromptRead, generate
from speccas.core.runtime.pair import Pair
from speccas.core.runtime.prompt import Prompt
from tests.builders.loaded import prefill, tokens

AUTO, EXACT, GREEDY = Wanted("auto"), parse_arm("exact"), Sampling()


def test_the_least_of_each_size_counts() -> None:
    costs = of_times({1: [3.0, 2.0], 4: [5.0, 9.0]}, [0.5, 0.25])
    assert costs.seen == {1: 2.0, 4: 5.0} and costs.step == 0.25
    assert of_times({}, [0.5]).seen == {1: 5.0}, "a context without room"


def test_times_that_spread_are_not_steady() -> None:
    assert spread({1: [2.0, 2.2, 9.0], 4: [4.0, 3.0, 8.0]}) == pytest.approx(4 / 3)
    assert spread({1: [2.0]}) == 1.0 == spread({})
    costs = LatencyModel({1: 1.0}, 0.1)
    assert Curve(costs, 1.3).steady and not Curve(costs, 1.31).steady


@pytest.mark.slow
@pytest.mark.tiny
def test_measuring_leaves_the_caches_as_they_were(tiny: Pair) -> None:
    ids = tokens(tiny, "The sea is")
    prefill(tiny, ids)
    held = len(tiny.expert), len(tiny.drafter)
    curve = measure_full(tiny)
    assert tuple(curve.costs.seen) == FULL and min(curve.costs.seen.values()) > 0 and curve.costs.step > 0
    assert alone_speed(tiny, 2) > 0
    assert (len(tiny.expert), len(tiny.drafter)) == held
    planner = Planner(tiny)
    planner.adopt(curve.costs)
    policy, _ = planner.drafting(AUTO).plan(tiny, EXACT, GREEDY)
    assert isinstance(policy, AutoPolicy) and policy.latency.seen == curve.costs.seen, "it is not measured again"
    policy.latency.learn_verify(1, 1.0)
    assert policy.latency.seen != curve.costs.seen, "what was measured stays as it is, for whoever reports it"


@pytest.mark.tiny
def test_what_the_prompt_cost_a_token_is_known_and_outlives_the_process(
    tiny: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "curves.json"

    def latency(planner: Planner) -> LatencyModel:
        policy, _ = planner.drafting(AUTO).plan(tiny, EXACT, GREEDY)
        assert isinstance(policy, AutoPolicy)
        return policy.latency

    prefill(tiny, tokens(tiny, "The sea is wide, and the sky above it is"))
    monkeypatch.setattr(tiny.expert, "prefill_token", 1e-6)
    planner = Planner(tiny, path)
    found = latency(planner)
    assert found.prefill_token == 1e-6
    assert found.verify(16) - found.verify(4) == pytest.approx(12e-6)
    planner.save()
    monkeypatch.setattr(tiny.expert, "prefill_token", math.inf)
    assert latency(Planner(tiny, path)).prefill_token == 1e-6
    (saved,) = json.loads(path.read_text()).values()
    del saved["bulk"]
    path.write_text(json.dumps({key_of(tiny): saved}))
    assert latency(Planner(tiny, path)).prefill_token == math.inf, "figures of an earlier speccas"


def kept(path: Path, pair: Pair, accepted: float, curve: dict[str, float]) -> Planner:
    """A planner that finds this curve, and a dozen drafts of which so many were accepted, from earlier answers."""
    counts = [accepted] * BUCKETS, [12.0] * BUCKETS, [accepted] * (BUCKETS + 1), [12.0] * (BUCKETS + 1)
    figures = {
        "seen": curve,
        "step": 0.5,
        "catch_up": 0.1,
        "chances": {"exact greedy": AcceptanceModel(*counts).as_json()},
    }
    figures["hope"] = {"exact greedy": 0.0}
    path.write_text(json.dumps({key_of(pair): figures}))
    return Planner(pair, path)


@pytest.mark.tiny
def test_a_drafter_that_is_left_off_does_not_read_the_prompt(tiny: Pair, tmp_path: Path) -> None:
    path = tmp_path / "curves.json"
    prompt = Prompt(tuple(tokens(tiny, "The sea is wide, and the sky above it is")))
    length = Length(12, ignore_eos=True)
    steep, flat = {"1": 1.0, "16": 16.0}, {"1": 1.0, "16": 1.1}

    def reads(planner: Planner, wanted: Wanted = AUTO, arm: Arm = EXACT) -> bool:
        return planner.drafting(wanted).reads_prompt(tiny, arm, GREEDY)

    def answer(planner: Planner, wanted: Wanted = AUTO) -> Fold:
        fold = Fold()
        for event in generate(tiny, prompt, EXACT, GREEDY, length, planner.drafting(wanted)):
            if not isinstance(event, PromptRead):
                fold(event)
        return fold

    tiny.clear()
    assert reads(Planner(tiny, path)), "nothing is known yet"
    assert reads(kept(path, tiny, 12.0, flat)), "drafts pay"
    planner = kept(path, tiny, 0.0, steep)
    assert not reads(planner) and not reads(planner, arm=parse_arm("expert"))
    before = tiny.drafter.evaluated
    fold = answer(planner)
    assert fold.figures().rounds_off == len(fold.tokens) == 12
    assert tiny.drafter.evaluated == before, "neither the prompt nor the answer"
    planner.save()
    (saved,) = json.loads(path.read_text()).values()
    assert saved["hope"]["exact greedy"] > 0, "what may be hoped for outlives the process"
    assert not reads(Planner(tiny, path))
    assert tiny.second_model.unread >= len(prompt.ids)
    assert reads(Planner(tiny, path), Wanted(4)), "it is told to draft"
    fixed = answer(Planner(tiny), Wanted(4))
    assert tiny.drafter.evaluated > before + len(prompt.ids), "what was not read before is read for the first draft"
    assert [token.id for token in fixed.tokens] == [token.id for token in fold.tokens]


@pytest.mark.tiny
def test_a_rule_that_never_drafted_begins_with_what_is_known_of_the_pair(tiny: Pair, tmp_path: Path) -> None:
    path = tmp_path / "curves.json"
    new = Planner(tiny, path)
    unknown = new.acceptance_of("token:0.5 greedy").next_chance(START)
    new.note_agreement(0.35, 192)
    new.save()
    measured = Planner(tiny, path).acceptance_of("token:0.5 greedy").next_chance(START)
    assert measured < unknown - 0.1, "as it was measured, in a process before"
    taught = AcceptanceModel()
    for _ in range(200):
        taught.learn([12], accepted=1)
    new.acceptance = {"exact greedy": taught}
    assert new.acceptance_of("token:0.5 greedy").next_chance(START) > unknown, "as exact learned it"
    assert sum(new.acceptance_of("token:0.5 greedy").judged) < 50, "and for less than its own would count"
