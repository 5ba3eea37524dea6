"""`-k auto` on simulated machines: costs come from a table, time from a virtual clock. Knows no real model.

A machine is a curve of expert calls, a drafter's step and how often the two models agree; auto is held against every
fixed k on the same machine and text.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import ArrayLike

from speccas.core.decoding.answer import Lexicon, Request
from speccas.core.decoding.arms import parse_arm, play
from speccas.core.decoding.drafts.second_model import ModelDrafter
from speccas.core.decoding.length.acceptance import BUCKETS, AcceptanceModel
from speccas.core.decoding.length.auto import AutoPolicy
from speccas.core.decoding.length.latency import LatencyModel
from speccas.core.decoding.length.policy import FixedPolicy, Policy
from speccas.core.decoding.sampling import Distribution, Sampling, Shared
from speccas.core.decoding.table import TableModel, VirtualClock
from speccas.core.record.metrics import Figures, Fold

WORDS = 32
Curve = Callable[[int], float]


class Same:
    """The spelling of two models with one vocabulary."""

    @property
    def shared(self) -> Shared | None:
        return None

    def spell(self, token: int) -> tuple[int, ...]:
        return (token,)


@dataclass(frozen=True)
class Machine:
    """Costs in expert steps: `curve(n)` of a call that reads n tokens, `step` of the drafter; `agree` of the models."""

    curve: Curve
    step: float
    agree: float


def steps_of_four(n: int) -> float:
    return {1: 1.0, 2: 1.5, 3: 2.0, 4: 1.6, 5: 2.4, 6: 2.6, 7: 2.9, 8: 2.6}.get(n, 2.6 + 0.2 * (n - 8))


def flat(n: int) -> float:
    return 1 + 0.02 * (n - 1)


def steep(n: int) -> float:
    return 1 + 0.8 * (n - 1)


MACHINES = {
    "flat, agreeing": Machine(flat, 0.08, 0.8),
    "flat, a drafter of half the cost": Machine(flat, 0.5, 0.8),
    "flat, never agreeing": Machine(flat, 0.08, 0.0),
    "steep": Machine(steep, 0.08, 0.8),
    "steep, a drafter of half the cost": Machine(steep, 0.5, 0.5),
    "steps of four": Machine(steps_of_four, 0.08, 0.95),
    "steps of four, half": Machine(steps_of_four, 0.5, 0.95),
    "steps of four, half, seldom agreeing": Machine(steps_of_four, 0.5, 0.3),
}


def noise(seed: int, last: tuple[int, ...]) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(repr((seed, last)).encode()))


def expert_row(seed: int) -> Callable[[tuple[int, ...]], ArrayLike]:
    def row(last: tuple[int, ...]) -> ArrayLike:
        logits = np.zeros(WORDS, dtype=np.float32)
        logits[noise(seed, last).integers(WORDS)] = 8
        return logits

    return row


def drafter_row(seed: int, agree: float) -> Callable[[tuple[int, ...]], ArrayLike]:
    """Right with probability `agree`, and then surer of itself."""

    def row(last: tuple[int, ...]) -> ArrayLike:
        right, own = noise(seed, last), noise(seed + 1, last)
        best = right.integers(WORDS)
        logits = np.zeros(WORDS, dtype=np.float32)
        if own.random() < agree:
            logits[best] = 4 + 4 * own.random()
        else:
            logits[own.integers(WORDS)] = 2.5 + 3 * own.random()
        return logits

    return row


def decode(machine: Machine, drafting: Policy, seed: int, curve: Curve | None = None, n: int = 256) -> Figures:
    clock = VirtualClock()
    expert = TableModel(expert_row(seed), order=3, cost=curve or machine.curve, clock=clock)
    small = TableModel(
        drafter_row(seed, machine.agree),
        order=3,
        max_rows=1,
        cost=lambda n: machine.step * (1 + 0.15 * (n - 1)),
        clock=clock,
    )
    drafter = ModelDrafter(small, Same(), 10**6)
    prompt = tuple(int(word) for word in np.random.default_rng(seed).integers(0, WORDS, 12))
    expert.extend(prompt[:-1], rows=0)
    drafter.follow(prompt)
    for _ in drafter.catch_up():
        pass
    fold = Fold()
    request = Request(prompt, Sampling(), n, 10**6)
    lexicon = Lexicon(lambda token: b"x", lambda token: False)
    for event in play(parse_arm("exact"), drafting, expert, drafter, request, lexicon, clock):
        fold(event)
    return fold.figures()


def auto(machine: Machine) -> AutoPolicy:
    """As at start-up: one token, four tokens and a drafter's step were measured, nothing is known of the text."""
    latency = LatencyModel({1: machine.curve(1), 4: machine.curve(4)}, machine.step, 0.15 * machine.step)
    return AutoPolicy(latency=latency, acceptance=AcceptanceModel())


def speed(machine: Machine, make: Callable[[], Policy], seeds: range = range(3), n: int = 256) -> float:
    runs = [decode(machine, make(), seed, n=n) for seed in seeds]
    return sum(run.tokens for run in runs) / sum(run.seconds for run in runs)


@pytest.mark.parametrize("name", MACHINES)
def test_auto_is_near_the_best_fixed_length_and_never_much_slower_than_none(name: str) -> None:
    machine = MACHINES[name]
    best = max(1 / machine.curve(1), *(speed(machine, lambda k=k: FixedPolicy(k)) for k in range(1, 9)))  # type: ignore[misc]
    assert speed(machine, lambda: auto(machine)) >= 0.97 * best


@pytest.mark.parametrize("name", ["steep, a drafter of half the cost", "steps of four, half, seldom agreeing"])
def test_auto_turns_off_where_no_length_pays(name: str) -> None:
    figures = decode(MACHINES[name], auto(MACHINES[name]), seed=1)
    assert figures.mode == "mixed" and figures.rounds_off > 0.9 * figures.expert_calls
    assert figures.alone == figures.rounds_off


def test_what_is_known_not_to_pay_is_not_tried_again_at_once() -> None:
    machine = MACHINES["steep, a drafter of half the cost"]
    first = auto(machine)
    assert decode(machine, first, seed=1, n=64).rounds_off < 64
    second = AutoPolicy(latency=first.latency, acceptance=first.acceptance, idle_seconds=first.idle_seconds)
    assert decode(machine, second, seed=1, n=64).rounds_off == 64


def test_auto_stays_on_where_drafting_pays() -> None:
    """But for one call of one token: what it is judged against is looked at once."""
    machine = MACHINES["flat, agreeing"]
    assert decode(machine, auto(machine), seed=1).rounds_off <= 1


def test_auto_follows_costs_that_change_half_way() -> None:
    """The machine turns from flat to steep, as when another program takes the cores: drafting must stop."""
    machine = Machine(flat, 0.3, 0.6)
    calls = [0]

    def turning(n: int) -> float:
        calls[0] += 1
        return flat(n) if calls[0] < 60 else 3 * steep(n)

    figures = decode(machine, auto(machine), seed=2, curve=turning, n=400)
    calls[0] = 0
    alone = sum(turning(1) for _ in range(figures.tokens))
    assert figures.seconds <= 1.03 * alone


def test_the_answer_is_the_experts_whatever_auto_decides() -> None:
    machine = MACHINES["steps of four"]
    assert decode(machine, auto(machine), seed=3).text == decode(machine, FixedPolicy(4), seed=3).text
    assert decode(machine, auto(machine), seed=3).kept == 0


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


def test_chances_learn_fade_and_survive_a_file() -> None:
    chances = AcceptanceModel()
    sure, unsure = chances.bucket(0.97), chances.bucket(0.15)
    for _ in range(40):
        chances.learn([sure, unsure, sure], accepted=1)
    assert chances.chance(sure) > 0.9 and chances.chance(unsure) < 0.15
    assert chances.faded(5).judged[sure] == pytest.approx(5) and chances.faded(5).chance(sure) > 0.7
    assert AcceptanceModel.from_json(chances.as_json()) == chances
    with pytest.raises(ValueError):
        AcceptanceModel.from_json({**chances.as_json(), "judged": [0.0] * (BUCKETS + 3)})


@pytest.mark.parametrize("name", ["steep, a drafter of half the cost", "steep", "steps of four, half, seldom agreeing"])
@pytest.mark.parametrize("at", [30, 90, 200])
def test_a_moment_of_trouble_is_forgotten(name: str, at: int) -> None:
    """Eight calls take six times as long. What is then believed of their size must not keep auto from the cheap calls,
    neither by padding nor by drafts that do not pay: beyond the trouble itself it loses little."""
    machine = MACHINES[name]
    sizes: list[int] = []

    def troubled(n: int) -> float:
        sizes.append(n)
        return machine.curve(n) * (6 if at <= len(sizes) < at + 8 else 1)

    calm = decode(machine, auto(machine), seed=1, n=600)
    figures = decode(machine, auto(machine), seed=1, curve=troubled, n=600)
    trouble = sum(5 * machine.curve(n) for n in sizes[at - 1 : at + 7])
    assert figures.seconds - trouble <= 1.06 * calm.seconds


def test_reading_what_it_missed_does_not_count_as_drafting() -> None:
    """Behind 200 unread tokens the first draft takes long; its steps are not believed to be dear because of that."""
    latency = LatencyModel({1: 1.0, 16: 1.2}, 0.1, 0.03)
    drafting = AutoPolicy(latency=latency, acceptance=AcceptanceModel(), unread=200)
    assert drafting.begin(8) and drafting.takes(Distribution(np.zeros(4, np.float32)))
    drafting.learn(1, 2, 2, 200 * 0.05 + 0.1, 1.0)
    assert latency.step == 0.1 and 0.03 < latency.catch_up < 0.05
    assert drafting.begin(8) and drafting.takes(Distribution(np.zeros(4, np.float32)))
    drafting.learn(1, 2, 2, 0.2, 1.0)
    assert latency.step == pytest.approx(0.125)
