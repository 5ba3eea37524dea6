"""The protocol's plan and the samples file. Whole runs on real models: tests/cli/commands/test_bench.py."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from speccas.core.bench.peer import peer_arms
from speccas.core.bench.protocol import (
    Bench,
    Conditions,
    Plan,
    PlannedArm,
    Played,
    Progress,
    differing,
    planned_arms,
    sweep,
)
from speccas.core.bench.samples import Sample, SampleFile, compared, read_samples
from speccas.core.bench.suites import Item
from speccas.core.decoding.answer import Request
from speccas.core.decoding.sampling import Sampling
from speccas.core.errors import IntegrityError, Stopped, UsageError
from speccas.core.record.metrics import Figures
from speccas.core.runtime.generate import Length
from speccas.core.runtime.pair import Pair
from speccas.core.runtime.prompt import Prompt

GREEDY = Sampling()


def figures(name: str, speed: float = 10.0, text: str = "a b", rule: str | None = None) -> Figures:
    ruled = None if rule is None else 4
    return made_of(
        name=name, rule=rule, alpha=None, text=text, finish="end", tokens=10, seconds=10 / speed,
        tokens_per_second=speed, ttft_ms=50.0, prefill_seconds=0.04, draft_seconds=0.1, verify_seconds=0.8,
        overhead_seconds=0.1,
        drafted=ruled, judged=ruled, agreed=ruled, kept=ruled and 0, deferred=ruled and 0,
        bonus=ruled, discarded=ruled and 0, alone=10, expert_calls=5, tokens_per_expert_call=2.0, expert_logprob=-0.5,
    )  # fmt: skip


def made_of(**known: Any) -> Figures:
    return Figures(**{**dict.fromkeys(each.name for each in fields(Figures)), **known})


def sample(
    name: str, prompt: str = "p", repeat: int = 0, ids: tuple[int, ...] = (1, 2, 3), speed: float = 10.0
) -> Sample:
    gaps = (0.5, 0.25, 4.0) if name == "expert" else None
    rule = None if name in ("expert", "drafter") else name.partition(":")[0]
    return Sample(
        figures(name, speed, rule=rule), prompt, "g", repeat, 0, 4 if rule else None, None, ids, gaps,
        (10.0, 20.0), (2, 1), None, None, 1 << 20, 1.5,
    )  # fmt: skip


def test_a_sweep_gives_numbers_to_the_rule_before_them() -> None:
    assert sweep(["token:0.1", "0.3", "0.5", "exact", "lossy", "bild:1", "2"]) == [
        "token:0.1", "token:0.3", "token:0.5", "exact", "lossy", "bild:1", "bild:2",
    ]  # fmt: skip
    for wrong in (["0.3"], ["exact", "0.3"]):
        with pytest.raises(UsageError, match="follows no rule"):
            sweep(wrong)


def test_the_baselines_are_always_there_and_nothing_twice() -> None:
    found = planned_arms(["exact", "token:0.5", "token:0.5"], [2, 4], GREEDY)
    assert [(e.name, e.k) for e in found] == [
        ("expert", None), ("drafter", None), ("exact", 2), ("exact", 4), ("token:0.5", 2), ("token:0.5", 4),
    ]  # fmt: skip


def test_an_arm_is_a_key() -> None:
    """A peer keeps a server for each."""
    arms = planned_arms(["token:0.3"], [4], Sampling(0.7), peer_arms(["draft-simple"], [4]))
    assert len({arm: arm.name for arm in arms}) == len(arms) and any(arm.filters for arm in arms)


def test_two_names_of_one_rule_are_one_arm() -> None:
    """A rule's default alpha typed, or a number written otherwise, is no further arm; the name typed first stays."""
    found = planned_arms(["token", "token:0.5", "token:.50", "top-k:5", "top-k"], [4], GREEDY)
    assert [e.name for e in found] == ["expert", "drafter", "exact", "token", "top-k:5"]


def test_a_filter_stands_beside_token_rules_only_when_sampling() -> None:
    greedy = planned_arms(["token:0.3", "lossy:0.3"], [4], Sampling(min_p=0.05))
    sampled = planned_arms(
        ["token:0.3", "lossy:0.3"], [4], Sampling(0.7, min_p=0.05), peer_arms(["draft-simple"], [4, "auto"])
    )
    assert not [e for e in greedy if e.filters]
    assert [(e.name, e.filters) for e in sampled if e.filters] == [("expert min-p=0.7", {"min_p": 0.7})]
    assert [(e.name, e.k) for e in sampled if e.arm is None] == [("llama.cpp expert", None), ("llama.cpp", 4)]


def test_each_rule_that_cuts_off_has_its_filter_unless_the_runs_own_leaves_no_more() -> None:
    rules = [
        "token:0.3",
        "token-safe:0.3",
        "token-safe:0.9",
        "top-k:7",
        "token-margin:0.4",
        "token-margin:-0.1",
        "bild",
    ]
    plain = planned_arms(rules, [2, 4], Sampling(0.7))
    assert [(e.name, dict(e.filters), e.k) for e in plain if e.filters] == [
        ("expert min-p=0.7", {"min_p": 0.7}, None),
        ("expert min-p=0.1", {"min_p": 0.1}, None),
        ("expert top-k=7", {"top_k": 7}, None),
        ("expert margin=0.4", {"margin": 0.4}, None),
    ]
    filtered = planned_arms(rules, [2], Sampling(0.7, top_k=5, min_p=0.8))
    assert [e.name for e in filtered if e.filters] == ["expert margin=0.4"]


def test_every_arm_is_as_often_early_as_late() -> None:
    """Places of an arm over a pair of repeats add up to the same for all: a drift in time meets each alike."""
    plan = Plan(planned_arms(["token:0.1", "token:0.9", "lossy"], [4], GREEDY), 4)
    places: Counter[str] = Counter()
    for repeat in range(4):
        for place, planned in enumerate(plan.block("a", repeat)):
            places[planned.name] += place
    assert len(set(places.values())) == 1
    assert plan.block("a", 0) == plan.block("a", 1)[::-1]
    assert plan.block("a", 0) != plan.block("a", 2) or plan.block("a", 0) != plan.block("b", 0)
    assert plan.block("a", 0) == Plan(plan.arms, 2).block("a", 0)


def test_a_sample_survives_its_line() -> None:
    one = sample("token:0.5")
    assert Sample.from_json(json.loads(json.dumps(one.as_json()))) == one


def test_a_torn_last_line_is_dropped_and_a_bad_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    with SampleFile(path, resume=False) as file:
        file.add(sample("expert"))
        assert path.read_bytes().count(b"\n") == 1, "written as it happens"
        file.add(sample("exact"))
    whole = path.read_bytes()
    for torn in (b"{", b'{"name": "exa', whole.splitlines()[0]):  # the last: whole but for its line feed
        path.write_bytes(whole + torn)
        with SampleFile(path, resume=True) as file:
            assert len(file.samples) == 2
            file.add(sample("exact", repeat=1))
        assert [s.key for s in read_samples(path)[0]] == [s.key for s in file.samples]
    for bad in (b"{}\n", b"x\n", whole.splitlines()[0] + b"\n", b"[" * 100_000 + b"\n"):
        path.write_bytes(whole + bad + whole.splitlines()[1].replace(b'"repeat": 0', b'"repeat": 7') + b"\n")
        with pytest.raises(IntegrityError, match="line 3"):
            SampleFile(path, resume=True)


def test_a_directory_is_not_written_over_or_by_two(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    with SampleFile(path, resume=False) as file:
        file.add(sample("expert"))
        with pytest.raises(UsageError, match="another speccas bench"):
            SampleFile(path, resume=True)
    with pytest.raises(UsageError, match="holds a run"):
        SampleFile(path, resume=False)


def test_what_needs_the_expert_is_filled_in_when_it_is_there() -> None:
    early, expert, late = sample("exact", ids=(1, 9, 3), speed=5), sample("expert"), sample("drafter", ids=(1, 2))
    found = {s.figures.name: s.figures for s in compared([early, expert, late, sample("exact", repeat=1)])}
    assert found["expert"].identical_to_expert and found["expert"].speedup == 1
    own = next(s.figures for s in compared([early, expert, late]) if s.figures.name == "exact")
    assert (own.speedup, own.identical_to_expert, own.first_difference, own.first_difference_gap) == (
        0.5,
        False,
        1,
        0.25,
    )
    assert (found["drafter"].first_difference, found["drafter"].first_difference_gap) == (2, 4.0)
    alone = compared([sample("exact", repeat=1)])[0].figures
    assert alone.speedup is None


def test_sampled_answers_have_no_first_difference() -> None:
    expert = replace(sample("expert"), gaps=None)
    found = compared([expert, sample("exact", ids=(7,))])[1].figures
    assert found.speedup == 1 and found.identical_to_expert is None and found.first_difference is None


def test_manifests_differ_where_it_matters() -> None:
    old = {"k": 4, "command": "a", "bench": {"repeats": 5, "date": "x", "notes": []}}
    assert differing(old, {"k": 4, "command": "b", "bench": {"repeats": 5, "date": "y", "notes": []}}) == []
    assert differing(old, {"k": 4, "bench": {"repeats": 3, "notes": []}}) == ["bench.repeats: 5, now 3"]
    assert differing(old, {**old, "min_p": 0.1}) == ["min_p: None, now 0.1"]


class Recorder:
    """A peer that notes what the caches held when it was asked."""

    def __init__(self, pair: Pair, stop_at: int | None = None) -> None:
        self.pair = pair
        self.asked: list[tuple[Request, int]] = []
        self.stop_at = stop_at

    def play(self, planned: PlannedArm, request: Request) -> Played:
        self.asked.append((request, len(self.pair.expert)))
        name = "interrupted" if len(self.asked) == self.stop_at else "end"
        return Played(replace(figures(planned.name), finish=name), (1,))


@pytest.fixture
def small(tiny: Pair) -> Callable[..., Bench]:
    def make(peer: Recorder, repeats: int = 2) -> Bench:
        plan = Plan(
            (PlannedArm("expert", planned_arms([], [4], GREEDY)[0].arm), PlannedArm("llama.cpp", None, 2)), repeats
        )
        items = [Item("a", "g", "Hello."), Item("b", "g", "Why?")]
        return Bench(tiny, plan, items, Conditions(length=Length(4)), False, 0.5, peer)

    return make


@pytest.mark.slow
@pytest.mark.tiny
def test_stopped_runs_keep_what_is_whole_and_go_on(tiny: Pair, small: Callable[..., Bench], tmp_path: Path) -> None:
    steps: list[Progress] = []
    with SampleFile(tmp_path / "samples.jsonl", False) as file:
        with pytest.raises(Stopped):
            small(Recorder(tiny, stop_at=3)).run(file, steps.append)  # the first is the warm-up
        assert "llama.cpp" in {s.figures.name for s in file.samples}
        held = list(file.samples)
    assert steps[0].warming and steps[0].total == 8
    with SampleFile(tmp_path / "samples.jsonl", True) as file:
        peer = Recorder(tiny)
        small(peer).run(file, steps.append)
        assert file.samples[: len(held)] == held
        assert len({s.key for s in file.samples}) == len(file.samples) == 8
        assert steps[-1] == Progress(8, 8)
        again = Recorder(tiny)
        small(again).run(file)
        assert not again.asked, "nothing is missing, so nothing is warmed up either"


@pytest.mark.slow
@pytest.mark.tiny
def test_every_arm_finds_the_prompt_and_no_more_than_its_own_past(
    tiny: Pair, small: Callable[..., Bench], tmp_path: Path
) -> None:
    """The caches are cleared for each block, so the expert reads the whole prompt every time it is timed."""
    read: list[int] = []
    bench = small(Recorder(tiny), repeats=3)
    original = bench.read

    def watch(prompt: Prompt) -> None:
        original(prompt)
        read.append(len(tiny.expert))
        assert bench.prefill_seconds["expert"] > 0 and bench.prefill_seconds["drafter"] > 0
        assert len(tiny.expert) == len(prompt.ids) - 1

    bench.read = watch  # type: ignore[method-assign]
    with SampleFile(tmp_path / "samples.jsonl", False) as file:
        bench.run(file)
        seeds = {request.sampling.seed for request, _ in bench.peer.asked}  # type: ignore[union-attr]
    assert len(read) == 1 + 2 * 3
    assert seeds == {0, 1, 2}
