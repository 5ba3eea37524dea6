"""A rule as a stranger adds it: one class and one line in RULES; it then parses, runs and follows its pi."""

from collections import Counter
from dataclasses import dataclass

import pytest

from speccas.core.decoding.arms import parse_arm
from speccas.core.decoding.deferral import Dial, Position, PositionRule
from speccas.core.decoding.rules import RULES
from speccas.core.decoding.sampling import Sampling
from speccas.core.decoding.table import TableModel
from tests.core.decoding.toys import Toy, joint, near, p_value, request, table


@dataclass(frozen=True, slots=True)
class Gap(PositionRule):
    """Keep the draft where the drafter's two highest logits lie apart."""

    alpha: float
    formula = "gap of q >= 3 - alpha"
    paper = "a test"
    ends = "0: keeps a gap of 3; 3: keeps every draft"
    dial = Dial(2.0, high=3.0)
    reads_q = True

    def sides(self, v: int, at: Position) -> tuple[float, float]:
        return at.q1.gap, 3 - self.alpha


def test_a_new_rule_runs_and_follows_its_pi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, "gap", Gap)
    arm = parse_arm("gap:2.2")
    assert arm.rule == Gap(2.2) and not arm.lossless()
    large = table(3, 3, 1)
    small = near(large, 4)
    toy = Toy(TableModel(large), TableModel(small), (b"a", b"b", b"c"))
    found = Counter(
        tuple(toy.run("gap:2.2", request((0,), 1.0, 3, seed, ignore_eos=True), k=2).ids) for seed in range(3000)
    )
    assert p_value(found, joint(large, small, (0,), 3, arm.rule.pi, Sampling(1.0))) > 1e-3
    assert p_value(found, joint(large, small, (0,), 3, Gap(0.0).pi, Sampling(1.0))) < 1e-6, "it matters what pi is"
