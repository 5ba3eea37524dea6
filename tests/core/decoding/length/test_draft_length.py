"""Draft length: position by position, as far as some number of further tokens pays."""

import numpy as np

from speccas.core.decoding.length.acceptance import AcceptanceModel
from speccas.core.decoding.length.draft_length import DraftLength
from speccas.core.decoding.length.latency import LatencyModel
from speccas.core.decoding.length.relative import RecentSpeed, RelativeCosts
from speccas.core.decoding.sampling import Distribution

SURE = Distribution(np.array([20, 0, 0, 0], np.float32))
UNSURE = Distribution(np.zeros(4, np.float32))


def draft_length(seen: dict[int, float], step: float) -> DraftLength:
    latency = LatencyModel(seen, step, prefill_token=0.1)
    return DraftLength(AcceptanceModel(), RelativeCosts(latency), RecentSpeed(latency))


def drafted(length: DraftLength, room: int, *rows: Distribution) -> int:
    """How many tokens it drafts where the drafter's rows are these."""
    length.restart()
    while length.more(len(length.buckets), room) and length.takes(rows[len(length.buckets)]):
        pass
    return len(length.buckets)


def test_it_drafts_on_while_the_drafter_is_sure() -> None:
    length = draft_length({1: 1.0, 4: 1.3}, step=0.1)
    assert length.shortfall_at_start(16) < 0
    assert drafted(length, 16, *[SURE] * 16) > 8
    assert drafted(length, 3, *[SURE] * 16) == 3
    assert drafted(length, 16, SURE, SURE, *[UNSURE] * 14) < 8


def test_it_looks_further_than_one_token() -> None:
    """Two tokens in a call cost as much as one after the other, and four hardly more."""
    assert draft_length({1: 1.0, 2: 2.0, 3: 2.1, 4: 2.2}, step=0.1).pays(room=3)
    assert not draft_length({1: 1.0, 2: 2.0, 3: 2.1, 4: 2.2}, step=0.1).pays(room=1)
    assert not draft_length({1: 1.0, 2: 2.0, 3: 3.0, 4: 4.0}, step=0.1).pays(room=3)


def test_a_token_whose_step_is_spent_is_left_where_reading_it_does_not_pay() -> None:
    length = draft_length({1: 1.0, 2: 1.1, 3: 1.8, 4: 2.5}, step=0.05)
    assert drafted(length, 2, SURE, SURE) == 2
    assert drafted(length, 2, SURE, UNSURE) == 1
    steep = draft_length({1: 1.0, 4: 4.0}, step=0.1)
    assert drafted(steep, 2, UNSURE, UNSURE) == 0
    rising = draft_length({1: 1.0, 2: 1.5, 3: 2.0, 4: 2.5}, step=0.05)
    assert drafted(rising, 2, UNSURE, UNSURE) == 0 and rising.asked == 1, "nor is the first one"


def test_what_was_decided_for_a_round_with_full_room_holds_while_the_costs_are_kept_and_nothing_is_judged() -> None:
    length = draft_length({1: 1.0, 4: 1.3}, step=0.1)
    before = length.shortfall_at_start(16)
    assert before < 0 and length.shortfall_at_start(15) < 0
    length.costs.latency.step = 10.0
    assert length.shortfall_at_start(16) == before and length.shortfall_at_start(15) > 0
    length.costs.learn(batch=4)
    assert length.shortfall_at_start(16) > 0
    after = length.shortfall_at_start(16)
    length.acceptance.learn([1, 1], accepted=0)
    assert length.shortfall_at_start(16) > after


def test_hope_sees_a_better_text() -> None:
    length = draft_length({1: 1.0, 4: 1.6, 8: 3.0}, step=0.4)
    for _ in range(2):
        length.acceptance.learn([6], accepted=0)
    assert length.shortfall_at_start(16) > 0 > length.shortfall_at_start(16, optimism=3.0)
    dear = draft_length({1: 1.0, 4: 4.0, 16: 16.0}, step=0.44)
    dear.costs.latency.prefill_token = 1.0
    assert dear.shortfall_at_start(16, optimism=3.0) > 0, "where even certainty would not pay there is no hope"
