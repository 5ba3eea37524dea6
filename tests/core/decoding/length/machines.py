"""Simulated machines: expert calls and drafter steps whose times come from a table, on a virtual clock."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from speccas.core.decoding.answer import Lexicon, Request
from speccas.core.decoding.arms import parse_arm
from speccas.core.decoding.drafts.second_model import SecondModel
from speccas.core.decoding.length.acceptance import AcceptanceModel
from speccas.core.decoding.length.auto import AutoPolicy
from speccas.core.decoding.length.latency import LatencyModel
from speccas.core.decoding.length.policy import Policy
from speccas.core.decoding.sampling import Sampling
from speccas.core.decoding.table import TableModel, VirtualClock
from speccas.core.record.metrics import Figures, Fold
from tests.core.decoding.toys import Same, play

WORDS = 32
Curve = Callable[[int], float]


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
    drafter = SecondModel(small, Same(), 10**6)
    prompt = tuple(int(word) for word in np.random.default_rng(seed).integers(0, WORDS, 12))
    expert.extend(prompt[:-1], rows=0)
    drafter.observe(prompt)
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
