"""The words for dear calls, and what is typed about them for a pair."""

from dataclasses import replace

import pytest

from speccas.cli.advice import slower_text
from speccas.cli.better_files import (
    FilesAdvice,
    because,
    better_after,
    better_than,
    better_when_off,
    files_advice,
    scaling_line,
)
from speccas.core.calibration.dear import DearCall
from speccas.core.decoding.length.latency import LatencyModel
from speccas.core.files.profiles import Profile
from speccas.core.files.source import Source
from speccas.core.headers.mixture import Mixture
from speccas.core.headers.packing import UnpackedTensors
from speccas.core.record.comparison import compare_arms
from speccas.core.runtime.llama import devices, repacked_types
from speccas.core.runtime.pair import Pair
from speccas.core.tune.advice import Remedy, SlowerAdvice
from tests.core.record.test_comparison import arm, expert

Q6_K = DearCall(4, 3.07, UnpackedTensors(("Q6_K",), 29, 339, 0.361), None)
SENTENCE = (
    "A call of four costs 3.1 tokens because 29 of 339 tensors are Q6_K (36% of what a token reads): `speccas optimize "
    "tiny-model` makes files that it reads cheaper"
)


def test_the_reason_is_measured_and_named() -> None:
    assert because(Q6_K) == " because 29 of 339 tensors are Q6_K (36% of what a token reads)"
    three = replace(Q6_K, tensors=UnpackedTensors(("Q5_0", "Q8_0", "Q6_K"), 157, 291, 0.9))
    assert "are Q5_0, Q8_0 or Q6_K (" in because(three)
    assert because(DearCall(4, 3.9, None, Mixture(128, 8))) == (
        " because the expert is a mixture of 128 experts, 8 a token, and each token reads its own"
    )
    assert because(DearCall(4, 3.9, None, None)) == ""


@pytest.mark.tiny
def test_the_command_is_that_of_the_pair(tiny: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    found = files_advice(tiny, Q6_K)
    assert found is not None and found.sentence == SENTENCE
    files = Profile("x", Source(path="a b.gguf"), Source(hf="o/r", quant="Q4_K_M"))
    monkeypatch.setattr(tiny, "profile", files)
    found = files_advice(tiny, Q6_K)
    assert found is not None
    assert found.command == "speccas optimize --drafter 'a b.gguf' --expert hf:o/r:Q4_K_M --save-as NAME"


@pytest.mark.tiny
def test_no_command_where_it_would_not_help(tiny: Pair) -> None:
    """A mixture of experts, a GPU, a file that is packed whole."""
    assert files_advice(tiny, None) is None
    for dear in (DearCall(4, 3.9, None, Mixture(128, 8)), DearCall(4, 3.9, None, None)):
        found = files_advice(tiny, dear)
        assert found is not None and (found.command, found.hint) == ("", "")
        assert found.sentence == found.reason.replace("a call", "A call", 1)


def test_a_curve_names_the_file_its_limit_and_its_reason() -> None:
    better = FilesAdvice(Q6_K, because(Q6_K), "")
    poor = LatencyModel({1: 1.0, 4: 3.1, 8: 5.1}, 0.1)
    line = scaling_line(poor, "a.gguf", "Q4_K_M", better)
    assert line.startswith("a.gguf (Q4_K_M) has poor batch scaling: 8 tokens")
    assert line.endswith(
        "; a call of four costs 3.1 tokens because 29 of 339 tensors are Q6_K (36% of what a token reads)"
    )
    fair = LatencyModel({1: 1.0, 4: 3.1, 8: 3.9}, 0.1)  # as Q8_0, whose calls of eight are cheap
    assert scaling_line(fair, "a.gguf", "Q8_0", better).startswith("a.gguf (Q8_0): a call of four costs 3.1 tokens bec")
    assert scaling_line(fair, "a.gguf", "Q8_0", None) == ""


def test_the_warning_says_why() -> None:
    advice = SlowerAdvice(4, (("exact", 0.4),), Remedy.AUTO)
    told = slower_text(advice, FilesAdvice(Q6_K, because(Q6_K), "speccas optimize tiny-model"))
    assert told == f"{slower_text(advice)}. {SENTENCE}"


@pytest.mark.tiny
def test_drafts_that_were_left_off_are_explained_where_that_can_be_changed(
    tiny: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    if devices() or not repacked_types() or "Q4_1" in repacked_types():
        pytest.skip("another processor or build")
    dear, off = LatencyModel({1: 1.0, 4: 3.1}, 0.1), arm("exact", 10, rounds_off=60)
    found = better_when_off(tiny, off, dear)
    assert found is not None and found.command == "speccas optimize tiny-model"
    assert better_when_off(tiny, replace(off, rounds_off=40), dear) is None, "mostly drafted"
    assert better_when_off(tiny, off, LatencyModel({1: 1.0, 4: 1.6}, 0.1)) is None, "they were left off for the drafter"
    monkeypatch.setattr(tiny, "profile", replace(tiny.profile, optimized={"of": "tiny"}))
    assert better_when_off(tiny, off, dear) is None, "made here already"


@pytest.mark.tiny
def test_a_comparison_that_nothing_won_and_a_slow_answer_are_looked_into(tiny: Pair) -> None:
    """The mean call of five at 2.6 tokens is dear for no packed file, at 3.6 it is."""
    if devices() or not repacked_types() or "Q4_1" in repacked_types():
        pytest.skip("another processor or build")
    assert better_than(tiny, compare_arms([expert(), arm("exact", 7, calls=55)], 1.0)) is None
    slow = arm("exact", 7, calls=55, verify_seconds=20.0)
    found = better_than(tiny, compare_arms([expert(), slow], 1.0))
    assert found is not None and found.dear.tokens == 5 and "tensors are Q4_1" in found.because
    assert better_than(tiny, compare_arms([expert(), arm("exact", 13, verify_seconds=20.0)], 1.0)) is None, "it won"
    after = better_after(tiny, replace(slow, speedup=0.7, tokens_per_second=7.0))
    assert after is not None and after.because == found.because
    assert better_after(tiny, replace(slow, speedup=None)) is None
