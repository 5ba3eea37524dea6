"""Why a call of several tokens is dear: nothing without a measurement, and then what the expert's header explains."""

from dataclasses import replace

import pytest

from speccas.core.calibration.calibrate import Curve
from speccas.core.calibration.dear import DearCall, dear_call, dear_known, dear_of, measure_four
from speccas.core.decoding.length.latency import LatencyModel
from speccas.core.headers.mixture import Mixture
from speccas.core.runtime.llama import devices, repacked_types
from speccas.core.runtime.pair import Pair
from tests.builders.gguf import model_header

pytestmark = pytest.mark.tiny


def curve(four: float, spread: float = 1.0) -> Curve:
    return Curve(LatencyModel({1: 2.0, 4: 2.0 * four}, 0.1), spread)


@pytest.mark.parametrize(
    ("tokens", "cost", "dear"),
    [
        (4, 2.9, True), (8, 4.1, True), (5, 3.6, True),  # Q4_1 and Q4_K_M as measured
        (4, 1.84, False), (8, 3.2, False), (6, 3.1, False), (7, 3.8, False),  # Q4_0 with a Q6_K output
        (3, 3.0, False), (1, 1.0, False),  # so many products of one token each, whatever the file
    ],
)  # fmt: skip
def test_a_call_is_dear_only_where_it_was_measured_so(tiny: Pair, tokens: int, cost: float, dear: bool) -> None:
    assert (dear_call(tiny, tokens, cost) is not None) == dear


def test_the_tensors_are_those_that_this_build_does_not_pack(tiny: Pair) -> None:
    found = dear_of(tiny, curve(2.9))
    assert found is not None and found.tokens == 4 and found.cost == pytest.approx(2.9)
    if devices() or not repacked_types() or "Q4_1" in repacked_types():
        pytest.skip("another processor or build")
    assert found.tensors is not None and found.tensors.types[0] == "Q4_1" and found.mendable
    assert found.tensors.total == 272 and found.tensors.count >= 210


def test_a_disturbed_curve_blames_nothing(tiny: Pair) -> None:
    assert dear_of(tiny, curve(2.9, spread=2.0)) is None and dear_of(tiny, curve(1.5)) is None


def test_a_mixture_is_the_reason_and_no_file_mends_it(tiny: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    if devices() or not repacked_types():
        pytest.skip("another machine or build")
    header = model_header(general__architecture="qwen3moe", qwen3moe__expert_count=128, qwen3moe__expert_used_count=8)
    monkeypatch.setitem(tiny.files, "expert", replace(tiny.files["expert"], header=header))
    found = dear_call(tiny, 4, 3.9)
    assert found == DearCall(4, 3.9, None, Mixture(128, 8)) and not found.mendable


def test_what_auto_has_measured_counts_where_it_saw_a_call_of_four(tiny: Pair) -> None:
    assert dear_known(tiny, None) is None
    assert dear_known(tiny, LatencyModel({1: 1.0, 3: 3.0}, 0.1)) is None, "between two sizes nothing was measured"
    assert dear_known(tiny, LatencyModel({1: 1.0, 4: 1.6}, 0.1)) is None
    found = dear_known(tiny, LatencyModel({1: 1.0, 4: 3.1}, 0.1))
    assert found is not None and (found.tokens, found.cost) == (4, 3.1)


def test_four_is_measured_and_taken_back(tiny: Pair) -> None:
    before = len(tiny.expert), len(tiny.drafter)
    found = measure_four(tiny)
    assert sorted(found.costs.seen) == [1, 4] and found.costs.step > 0 and found.spread >= 1
    assert (len(tiny.expert), len(tiny.drafter)) == before
