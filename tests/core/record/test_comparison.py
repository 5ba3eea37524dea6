"""Speed-ups against an expert that is measured twice, and what a comparison came to: figures made by hand."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import pytest

from speccas.core.decoding.events import Judged, Status, Token
from speccas.core.record.comparison import Comparison, compare_arms, digits, drift_of, most_possible
from speccas.core.record.metrics import Figures
from speccas.core.record.verdict import ComparisonOutcome, verdict_of

A_TOKEN = (Token(1, b"t", "t", Status.EXPERT),)


def arm(name: str, speed: float, calls: int = 50, tokens: int = 100, **more: Any) -> Figures:
    """An arm that wrote 100 tokens, by default in half as many calls; its time is all in the expert."""
    alone = name in ("expert", "drafter", "answer-cascade", "token-cascade")
    known = {
        "name": name, "finish": "end", "tokens": tokens, "seconds": tokens / speed, "tokens_per_second": speed,
        "verify_seconds": tokens / speed, "expert_calls": calls, "drafted": None if alone else 4 * calls, "mode": "on",
        "speedup_if_flat": 1.6, "text": "t " * tokens, "identical_to_expert": True,
    }  # fmt: skip
    return Figures(**{**dict.fromkeys(each.name for each in fields(Figures)), **known, **more})


def expert(speed: float = 10.0, **more: Any) -> Figures:
    return arm("expert", speed, calls=more.pop("calls", 100), **more)


def rounds(*milliseconds: float) -> list[Judged]:
    return [Judged("expert", i + 1, i, None, A_TOKEN, (), 0, 1, 0.0, 0.0, ms) for i, ms in enumerate(milliseconds)]


@pytest.mark.parametrize(
    ("before", "behind", "expected"),
    [
        ((10, 10, 10), (12, 12, 12), 1.2),
        ((10, 10, 40), (11, 11), 1.1),  # of the tokens that both have
        ((10,), (5, 99), 0.5),
        ((), (5,), None),
        ((0, 0), (0, 0), None),
    ],
)
def test_drift_is_of_the_same_tokens(before: Sequence[float], behind: Sequence[float], expected: float | None) -> None:
    found = drift_of(rounds(*before), rounds(*behind))
    assert found == (None if expected is None else pytest.approx(expected))


def test_an_arm_is_held_against_the_expert_of_its_time() -> None:
    """The expert was at 10 tokens/s before and at 5 behind: on the way between it was slower from arm to arm."""
    compared = compare_arms([expert(10), arm("exact", 9), arm("token", 8), arm("lossy", 6)], drift=2.0)
    told = [each.speedup for each in compared.arms]
    assert told == [1.0, pytest.approx(0.9 * 1.25), pytest.approx(0.8 * 1.5), pytest.approx(0.6 * 1.75)]
    assert [each.speedup_low for each in compared.arms] == [1.0, 0.9, 0.8, pytest.approx(0.6)]
    assert [each.speedup_high for each in compared.arms] == [1.0, pytest.approx(1.8), pytest.approx(1.6), 1.2]
    assert compared.drifted and not compared.impossible


def test_measured_once_there_is_no_spread() -> None:
    compared = compare_arms([expert(10), arm("exact", 9)], None)
    exact = compared.arms[1]
    assert (exact.speedup, exact.speedup_low, exact.speedup_high) == (0.9, None, None)
    assert not compared.drifted


@pytest.mark.parametrize("drift", [None, 1.0, 0.4, 2.5])
@pytest.mark.parametrize("speed", [3.0, 40.5])
def test_no_arm_is_told_faster_than_its_counts_allow(drift: float | None, speed: float) -> None:
    """answer-cascade that deferred wrote the expert's tokens one by one: whatever the clock says, it won nothing."""
    arms = [expert(10), arm("exact", speed, calls=50), arm("answer-cascade", speed, calls=100), arm("drafter", 90, 0)]
    compared = compare_arms(arms, drift)
    for each in compared.arms[:3]:
        most = most_possible(each)
        assert most is not None and each.speedup is not None and each.speedup <= most
        assert max(each.speedup_low or 0, each.speedup_high or 0) <= most
    assert compared.arms[3].speedup == pytest.approx(9.0 * (1 + ((drift or 1) - 1) * 3 / 4)), "it asked no expert"
    assert [each.name for each in compared.impossible] == (["exact", "answer-cascade"] if speed > 40 else [])


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(None, None, 1), (1.11, 1.13, 2), (1.0, 1.05, 2), (1.0, 1.13, 1), (1.0, 1.6, 0), (0.4, 0.4, 2)],
)
def test_no_figure_is_more_exact_than_its_spread(low: float | None, high: float | None, expected: int) -> None:
    assert digits(low, high) == expected


def outcome(*arms: Figures, drift: float | None = 1.0, untimed: bool = False) -> ComparisonOutcome | None:
    found = verdict_of(compare_arms([expert(), *arms], drift), untimed)
    return None if found is None else found.outcome


def test_what_a_comparison_came_to() -> None:
    slow, fast = arm("exact", 7), arm("exact", 12)
    lossy = arm("token", 13, identical_to_expert=False)
    assert outcome(fast) is outcome(slow, lossy) is outcome(fast, lossy) is ComparisonOutcome.FASTER
    assert outcome(slow) is outcome(slow, arm("token", 8)) is ComparisonOutcome.NOT_FASTER
    assert outcome(slow, arm("drafter", 90, calls=0)) is ComparisonOutcome.NOT_FASTER, "the drafter alone is no win"
    assert outcome(arm("exact", 10.2)) is ComparisonOutcome.NOT_FASTER, "two per cent are noise"
    assert outcome(fast, drift=0.8) is ComparisonOutcome.NOT_FASTER, "of the two measurements one says slower"
    assert outcome(arm("exact", 10.4), drift=None) is ComparisonOutcome.NOT_FASTER, "measured once, it may be noise"
    assert outcome(arm("exact", 10.4)) is ComparisonOutcome.FASTER
    assert outcome(arm("exact", 11, drafted=0, mode="off")) is ComparisonOutcome.OFF
    assert outcome(arm("exact", 12, tokens=7, calls=3)) is ComparisonOutcome.SHORT
    assert outcome(fast, untimed=True) is ComparisonOutcome.UNTIMED


def test_who_is_named() -> None:
    arms = [expert(), arm("exact", 12), arm("token", 13, identical_to_expert=False), arm("lossy", 12.5), arm("bild", 9)]
    found = verdict_of(compare_arms(arms, 1.0))
    assert found is not None and found.lossy is not None
    assert (found.lossless.name, found.lossy.name) == ("exact", "token")
    only = verdict_of(compare_arms([*arms[:2], arms[4]], 1.0))
    assert only is not None and only.lossy is None


def test_what_was_cut_off_decides_nothing() -> None:
    assert outcome(arm("exact", 12, finish="interrupted")) is None
    assert verdict_of(Comparison([expert(finish="interrupted"), arm("exact", 12)], None)) is None
    assert outcome(arm("drafter", 90, calls=0)) is None
    assert verdict_of(Comparison([expert()], None)) is None


def test_what_a_call_costs_is_measured_in_the_expert() -> None:
    """50 calls of five tokens took 12.5 s, of a single one 100 took 10 s, and 12 s behind the arms."""
    exact = replace(arm("exact", 5), verify_seconds=12.5, draft_seconds=7.5)
    found = verdict_of(compare_arms([expert(10), exact], drift=1.2))
    assert found is not None and found.call is not None
    assert found.call.tokens == 5 and found.call.cost == pytest.approx(0.25 / 0.11)
    assert found.saved == pytest.approx(0.5)
    tables = verdict_of(compare_arms([expert(10, verify_seconds=0.0), exact], drift=None))
    assert tables is not None and tables.call is None
