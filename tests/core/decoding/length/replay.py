"""Recorded answers played on machines with measured curves: what a policy's decisions cost, on no clock at all.

`recordings.json` holds what two drafters said along their experts' own greedy answers (scripts/recordings.py): max q at
each token in hundredths, negative where the drafter's best token was not the expert's.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from speccas.core.decoding.length.acceptance import AcceptanceModel
from speccas.core.decoding.length.auto import AutoPolicy
from speccas.core.decoding.length.constants import CONSTANTS
from speccas.core.decoding.length.latency import LatencyModel
from speccas.core.decoding.length.policy import FixedPolicy, Policy
from speccas.core.decoding.sampling import Distribution

Recordings = dict[str, list[tuple[str, list[int]]]]
FIXED = (1, 2, 3, 4, 7)


@dataclass(frozen=True)
class MeasuredMachine:
    """Milliseconds: `calls` of the expert by tokens, those between by fours and single ones; `step` of the drafter."""

    pair: str
    calls: dict[int, float]
    step: float

    def call(self, n: int) -> float:
        if n in self.calls:
            return self.calls[n]
        whole, rest = n // 4 * 4, n % 4
        if rest:
            return self.call(whole) + self.calls[rest]
        low, high = (
            pick(each for each in self.calls if (each < n) == below) for pick, below in ((max, True), (min, False))
        )
        return self.calls[low] + (self.calls[high] - self.calls[low]) * (n - low) / (high - low)


PACKED = {1: 22.0, 2: 37.0, 3: 53.0, 4: 35.0, 5: 53.0, 6: 68.0, 8: 65.0, 12: 94.0, 16: 95.0, 20: 125.0}
MIXED = {1: 25.0, 2: 46.0, 3: 60.0, 4: 73.0, 5: 91.0, 6: 105.0, 7: 114.0, 8: 122.0, 12: 152.0, 16: 143.0, 20: 190.0}
SMALL = {1: 5.9, 2: 12.0, 3: 15.0, 4: 17.0, 5: 22.0, 6: 24.0, 7: 25.0, 8: 26.0, 12: 36.0, 16: 44.0, 20: 55.0}
MEASURED = {
    "Q4_0": MeasuredMachine("qwen", PACKED, 8.4),
    "Q4_0, trimmed": MeasuredMachine("qwen", PACKED, 7.5),
    "Q4_K_M": MeasuredMachine("qwen", MIXED, 11),
    "tiny": MeasuredMachine("tiny", SMALL, 1.03),
}
"""Two cores with AVX-512: the curves of docs/optimize.md."""


@cache
def recordings() -> Recordings:
    found: Recordings = json.loads(Path(__file__).with_name("recordings.json").read_text())
    return found


@cache
def row(said: int) -> Distribution:
    """A distribution whose max is so many hundredths."""
    share = min(abs(said), 99) / 100
    return Distribution(np.log(np.array([share, *[(1 - share) / 100] * 100], dtype=np.float32)))


def played(machine: MeasuredMachine, said: Sequence[int], policy: Policy | None) -> float:
    """Milliseconds of an answer; without a policy the expert writes it alone."""
    spent, at, unread = 0.0, 0, 0
    while at < len(said):
        room = min(len(said) - at - 1, CONSTANTS.longest_draft)
        drafted: list[int] = []
        draft = 0.0
        if policy is not None and policy.begin(room):
            draft, asked = unread * 0.5 * machine.step, 0
            while policy.more(len(drafted), room):
                asked += 1
                draft += machine.step
                if not policy.takes(row(said[at + len(drafted)])):
                    break
                drafted.append(said[at + len(drafted)])
            unread = 0 if asked else unread
        accepted = next((i for i, each in enumerate(drafted) if each < 0), len(drafted))
        batch = 1 if policy is None else policy.batch_size(len(drafted) + 1, CONSTANTS.longest_draft + 1)
        call = machine.call(batch)
        spent += draft + call
        at += accepted + 1
        if not draft:
            unread += accepted + 1
        elif drafted and accepted == len(drafted):
            unread = 1
        if policy is not None:
            policy.learn(accepted, accepted + 1, batch, draft / 1e3, call / 1e3)
    if policy is not None:
        policy.end()
    return spent


def latency(machine: MeasuredMachine, sizes: Sequence[int]) -> LatencyModel:
    """What was measured of a machine before the answer."""
    seen = {n: machine.call(n) / 1e3 for n in sizes}
    return LatencyModel(seen, machine.step / 1e3, CONSTANTS.catch_up_share * machine.step / 1e3)


def fixed(k: int) -> Callable[[], Policy]:
    return lambda: FixedPolicy(k)


def arms(machine: MeasuredMachine, texts: Sequence[Sequence[int]]) -> dict[int, float]:
    """Milliseconds by draft length, 0 off."""
    off = {0: sum(played(machine, text, None) for text in texts)}
    return off | {k: sum(played(machine, text, FixedPolicy(k)) for text in texts) for k in FIXED}


def texts_of(machine: MeasuredMachine, tokens: int) -> dict[str, list[list[int]]]:
    """By group, cut to so many tokens."""
    found: dict[str, list[list[int]]] = {}
    for group, said in recordings()[machine.pair]:
        found.setdefault(group, []).append(said[:tokens])
    return found


def fresh(machine: MeasuredMachine, text: Sequence[int]) -> float:
    """The first answer of a pair: two sizes are measured, nothing is known of its acceptance."""
    return played(machine, text, AutoPolicy(latency=latency(machine, (1, 4)), acceptance=AcceptanceModel()))


def warm(machine: MeasuredMachine, tokens: int) -> dict[str, float]:
    """Milliseconds by group where all answers come in turn, behind a round of them all that is not counted."""
    known, acceptance, balance = latency(machine, (1, 4)), AcceptanceModel(), None
    groups = texts_of(machine, tokens)
    spent = dict.fromkeys(groups, 0.0)
    for turn in range(6):
        for group, texts in groups.items():
            acceptance = acceptance.faded(CONSTANTS.remembered_drafts)
            policy = AutoPolicy(latency=known, acceptance=acceptance, balance=balance)
            spent[group] += played(machine, texts[turn % 3], policy) * (turn >= 3)
            balance = policy.balance
    return spent
