"""What is told of a tuned pair and of slow answers: the better setting is named, and noise is not warned of."""

from dataclasses import replace
from typing import Any

import pytest

from speccas.core.record.metrics import Figures
from speccas.core.tune.advice import (
    FEWEST,
    FEWEST_AUTO,
    Remedy,
    SlowerAdvice,
    TunedNotice,
    is_slow,
    slower_advice,
    tuned_notice,
)
from speccas.core.tune.store import Tuned
from tests.core.bench.test_protocol import figures

HERE = "EPYC, 2 threads"
FAST = Tuned("2026-11-25", HERE, "token:0.5", 3, True, 1.18, 1.1, 1.25, 40, 0.012)
SLOW = Tuned("2026-11-25", HERE, "exact", "auto", False, 0.98, 0.96, 1.0, 40)


def answer(name: str, speedup: float, tokens: int = FEWEST) -> Figures:
    rule: Any = None if name == "expert" else name.partition(":")[0]
    return replace(figures(name, rule=rule), speedup=speedup, tokens=tokens)


def notice(
    rule: str, k: int | str, tuned: Tuned | None, machine: str = HERE, temperature: float = 0.0
) -> TunedNotice | None:
    return tuned_notice((rule,), k, temperature, tuned, machine)


def test_a_setting_that_is_used_is_noticed() -> None:
    assert notice("token:0.5", 3, FAST) == TunedNotice(FAST, True, True, True, None)
    warm = notice("token:0.5", 3, FAST, temperature=0.7)
    assert warm is not None and not warm.same_temperature


def test_nothing_is_said_of_a_setting_that_is_not_used() -> None:
    assert notice("token:0.5", 4, FAST) is None
    assert notice("exact", "auto", None) is None


def test_another_machine_is_told() -> None:
    other = notice("token:0.5", 3, FAST, "Apple M4, 8 threads")
    assert other is not None and other.used and not other.here


def test_where_tune_found_nothing_faster_a_fixed_length_is_told() -> None:
    assert notice("exact", 4, SLOW) == TunedNotice(SLOW, False, True, True, 4)
    assert notice("exact", 4, SLOW, "Apple M4") is None, "another machine may be faster"
    used = notice("exact", "auto", SLOW)
    assert used is not None and used.used and used.slow_length is None


def test_a_slow_answer_names_itself_and_what_would_be_better() -> None:
    slow = (("exact", 0.4), ("token:0.5", 0.9))
    told = slower_advice([answer("expert", 1.0), answer("exact", 0.4), answer("token:0.5", 0.9)], 4, None)
    assert told == SlowerAdvice(4, slow, Remedy.AUTO)
    faster = slower_advice([answer("exact", 0.4), answer("token:0.5", 1.2)], 4, None)
    assert faster == SlowerAdvice(4, slow[:1], Remedy.FASTER_HERE, "token:0.5", 4, 1.2)
    tuned = slower_advice([answer("exact", 0.4)], 4, FAST)
    assert tuned == SlowerAdvice(4, slow[:1], Remedy.TUNED, "token:0.5", 3, tuned=FAST)
    own = slower_advice([answer("token:0.5", 0.4)], 3, FAST)
    assert own is not None and own.remedy is Remedy.AUTO, "it is the tuned setting itself that is slow"
    auto = slower_advice([answer("exact", 0.4, FEWEST_AUTO)], "auto", None)
    assert auto is not None and auto.remedy is Remedy.EXPERT


@pytest.mark.parametrize(
    ("name", "speedup", "tokens", "k"),
    [
        ("exact", 0.98, 500, 4),
        ("exact", 0.5, FEWEST - 1, 4),
        ("exact", 0.93, 500, "auto"),
        ("exact", 0.5, FEWEST_AUTO - 1, "auto"),
        ("expert", 0.5, 500, 4),
        ("exact", 1.5, 500, 4),
    ],
)
def test_noise_is_not_warned_of(name: str, speedup: float, tokens: int, k: Any) -> None:
    assert slower_advice([answer(name, speedup, tokens)], k, None) is None


def test_a_chat_says_it_of_the_same_answers() -> None:
    """By one rule, so that a short answer of `-k auto`, which may try drafts, is not called slow."""
    assert is_slow(0.4, FEWEST, 4) and not is_slow(0.4, FEWEST, "auto") and not is_slow(0.4, FEWEST - 1, 4)
    assert is_slow(0.89, FEWEST_AUTO, "auto") and not is_slow(0.95, FEWEST_AUTO, "auto") and is_slow(0.94, FEWEST, 4)
