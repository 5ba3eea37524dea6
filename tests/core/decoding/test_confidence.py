"""A temperature for the drafter's confidence: rules read q at it, drafts are drawn as ever, pi is what they promise.

Knows tables; no text.
"""

import numpy as np
import pytest

from speccas.core.decoding.answer import Request
from speccas.core.decoding.arms import parse_arm
from speccas.core.decoding.baselines import sequential
from speccas.core.decoding.deferral import Position, keeps
from speccas.core.decoding.drafts.stepwise import proposal
from speccas.core.decoding.events import Judged
from speccas.core.decoding.length.policy import ends_draft
from speccas.core.decoding.penalty import NO_PENALTY
from speccas.core.decoding.rules import CostBenefit
from speccas.core.decoding.sampling import Sampling, Shared, calibrated, from_probabilities
from speccas.core.decoding.verify import VERIFIERS
from tests.core.decoding.test_distribution import PROMPT, promised, rule, toy, written
from tests.core.decoding.toys import p_value

Q, P = (0.7, 0.2, 0.1), (0.1, 0.6, 0.3)
FLAT, PLAIN = Sampling(1.0, confidence=2.0), Sampling(1.0)
READS_Q = ("confidence:0.4", "comparative:-0.1", "cost-benefit:0.3", "token-q:0.2", "entropy:0.8", "bild:1")


def position(sampling: Sampling) -> Position:
    return Position(from_probabilities(Q), from_probabilities(P), sampling)


def test_rules_read_q_at_it_and_tests_do_not() -> None:
    flat, plain = position(FLAT), position(PLAIN)
    roots = np.sqrt(Q)
    assert flat.q1.all() == pytest.approx(roots / roots.sum(), abs=1e-6)
    assert flat.q == pytest.approx(plain.q) and flat.said.max == plain.q1.max
    assert keeps(rule("confidence:0.4"), 0, plain) and not keeps(rule("confidence:0.4"), 0, flat)
    assert flat.total_variation == plain.total_variation


def test_what_is_not_shared_keeps_its_part() -> None:
    """A tenth of the drafter's probability is on a token that the expert lacks."""
    row = np.log(np.array([0.6, 0.1, 0.3], dtype=np.float32))
    shared = Shared(4, 2, np.array([1, 3], dtype=np.int32), np.array([0, 2], dtype=np.int32))
    q1 = proposal(row, shared, NO_PENALTY, ()).q1
    flat = calibrated(q1, 2.0)
    assert float(flat.all().sum()) == pytest.approx(0.9, abs=1e-6)
    assert flat.prob(1) / flat.prob(3) == pytest.approx(np.sqrt(2), abs=1e-5)
    assert calibrated(q1, 1.0) is q1


def test_what_is_not_from_the_drafter_stays() -> None:
    """A draft that was looked up is a point mass, and where nothing was drafted q stands for p."""
    at = Position(from_probabilities(P), from_probabilities(P), FLAT, asked=False)
    assert at.q1 is at.said


def test_a_draft_ends_where_the_rule_will_defer() -> None:
    q1 = from_probabilities(Q)
    assert [ends_draft(rule("confidence:0.4"), q1, each) for each in (PLAIN, FLAT)] == [False, True]


@pytest.mark.parametrize("test", VERIFIERS)
@pytest.mark.parametrize("name", READS_Q)
def test_output_follows_the_rule_that_reads_it(name: str, test: str) -> None:
    if test == "block" and not rule(name).pi_of_prefix:
        pytest.skip("not judged by blocks")
    sampling = Sampling(0.7, test=test, confidence=2.5)
    assert p_value(written(name, sampling, 1_500), promised(rule(name).pi, sampling)) > 1e-4


def test_the_promise_is_another_one() -> None:
    """Else the test above could not tell whether it is read."""
    for name in READS_Q:
        flat, plain = (promised(rule(name).pi, Sampling(0.7, confidence=each)) for each in (2.5, 1.0))
        assert sum(abs(flat[each] - plain[each]) for each in flat) / 2 > 0.02, name


def test_the_sequential_cascade_reads_it_too() -> None:
    shares = []
    for sampling in (Sampling(0.0), Sampling(0.0, confidence=8.0)):
        pair, arm = toy(), parse_arm("token-cascade:0.5")
        events = sequential(arm, pair.expert, pair.drafter, Request(PROMPT, sampling, 12), pair.lexicon, pair.clock)
        shares.append(sum(each.expert_calls for each in events if isinstance(each, Judged)))
    assert shares[0] < shares[1] == 12  # flat over five words, no word has half of q


def test_cost_benefit_below_minus_1_is_lossless_only_as_drawn() -> None:
    below = CostBenefit(-1.5)
    assert below.lossless(PLAIN) and not below.lossless(FLAT)
    assert below.lossless(Sampling(0.0, confidence=2.0)) and CostBenefit(float("-inf")).lossless(FLAT)
    near = from_probabilities((0.5, 0.3, 0.2)), from_probabilities((0.45, 0.33, 0.22))
    assert keeps(CostBenefit(-1.01), 0, Position(*near, Sampling(1.0, confidence=0.2)))  # sure, and TV is small
    assert not keeps(CostBenefit(-1.01), 0, Position(*near, PLAIN))
