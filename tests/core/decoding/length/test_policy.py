"""The fixed draft length, and where a rule ends a draft."""

import numpy as np
import pytest

from speccas.core.decoding.arms import parse_arm
from speccas.core.decoding.length.policy import FixedPolicy, ends_draft
from speccas.core.decoding.sampling import Distribution, Sampling

SURE = Distribution(np.array([20, 0, 0, 0], np.float32))
UNSURE = Distribution(np.zeros(4, np.float32))


def test_a_fixed_policy_drafts_k_tokens_where_there_is_room_whatever_the_drafter_thinks() -> None:
    policy = FixedPolicy(3)
    assert policy.k == 3 and policy.begin(0) and policy.takes(UNSURE)
    assert [policy.more(drafted, room=8) for drafted in range(5)] == [True, True, True, False, False]
    assert [policy.more(drafted, room=1) for drafted in range(2)] == [True, False]
    assert policy.lookup_length(match=2, room=8) == 3 and policy.lookup_length(match=16, room=2) == 2
    assert policy.batch_size(needed=4, most=8) == 4


@pytest.mark.parametrize(
    ("rule", "ends"), [("confidence:0.4", True), ("entropy:1.0", True), ("exact", False), ("token:0.3", False)]
)
def test_a_rule_that_reads_q_alone_ends_the_draft_where_it_defers(rule: str, ends: bool) -> None:
    chosen = parse_arm(rule).rule
    assert chosen is not None
    assert ends_draft(chosen, UNSURE, Sampling()) == ends
    assert not ends_draft(chosen, SURE, Sampling())
