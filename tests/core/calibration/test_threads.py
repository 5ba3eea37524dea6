"""Which number of threads is taken, of times that are given; and that trying leaves a pair as it was."""

import pytest

from speccas.core.calibration.threads import fastest, tried, worth_trying
from speccas.core.runtime.pair import Pair
from tests.builders.loaded import prefill, row, tokens


def test_what_is_worth_trying() -> None:
    assert worth_trying(16, 8) == [8, 16, 7, 4]
    assert worth_trying(2, 2) == [2, 1]
    assert worth_trying(1, 1) == [1]


def test_another_number_must_be_clearly_faster() -> None:
    assert fastest({8: 1.0, 16: 1.4, 4: 0.8}, 8) == 4
    assert fastest({8: 1.0, 16: 0.98}, 8) == 8, "within noise"
    assert fastest({4: 1.0, 2: 0.9}, 8) == 2, "the default was not tried"
    assert fastest({}, 8) == 8


@pytest.mark.slow
@pytest.mark.tiny
def test_trying_leaves_threads_caches_and_distributions_as_they_were(tiny: Pair) -> None:
    ids = tokens(tiny, "The sea is")
    prefill(tiny, ids)
    before = tiny.expert.threads, tiny.drafter.threads, len(tiny.expert), len(tiny.drafter)
    before_row = row(tiny.expert, ids[-1:])
    tiny.expert.truncate(before[2])
    seconds = tried(tiny, [before[0], before[0] + 1])
    assert seconds.keys() == {before[0], before[0] + 1} and min(seconds.values()) > 0
    assert (tiny.expert.threads, tiny.drafter.threads, len(tiny.expert), len(tiny.drafter)) == before
    assert (row(tiny.expert, ids[-1:]) == before_row).all()
    tiny.expert.truncate(before[2])
