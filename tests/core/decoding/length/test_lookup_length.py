"""Lookup length: the longer the match, the longer the draft; and none for a while after losses."""

from speccas.core.decoding.length.acceptance import LookupStatistics
from speccas.core.decoding.length.constants import CONSTANTS
from speccas.core.decoding.length.latency import LatencyModel
from speccas.core.decoding.length.lookup_length import LookupLength
from speccas.core.decoding.length.relative import RecentSpeed, RelativeCosts


def lookup_length(slope: float, always: bool = False) -> LookupLength:
    latency = LatencyModel({n: 1 + slope * (n - 1) for n in range(1, 18)}, step=0.1)
    return LookupLength(LookupStatistics(), RelativeCosts(latency), RecentSpeed(latency), always)


def test_a_longer_match_gives_a_longer_draft_as_far_as_there_is_room() -> None:
    lookup = lookup_length(0.55)
    lengths = [lookup.length(match, 16) for match in range(2, 16)]
    assert lengths == sorted(lengths) and lengths[0] == 0 and 0 < lengths[6] < lengths[-1]
    assert lookup.length(15, 3) == 3 and lookup.length(15, 0) == 0
    assert lookup_length(0.02).length(2, 16) > 0


def test_a_faster_drafter_leaves_less_to_be_looked_up() -> None:
    lookup = lookup_length(0.3)
    assert lookup.length(4, 16) > 0
    lookup.speed.learn(tokens=3, draft_seconds=0.0, verify_seconds=1.0)
    assert lookup.length(4, 16) == 0


def test_always_takes_the_best_length_even_where_none_pays() -> None:
    assert lookup_length(1.0).length(2, 16) == 0
    assert lookup_length(1.0, always=True).length(2, 16) > 0


def test_it_is_left_off_for_a_while_after_it_lost_six_expert_steps() -> None:
    lookup = lookup_length(0.02)
    for _ in range(5):
        lookup.learn(won=-1.2)
    assert lookup.length(9, 16) > 0, "what was lost before is partly forgotten"
    lookup.learn(won=-1.2)
    assert lookup.length(9, 16) == 0
    rounds = 0
    while not lookup.length(9, 16) and rounds < 20:
        lookup.learn(won=0.0)
        rounds += 1
    assert 1 < rounds < 20
    always = lookup_length(0.02, always=True)
    always.learn(won=-10 * CONSTANTS.lookup_loss)
    assert always.length(9, 16) > 0


def test_gains_are_remembered_up_to_what_may_be_lost() -> None:
    lookup = lookup_length(0.02)
    lookup.learn(won=100.0)
    lookup.learn(won=0.1 - 2 * CONSTANTS.lookup_loss)
    assert lookup.length(9, 16) > 0
    lookup.learn(won=-0.2)
    assert lookup.length(9, 16) == 0
