"""What a curve allows at best: bounds that no acceptance can beat, and the acceptance that pays."""

import pytest

from speccas.core.calibration.ceiling import as_json, best_of, ceiling, needed, poor_scaling
from speccas.core.decoding.length.latency import LatencyModel

# Design section 9, relative to one token.
Q4_1 = LatencyModel({1: 1.0, 2: 1.7, 4: 2.8, 8: 5.1}, 0.15)
Q8_0 = LatencyModel({1: 1.0, 2: 1.4, 3: 1.6, 4: 1.9, 6: 2.8, 8: 3.2, 16: 6.0}, 0.1)


def test_the_most_that_a_call_can_give() -> None:
    assert ceiling(Q4_1).times == pytest.approx(8 / 5.1) and ceiling(Q4_1).rows == 8 and ceiling(Q4_1).poor
    assert ceiling(Q8_0).times == pytest.approx(2.5) and not ceiling(Q8_0).poor
    assert ceiling(LatencyModel({1: 2.0, 8: 100.0}, 0.1)).rows == 1


def test_a_file_of_poor_batch_scaling_is_named() -> None:
    told = poor_scaling(Q4_1, "a.gguf", "Q4_1")
    assert told is not None and "1.57 times" in told
    assert told.startswith("a.gguf (Q4_1) has poor batch scaling: 8 tokens")
    assert poor_scaling(Q8_0, "a.gguf", "Q8_0") is None


def test_the_chance_that_pays_makes_a_round_as_fast_as_the_expert() -> None:
    for k in (1, 3, 7):
        chance = needed(Q8_0, k)
        assert chance is not None
        tokens = sum(chance**i for i in range(k + 1))
        assert tokens == pytest.approx((k * Q8_0.step + Q8_0.verify(k + 1)) / Q8_0.verify(1), rel=1e-6)
    assert (
        needed(LatencyModel({1: 1.0, 4: 4.0}, 0.5), 3) is None and best_of(LatencyModel({1: 1.0, 4: 4.0}, 0.5), 3) < 1
    )
    assert best_of(Q8_0, 3) == pytest.approx(4 / (0.3 + 1.9))


def test_the_document() -> None:
    found = as_json(LatencyModel({1: 0.01, 4: 0.02}, 0.001))
    assert found["relative"] == {"1": 1.0, "4": 2.0} and list(found["needed"]) == [str(k) for k in range(1, 9)]
    assert found["ceiling"] == {"times": 2.4, "rows": 8, "bad": False}, "on the line through what was measured"
