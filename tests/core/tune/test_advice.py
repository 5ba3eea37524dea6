"""What is said of a tuned pair and of slow answers: the better setting is named, and noise is not warned of."""

from dataclasses import replace
from typing import Any

import pytest

from speccas.core.record.metrics import Figures
from speccas.core.settings import Settings
from speccas.core.tune.advice import FEWEST, FEWEST_AUTO, is_slow, said_before, slower
from speccas.core.tune.store import Tuned
from tests.core.bench.test_protocol import figures

HERE = "EPYC, 2 threads"
FAST = Tuned("2026-11-25", HERE, "token:0.5", 3, True, 1.18, 1.1, 1.25, 40, 0.012)
SLOW = Tuned("2026-11-25", HERE, "exact", "auto", False, 0.98, 0.96, 1.0, 40)


def answer(name: str, speedup: float, tokens: int = FEWEST) -> Figures:
    rule: Any = None if name == "expert" else name.partition(":")[0]
    return replace(figures(name, rule=rule), speedup=speedup, tokens=tokens)


def settings(rule: str, k: int | str, **more: Any) -> Settings:
    return Settings(rule=(rule,), draft_tokens=k, **more)


def test_a_setting_that_is_used_is_named_with_its_evidence() -> None:
    (notice,), warnings = said_before(settings("token:0.5", 3), FAST, HERE)
    assert notice == (
        "tuned: --rule token:0.5 -k 3 (1.18x the expert alone [1.10, 1.25], 40 prompts, quality loss 1.2%; 2026-11-25)"
    )
    assert not warnings
    (notice,), _ = said_before(settings("token:0.5", 3, temperature=0.7), FAST, HERE)
    assert "at temperature 0;" in notice, "it was measured at another temperature, and that is said"


def test_nothing_is_said_of_a_setting_that_is_not_used() -> None:
    assert said_before(settings("token:0.5", 4), FAST, HERE) == ([], [])
    assert said_before(settings("exact", "auto"), None, HERE) == ([], [])


def test_another_machine_is_warned_of() -> None:
    notices, (warning,) = said_before(settings("token:0.5", 3), FAST, "Apple M4, 8 threads")
    assert notices and HERE in warning and "speccas tune" in warning


def test_where_tune_found_nothing_faster_a_fixed_length_is_warned_of() -> None:
    notices, (warning,) = said_before(settings("exact", 4), SLOW, HERE)
    assert not notices and "-k 4" in warning and "use --rule exact -k auto" in warning
    assert said_before(settings("exact", 4), SLOW, "Apple M4") == ([], []), "another machine may be faster"
    (notice,), warnings = said_before(settings("exact", "auto"), SLOW, HERE)
    assert "nothing was faster than the expert alone" in notice and not warnings


def test_a_slow_answer_names_itself_and_what_would_be_better() -> None:
    told = slower([answer("expert", 1.0), answer("exact", 0.4), answer("token:0.5", 0.9)], 4, None)
    assert told is not None and "at -k 4: exact 0.40x, token:0.5 0.90x. -k auto" in told
    faster = slower([answer("exact", 0.4), answer("token:0.5", 1.2)], 4, None)
    assert faster is not None and "exact 0.40x" in faster and "--rule token:0.5 -k 4 was faster (1.20x)" in faster
    tuned = slower([answer("exact", 0.4)], 4, FAST)
    assert tuned is not None and "speccas tune found --rule token:0.5 -k 3 (1.18x" in tuned
    own = slower([answer("token:0.5", 0.4)], 3, FAST)
    assert own is not None and "tune found" not in own, "it is the tuned setting itself that is slow"
    auto = slower([answer("exact", 0.4, FEWEST_AUTO)], "auto", None)
    assert auto is not None and "--rule expert" in auto


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
    assert slower([answer(name, speedup, tokens)], k, None) is None


def test_a_chat_says_it_of_the_same_answers() -> None:
    """By one rule, so that a short answer of `-k auto`, which may try drafts, is not called slow."""
    assert is_slow(0.4, FEWEST, 4) and not is_slow(0.4, FEWEST, "auto") and not is_slow(0.4, FEWEST - 1, 4)
    assert is_slow(0.89, FEWEST_AUTO, "auto") and not is_slow(0.95, FEWEST_AUTO, "auto") and is_slow(0.95, FEWEST, 4)
