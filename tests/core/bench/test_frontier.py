"""Cost against quality, method by method: what is reckoned from samples, on made-up ones whose answer is known."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from speccas.core.bench.frontier import (
    BESIDE,
    ELSEWHERE,
    FIRST,
    FLAT,
    MEASURED,
    PLAIN,
    SEQUENTIAL,
    SWEEPS,
    StatedMachine,
    envelope,
    frontier_document,
    gain,
    sweeps,
    undominated,
)
from speccas.core.bench.frontier_run import read_machine, run_frontier
from speccas.core.bench.protocol import Plan, PlannedArm, Progress
from speccas.core.bench.report import Report
from speccas.core.bench.report_files import markdown, page, plots
from speccas.core.bench.samples import Sample
from speccas.core.bench.suites import Item
from speccas.core.bench.summary import summarise
from speccas.core.decoding.arms import parse_arm
from speccas.core.decoding.length.latency import LatencyModel
from speccas.core.errors import IntegrityError, UsageError
from tests.core.bench.test_protocol import sample
from tests.core.bench.test_report import MANIFEST

POINTS = {"expert": (1.0, 0.0), "exact": (0.8, 0.0), "drafter": (0.2, -1.0)}
"""Cost of a token against the expert's, and nats a token."""
TOKEN = {"token:0.1": (0.7, -0.001), "token:0.5": (0.5, -0.1), "token:0.9": (0.4, -0.3)}
WORSE = {"token:0.3": (0.75, -0.2)}
LOSSY = {"lossy:0.3": (0.7, -0.1), "lossy:0.9": (0.4, -0.5)}
CASCADE = {"token-cascade:0.4": (0.6, -0.6)}


def made(points: dict[str, tuple[float, float]], prompts: int = 20) -> list[Sample]:
    """Samples of these arms, with a little noise by prompt."""
    random = np.random.default_rng(1)
    found = []
    for i in range(prompts):
        drift, luck = (float(each) for each in random.normal(0, 0.0004, 2))
        for name, (cost, change) in points.items():
            own = sample(name, f"p{i}", speed=10.0 / cost)
            mine = 0.0 if name == "expert" else luck
            figures = replace(
                own.figures,
                tokens_per_second=10.0 / (cost * (1 + (0 if name == "expert" else drift))),
                expert_logprob=-0.5 + change + mine,
                speedup_if_flat=1 / cost,
                drafter_steps=15,
                drafted=15,
            )
            found.append(replace(own, figures=figures))
    return found


def test_a_frontier_is_the_best_at_a_cost_or_below() -> None:
    cost, quality = np.array([0.4, 0.6, 1.0]), np.array([-0.5, -0.7, 0.0])
    found = envelope(cost, quality, np.array([0.3, 0.4, 0.7, 1.0]))
    assert found.tolist() == [-np.inf, -0.5, -0.5, 0.0]


def test_a_gain_is_over_what_both_reach() -> None:
    one, other = np.array([[0.5, -0.1], [1.0, 0.0]]), np.array([[0.25, -0.9], [0.75, -0.3], [1.0, 0.0]])
    found = gain(one, other)
    assert found == pytest.approx(0.5 * (0.9 - 0.1) + 0.5 * (0.3 - 0.1), abs=0.02)  # from 0.5 on; at 1.0 they meet
    assert gain(other, one) == pytest.approx(-(found or 0))
    assert gain(np.array([[1.0, 0.0]]), np.array([[1.0, 0.0]])) is None


def test_what_is_planted_is_found() -> None:
    samples = made({**POINTS, **TOKEN, **LOSSY, **CASCADE})
    found = frontier_document(samples)
    gains = {(each.other, each.cost): each.gain for each in found.duels if each.quality == "log-prob"}
    for other in (PLAIN, SEQUENTIAL):
        for cost in (MEASURED, ELSEWHERE):
            low = gains[other, cost].low
            assert low is not None and low > 0.02, "token lies above both"
    (mine, elsewhere) = found.small
    assert (mine.arm, mine.cost, elsewhere.cost) == ("token:0.1", MEASURED, ELSEWHERE)
    assert mine.speedup.value == pytest.approx(1 / 0.7, abs=0.01)
    assert mine.over_exact.value == pytest.approx(0.8 / 0.7, abs=0.01)
    assert "against sequential cascades, by log-prob: token: better" in found.claims[0]
    assert found.claims[-2] == "At equal quality in measured time: faster than exact: token:0.1 1.14x."
    assert [each.arm for each in found.arms][:3] == ["expert", "drafter", "exact"]
    assert found.arms[2].calls == 0.5 and found.arms[2].steps == 1.5


def test_nothing_is_shown_where_there_is_nothing() -> None:
    samples = made({**POINTS, **LOSSY, "token:0.3": LOSSY["lossy:0.3"], "token:0.9": (0.4, -0.9)})
    found = frontier_document(samples)
    against = next(each for each in found.duels if (each.other, each.quality) == (PLAIN, "log-prob"))
    assert against.gain.high is not None and against.gain.high < 0
    assert found.small == [] and "no rule whose loss" in found.claims[-1]
    assert not any(each.quality == "score" for each in found.duels), "nothing was scored"


def test_few_prompts_have_no_interval() -> None:
    found = frontier_document(made({**POINTS, **TOKEN, **LOSSY}, prompts=5))
    assert all(each.gain.low is None for each in found.duels) and found.small == []


def test_alphas_that_another_beats_are_left_out() -> None:
    samples = made({**POINTS, **TOKEN, **WORSE, **LOSSY, **CASCADE})
    prompts = [f"p{i}" for i in range(FIRST)]
    assert set(undominated(samples, prompts)) == {*POINTS, *TOKEN, *LOSSY, *CASCADE}
    others = made({**POINTS, **TOKEN, "token:0.3": (0.3, -0.2)})
    assert "token:0.9" not in undominated(others, prompts)


def test_a_stated_machine_goes_by_its_curve() -> None:
    (own,) = (each for each in made({"exact": (0.8, 0.0)}, 1))  # 10 tokens in 5 calls, 15 drafted, 15 steps
    machine = StatedMachine("other", LatencyModel({1: 2.0, 4: 3.0}, 0.1))
    assert machine.cost(own) == pytest.approx((5 * 3.0 + 15 * 0.1) / 10 / 2.0)
    assert FLAT.cost(own) == pytest.approx(0.8)
    (alone,) = made({"expert": (1.0, 0.0)}, 1)
    assert machine.cost(alone) == FLAT.cost(alone) == 1.0


def test_a_machine_is_read_from_what_doctor_says(tmp_path: Path) -> None:
    file = tmp_path / "gpu.json"
    file.write_text(
        json.dumps({"machine": {"processor": "gpu"}, "curve": {"seconds": {"1": 1, "4": 1}, "drafter_step": 0}})
    )
    machine = read_machine(file)
    assert machine.name == "the machine of gpu.json (gpu)" and machine.costs is not None
    for wrong in ("", "[]", "{}", '{"curve": {"seconds": {"4": 1}, "drafter_step": 0}}'):
        file.write_text(wrong)
        with pytest.raises(IntegrityError, match="describes no machine"):
            read_machine(file)
    with pytest.raises(UsageError, match="cannot read"):
        read_machine(tmp_path / "none.json")


def test_the_sets_are_six_alphas_of_five_rules() -> None:
    assert len(SWEEPS) == 5 and all(len(set(alphas)) == 6 for alphas in SWEEPS.values())
    for name in sweeps({**SWEEPS, **BESIDE}):
        parse_arm(name)


def reported(samples: Sequence[Sample]) -> Report:
    return replace(Report(MANIFEST, summarise(samples), {}, True, None, 1.0), frontier=frontier_document(samples))


def test_curves_are_of_what_answered_all_prompts() -> None:
    """A mean over the first twelve is no point of a curve over forty."""
    samples = made({**POINTS, **TOKEN, **LOSSY})
    few = [each for each in made({**POINTS, "token:0.2": (0.1, -9.0)}, FIRST) if each.figures.name == "token:0.2"]
    files = {each["file"]: each["svg"] for each in plots(reported(samples)) if "file" in each}
    assert set(files) == {"frontier.svg", "frontier-stated.svg"}
    assert files == {each["file"]: each["svg"] for each in plots(reported([*samples, *few])) if "file" in each}


def test_a_report_says_it_first() -> None:
    samples = made({**POINTS, **TOKEN, **LOSSY, **CASCADE})
    found = reported(samples)
    assert next(each["title"] for each in plots(found)) == "Cost against expert log-prob, nats a token: measured"
    told, text = page(found), markdown(found)
    for line in found.frontier.claims if found.frontier else ():
        assert line in told and line in text
    assert text.index("At equal cost") < text.index("Speed and quality")
    frontier = json.loads((Path(__file__).parents[3] / "docs/schema/bench.schema.json").read_text())["properties"][
        "frontier"
    ]
    jsonschema.validate(json.loads(json.dumps(found.as_json()["frontier"])), frontier)


@dataclass
class Played:
    """A bench whose arms cost what was planted."""

    items: list[Item]
    plan: Plan

    def prompts(self) -> list[tuple[Item, None]]:
        return [(item, None) for item in self.items]

    def run(self, file: "Kept", tell: Callable[[Progress], None]) -> None:
        points = {**POINTS, **TOKEN, **WORSE}
        for item in self.items:
            for arm in self.plan.arms:
                if (item.id, arm.name) not in {(each.prompt_id, each.figures.name) for each in file.samples}:
                    (own,) = made({arm.name: points[arm.name]}, 1)
                    file.samples.append(replace(own, prompt_id=item.id))
        tell(Progress(len(file.samples), len(self.items) * len(self.plan.arms)))


class Kept:
    def __init__(self) -> None:
        self.samples: list[Sample] = []


def test_only_what_none_beats_is_played_on_all_prompts() -> None:
    items = [Item(f"p{i}", "g", "") for i in range(20)]
    arms = tuple(PlannedArm(name, parse_arm(name), 4) for name in {**POINTS, **TOKEN, **WORSE})
    bench, file = Played(items, Plan(arms, 1)), Kept()
    heard: list[Progress] = []
    run_frontier(bench, file, FLAT, heard.append)  # type: ignore[arg-type]
    count = {arm.name: sum(each.figures.name == arm.name for each in file.samples) for arm in arms}
    assert count == {**dict.fromkeys({**POINTS, **TOKEN}, 20), "token:0.3": FIRST}
    assert all(each.done <= each.total for each in heard) and heard[-1].done == heard[-1].total
    again, before = Played(items, Plan(arms, 1)), list(file.samples)
    run_frontier(again, file, FLAT)  # type: ignore[arg-type]
    assert file.samples == before, "what was played is not played again"
