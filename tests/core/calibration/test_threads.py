"""Which number of threads is taken, of times that are given; and that trying leaves a pair as it was."""

import pytest

from speccas.core.calibration.threads import fastest, tried, worth_trying
from speccas.core.runtime.pair import LoadedPair


def test_what_is_worth_trying() -> None:
    assert worth_trying(16, 8) == [8, 16, 7, 4]
    assert worth_trying(2, 2) == [2, 1]
    assert worth_trying(1, 1) == [1]


def test_another_number_must_be_clearly_faster() -> None:
    assert fastest({8: 1.0, 16: 1.4, 4: 0.8}, 8) == 4
    assert fastest({8: 1.0, 16: 0.98}, 8) == 8, "within noise"
    assert fastest({4: 1.0, 2: 0.9}, 8) == 2, "the default was not tried"
    assert fastest({}, 8) == 8


@pytest.mark.tiny
def test_trying_leaves_threads_caches_and_distributions_as_they_were(tiny: LoadedPair) -> None:
    ids = tiny.expert.tokenize("The sea is", special=False)
    for _ in tiny.prefill(ids):
        pass
    before = tiny.expert.threads, tiny.small.threads, len(tiny.expert), len(tiny.small)
    row = tiny.expert.extend(ids[-1:]).copy()
    tiny.expert.truncate(before[2])
    seconds = tried(tiny, [before[0], before[0] + 1])
    assert seconds.keys() == {before[0], before[0] + 1} and min(seconds.values()) > 0
    assert (tiny.expert.threads, tiny.small.threads, len(tiny.expert), len(tiny.small)) == before
    assert (tiny.expert.extend(ids[-1:]) == row).all()
    tiny.expert.truncate(before[2])
