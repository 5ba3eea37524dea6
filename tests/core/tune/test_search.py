"""The whole search on simulated machines: costs come from a table, time from a virtual clock. Knows no real model.

The expert likes two words nearly alike in half of the places, and the drafter takes the second there: a lenient rule
keeps it, at a loss that is known.
"""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike

from speccas.core.bench.protocol import Bench, Conditions, Plan, PlannedArm, Progress
from speccas.core.bench.samples import Sample, SampleFile
from speccas.core.bench.suites import Item
from speccas.core.decoding.answer import Lexicon, Request
from speccas.core.decoding.drafts.second_model import SecondModel
from speccas.core.decoding.length.acceptance import AcceptanceModel
from speccas.core.decoding.length.auto import AutoPolicy
from speccas.core.decoding.length.constants import CONSTANTS
from speccas.core.decoding.length.latency import LatencyModel
from speccas.core.decoding.length.policy import FixedPolicy
from speccas.core.decoding.sampling import Sampling
from speccas.core.decoding.table import TableModel, VirtualClock
from speccas.core.errors import Stopped, UsageError
from speccas.core.record.log_prob import mean_log_prob
from speccas.core.record.metrics import Fold
from speccas.core.runtime.prompt import Prompt
from speccas.core.tune.candidates import FALLBACK, Candidate, candidates
from speccas.core.tune.decide import Choice, finding
from speccas.core.tune.halving import answers
from speccas.core.tune.search import BLOCK, HalvingRound, Search, pick
from tests.core.decoding.length.machines import flat, steep
from tests.core.decoding.toys import Same, play

WORDS = 32
SECOND = 0.1
"""Nats by which the expert's second word is below its first, where it has one: 10 % less likely."""


@dataclass(frozen=True)
class Machine:
    """Costs in expert steps, and how often the drafter takes the expert's first or second word."""

    curve: Callable[[int], float]
    step: float
    first: float
    second: float


FLAT = Machine(flat, 0.08, 0.6, 0.35)
STEEP = Machine(steep, 0.4, 0.6, 0.35)


def chance(seed: int, last: tuple[int, ...]) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(repr((seed, last)).encode()))


def rows(machine: Machine, seed: int) -> tuple[Callable[..., ArrayLike], Callable[..., ArrayLike]]:
    def words(last: tuple[int, ...]) -> list[int]:
        return [int(word) for word in chance(seed, last).permutation(WORDS)[:3]]

    def expert(last: tuple[int, ...]) -> ArrayLike:
        first, second, _ = words(last)
        logits = np.zeros(WORDS, dtype=np.float32)
        logits[[first, second]] = 12, 12 - SECOND
        return logits

    def drafter(last: tuple[int, ...]) -> ArrayLike:
        own = chance(seed + 1, last).random()
        place = 0 if own < machine.first else 1 if own < machine.first + machine.second else 2
        logits = np.zeros(WORDS, dtype=np.float32)
        logits[words(last)[place]] = 9 if place < 2 else 4
        return logits

    return expert, drafter


class Simulated(Bench):
    """A bench whose answers are played on tables. `stop_at`: the answer that Ctrl-C comes in."""

    def __init__(self, machine: Machine, prompts: int = 24, stop_at: int | None = None) -> None:
        items = [Item(f"p{i}", "ab"[i % 2], "?") for i in range(prompts)]
        super().__init__(None, Plan((), 1), items, Conditions(), False, 0.0)  # type: ignore[arg-type]
        self.machine = machine
        self.acceptance: dict[str, AcceptanceModel] = {}
        self.stop_at = stop_at
        self.played: list[tuple[str, str]] = []

    def prompts(self) -> Iterator[tuple[Item, Prompt]]:
        for number, item in enumerate(self.items):
            yield item, Prompt(tuple(int(word) for word in np.random.default_rng(number).integers(0, WORDS, 8)))

    def read(self, prompt: Prompt) -> None:
        pass

    def warm_up(self, prompt: Prompt) -> None:
        pass

    def sample(self, planned: PlannedArm, item: Item, prompt: Prompt, repeat: int, order: int) -> Sample:
        self.played.append((item.id, f"{planned.name} {planned.k}"))
        if len(self.played) == self.stop_at:
            raise Stopped("interrupted")
        assert planned.arm is not None
        ids = prompt.ids
        machine, clock, seed = self.machine, VirtualClock(), int(item.id[1:])
        expert_row, drafter_row = rows(machine, seed)
        expert = TableModel(expert_row, order=3, cost=machine.curve, clock=clock)
        small = TableModel(drafter_row, order=3, max_rows=1, cost=lambda n: machine.step * n, clock=clock)
        drafter = SecondModel(small, Same(), 10**6)
        expert.extend(ids[:-1], rows=0)
        drafter.observe(ids)
        for _ in drafter.catch_up():
            pass
        fold = Fold()
        lexicon = Lexicon(lambda token: b"x", lambda token: False)
        request = Request(tuple(ids), Sampling(), 48, 10**6)
        for event in play(planned.arm, self.drafting(planned), expert, drafter, request, lexicon, clock):
            fold(event)
        tokens = tuple(token.id for token in fold.tokens)
        figures = replace(
            fold.figures(),
            name=planned.name,
            expert_logprob=mean_log_prob(TableModel(expert_row, order=3), ids, tokens),
        )
        return Sample(
            figures, item.id, item.group, repeat, order, planned.k, None, tokens, None, (), (), None, None, None, 0.0
        )

    def drafting(self, planned: PlannedArm) -> AutoPolicy | FixedPolicy:
        if planned.k != "auto":
            return FixedPolicy(planned.k or CONSTANTS.longest_draft)
        latency = LatencyModel({n: self.machine.curve(n) for n in range(1, 9)}, self.machine.step)
        return AutoPolicy(latency=latency, acceptance=self.acceptance.setdefault(planned.name, AcceptanceModel()))


RULES = ("exact", "token:0.3", "comparative:0.3")
LENGTHS: tuple[Any, ...] = ("auto", 1, 2, 4, 8)


def search(
    bench: Simulated, file: SampleFile, floor: float, show: Callable[[HalvingRound], None] = lambda _: None
) -> Choice:
    return Search(bench, candidates(RULES, LENGTHS), floor, 1).run(file, show=show)


def found(machine: Machine, folder: Path, floor: float) -> tuple[Choice, list[HalvingRound], list[Sample]]:
    reached: list[HalvingRound] = []
    with SampleFile(folder / "samples.jsonl", resume=False) as file:
        return search(Simulated(machine), file, floor, reached.append), reached, list(file.samples)


@pytest.mark.slow
def test_a_lenient_rule_wins_where_its_loss_is_within_the_floor(tmp_path: Path) -> None:
    choice, reached, _ = found(FLAT, tmp_path, 0.08)
    assert choice.faster and choice.candidate.name == "token:0.3", finding(choice, 0.08)
    standing = choice.standing
    assert standing is not None and 0 < standing.loss <= 0.08
    plain = next(v.standing for v in choice.verdicts if v.standing.candidate.lossless)
    assert standing.times > plain.times > 1
    assert reached[-1].confirmed and not any(halving.confirmed for halving in reached[:-1])
    left = [len(each.alive) for each in reached[:-1]]
    assert left == sorted(left, reverse=True)


@pytest.mark.slow
def test_a_lower_floor_leaves_the_lossless_one(tmp_path: Path) -> None:
    choice, _, _ = found(FLAT, tmp_path, 0.01)
    assert choice.faster and choice.candidate.lossless, finding(choice, 0.01)


@pytest.mark.slow
def test_where_no_draft_pays_the_fallback_is_kept_and_that_is_said(tmp_path: Path) -> None:
    choice, reached, _ = found(STEEP, tmp_path, 0.01)
    assert choice.candidate == FALLBACK and not choice.faster
    assert "No setting" in finding(choice, 0.01)
    assert "slower than the expert alone" in reached[0].eliminated.values()


@pytest.mark.slow
def test_what_chose_a_setting_does_not_judge_it(tmp_path: Path) -> None:
    choice, reached, samples = found(FLAT, tmp_path, 0.08)
    judged = {prompt for verdict in choice.verdicts for prompt in verdict.standing.speed}
    chose = {
        prompt for halving in reached if not halving.confirmed for each in halving.standings for prompt in each.speed
    }
    assert judged and chose and not judged & chose and len(judged | chose) == 24
    finalists = {verdict.standing.candidate for verdict in choice.verdicts}
    assert {Candidate(s.figures.name, s.k) for s in samples if s.prompt_id in judged and s.k is not None} == finalists


@pytest.mark.slow
def test_every_block_has_the_expert_and_few_arms(tmp_path: Path) -> None:
    _, _, samples = found(FLAT, tmp_path, 0.08)
    blocks: dict[tuple[str, int], list[str]] = {}
    for each in samples:
        blocks.setdefault((each.prompt_id, each.repeat), []).append(each.label)
    assert all(names.count("expert") == 1 and 2 <= len(names) <= 8 for names in blocks.values())
    assert len({tuple(names).index("expert") for names in blocks.values()}) > 1, "shuffled"


@pytest.mark.slow
def test_a_search_that_was_stopped_goes_on_to_the_same_end(tmp_path: Path) -> None:
    """Fixed lengths, because auto learns from what was played before."""
    tried = [FALLBACK, *(Candidate(name, k) for name in RULES for k in (1, 2, 4, 8))]

    steps: list[Progress] = []

    def run(folder: Path, stop_at: int | None) -> tuple[Choice | None, Simulated, list[Sample]]:
        bench = Simulated(FLAT, stop_at=stop_at)
        with SampleFile(folder / "samples.jsonl", resume=True) as file:
            try:
                return Search(bench, tried, 0.08, 1).run(file, steps.append), bench, list(file.samples)
            except Stopped:
                return None, bench, list(file.samples)

    (tmp_path / "whole").mkdir()
    whole, _, all_samples = run(tmp_path / "whole", None)
    stopped, _, before = run(tmp_path, 61)
    assert stopped is None and len(before) == 60
    steps.clear()
    resumed, second, after = run(tmp_path, None)
    assert next(step for step in steps if step.warming).done == 60
    assert max(step.total for step in steps) <= answers(len(tried), 0, 12, 24, 1, BLOCK)
    assert whole is not None and resumed is not None and resumed.candidate == whole.candidate
    assert after[:60] == before and len(second.played) == len(after) - 60
    assert len({each.key for each in after}) == len(after) == len(all_samples)


@pytest.mark.slow
def test_the_count_of_answers_is_never_short(tmp_path: Path) -> None:
    steps: list[Progress] = []
    with SampleFile(tmp_path / "samples.jsonl", resume=False) as file:
        Search(Simulated(FLAT), candidates(RULES, LENGTHS), 0.08, 1).run(file, steps.append)
        assert steps[-1] == Progress(len(file.samples), len(file.samples))
    assert steps[0].warming and all(step.done <= step.total for step in steps)
    assert [step.total for step in steps] == sorted((step.total for step in steps), reverse=True)


def test_a_few_settings_need_no_long_search(tmp_path: Path) -> None:
    reached: list[HalvingRound] = []
    with SampleFile(tmp_path / "samples.jsonl", resume=False) as file:
        Search(Simulated(FLAT), candidates(["exact"], ["auto", 2]), 0.08, 1).run(file, show=reached.append)
    assert [(halving.prompts, halving.confirmed) for halving in reached] == [(2, False), (22, True)]


def test_two_names_of_one_rule_are_one_candidate() -> None:
    found = candidates(["exact", "token", "token:0.5", "token:.50"], ["auto", 2])
    assert [each.label for each in found] == ["exact -k auto", "exact -k 2", "token -k auto", "token -k 2"]


def test_the_finalists_are_the_best_and_what_they_must_beat() -> None:
    lossy = [Candidate(f"token:0.{i}", 2) for i in range(1, 6)]
    plain = Candidate("exact", 2)
    assert pick([*lossy, plain, Candidate("exact", 4), FALLBACK]) == [*lossy[:2], plain, FALLBACK]
    assert pick([FALLBACK, *lossy]) == [FALLBACK, *lossy[:3]]


def test_one_prompt_is_too_few(tmp_path: Path) -> None:
    with SampleFile(tmp_path / "samples.jsonl", resume=False) as file, pytest.raises(UsageError, match="two prompts"):
        search(Simulated(FLAT, prompts=1), file, 0.1)
