"""The automatic policy on simulated machines, held against every fixed draft length on the same machine and text."""

import numpy as np
import pytest

from speccas.core.decoding.length.acceptance import AcceptanceModel
from speccas.core.decoding.length.auto import AutoPolicy
from speccas.core.decoding.length.latency import LatencyModel
from speccas.core.decoding.length.policy import FixedPolicy
from speccas.core.decoding.sampling import Distribution
from tests.builders.tiers import few_fast
from tests.core.decoding.length.machines import MACHINES, Machine, auto, decode, flat, speed, steep

SURE = Distribution(np.array([20, 0, 0, 0], np.float32))


@pytest.mark.parametrize("name", few_fast(MACHINES, 2))
def test_auto_is_near_the_best_fixed_length_and_never_much_slower_than_none(name: str) -> None:
    machine = MACHINES[name]
    best = max(1 / machine.curve(1), *(speed(machine, lambda k=k: FixedPolicy(k)) for k in range(1, 9)))  # type: ignore[misc]
    assert speed(machine, lambda: auto(machine)) >= 0.97 * best


@pytest.mark.parametrize("name", ["steep, a drafter of half the cost", "steps of four, half, seldom agreeing"])
def test_auto_turns_off_where_no_length_pays(name: str) -> None:
    figures = decode(MACHINES[name], auto(MACHINES[name]), seed=1)
    assert figures.mode in ("mixed", "off") and figures.rounds_off > 0.9 * figures.expert_calls
    assert figures.alone == figures.rounds_off


def test_where_even_certainty_would_not_pay_nothing_is_tried() -> None:
    machine = MACHINES["steep, a drafter of half the cost"]
    assert decode(machine, auto(machine), seed=1, n=64).rounds_off == 64


def test_what_is_known_not_to_pay_is_hardly_tried_again() -> None:
    machine = MACHINES["steps of four, half, seldom agreeing"]
    first = auto(machine)
    decode(machine, first, seed=1, n=64)
    second = AutoPolicy(latency=first.latency, acceptance=first.acceptance.faded(150), balance=0.0)
    assert decode(machine, second, seed=1, n=64).rounds_off >= 60


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
    assert drafting.begin(8) and drafting.more(0, 8) and drafting.takes(SURE)
    drafting.learn(1, 2, 2, 200 * 0.05 + 0.1, 1.0)
    assert latency.step == 0.1 and 0.03 < latency.catch_up < 0.05
    assert drafting.begin(8) and drafting.more(0, 8) and drafting.takes(SURE)
    drafting.learn(1, 2, 2, 0.2, 1.0)
    assert latency.step == pytest.approx(0.11625), "but for the token behind a draft that stood"
