"""The sentence over a comparison's table, its caveats, and where texts differ."""

import re
from dataclasses import replace
from typing import Any

import pytest

from speccas.cli.view.difference import same
from speccas.cli.view.tables import drafts, footer, show_arms
from speccas.cli.view.tokens import TokenView
from speccas.cli.view.verdict import PairNotes, caveats, times, verdict_text
from speccas.core.decoding.events import Judged, Started, Status, Token
from speccas.core.record.comparison import compare_arms
from speccas.core.record.metrics import Figures
from tests.core.record.test_comparison import arm, expert


def told(*arms: Figures, drift: float | None = 1.0, untimed: bool = False) -> str:
    text = verdict_text(compare_arms([expert(), *arms], drift), untimed)
    assert text is not None and "\n" not in text
    return text


LOSSY = arm(
    "token:0.5", 13, text="t x " * 50, identical_to_expert=False, first_difference=1, expert_logprob=-0.521
)  # fmt: skip


def test_who_won_and_by_what() -> None:
    assert told(arm("exact", 11.3)) == "`exact`: the expert's own text, 1.13x, 100 tokens in 50 expert calls"
    assert told(arm("exact", 11.3), drift=1.12).split(", ")[1] == "1.2x", "the expert's two times differ by 12 %"
    both = told(arm("exact", 11.3), replace(LOSSY, expert_logprob=None))
    assert both.endswith("; `token:0.5`: 1.30x, another text (differs from word 2: …x / …t)")


def test_a_lossy_win_never_stands_without_its_quality() -> None:
    compared = compare_arms([expert(expert_logprob=-0.38), arm("exact", 7), LOSSY], 1.0)
    text = verdict_text(compared, False)
    assert text is not None and text.startswith("`exact`: the expert's own text, 0.70x, ")
    assert text.endswith("log-prob -0.52 (the expert's own -0.38; 0 is best)")


def test_why_nobody_won() -> None:
    assert told(arm("exact", 7, calls=55)) == (
        "nothing was faster here: a call of five costs 2.6 tokens on this machine; drafts saved 45% of the expert's "
        "calls, and where a call costs as one token (most GPUs) that would be 1.6x (`speccas doctor --curve`)"
    )
    compared = compare_arms([expert(), arm("exact", 7, calls=55)], 1.0)
    text = verdict_text(compared, False, PairNotes(" because of its file", "`speccas x` helps", "exact against x"))
    assert text is not None and "costs 2.6 tokens on this machine because of its file; drafts saved" in text
    assert text.endswith("that would be 1.6x; `speccas x` helps"), "one command, and that is the one that helps"
    cheap = told(arm("exact", 9.9, calls=90, verify_seconds=9.5, speedup_if_flat=None))
    assert cheap == "nothing was faster here; drafts saved 10% of the expert's calls"
    assert "too few for a drafter of this size" in told(arm("exact", 7, calls=90, speedup_if_flat=0.8))


def test_what_says_nothing_of_speed() -> None:
    assert told(arm("exact", 11, drafted=0, mode="off")).startswith("drafting did not pay here, so it was off")
    assert told(arm("exact", 11, tokens=5, calls=3)) == "five tokens: too few to say what is faster"
    untimed = told(arm("exact", 30), untimed=True)
    assert untimed.startswith("`exact`: the expert's own text, 100 tokens in 50 expert calls; where a call costs as")
    assert "3.0" not in untimed, "recorded probabilities took that time"


def test_an_arm_that_never_drafted_claims_nothing(terminal: Any) -> None:
    """Its speed is that of the expert alone, and what differs is noise: in the table and behind an answer in a chat."""
    off = arm(
        "exact", 11.1, calls=100, drafted=0, mode="off", rounds_off=100, alone=100, acceptance=None, kept=0, deferred=0
    )
    assert times(replace(off, speedup=1.11)) == "off"
    line = footer(off, 10.0)
    assert "x the expert" not in line and "drafting did not pay here, so it was off" in line and "100%" not in line
    half = replace(off, drafted=40, rounds_off=50, alone=50, mode="mixed")
    assert footer(half, 10.0).startswith(f"exact · {half.tokens} tokens · 11.1 tokens/s (1.1x the expert alone) · ")
    assert footer(half, 10.0, 7, (20, 4096)).endswith(" · seed 7 · context 20 of 4096 · length") is (
        half.finish == "length"
    )
    assert drafts(half)[-1] == "drafting off for 50% of the tokens"


def test_what_is_left_of_a_budget_stands_under_an_answer() -> None:
    line = footer(replace(arm("token", 11.1), charged=0.501, budget_left=1.499), 0.0)
    assert " · 1.49 of 2 nats left · " in f"{line} · ", "never more than there is"
    assert "nats" not in footer(arm("token", 11.1), 0.0)


def test_a_live_view_claims_nothing_for_it_either(terminal: Any) -> None:
    screen = terminal(100, 24)
    with TokenView(screen.look, lambda: 0.0) as view:
        view.baseline = 10.0
        view(Started("exact", "exact", None, "auto", 3))
        token = Token(1, b"a", "a", Status.EXPERT)
        for i in range(4):
            view(Judged("exact", i, i, "auto", (token,), (), 0, 1, 90.0 * (i + 1), 0.0, 90.0, mode="off"))
        assert view.status() == "exact drafting off · 4 tokens · 11.1 tokens/s · 4 expert calls"
        drafted = replace(token, status=Status.AGREED)
        view(Judged("exact", 5, 4, "auto", (drafted, drafted), (), 1, 1, 450.0, 0.0, 90.0))
        assert " · 1.3x · " in view.status()


def test_drift_and_what_cannot_be_are_named() -> None:
    (line,) = caveats(compare_arms([expert(), arm("exact", 8)], 1.12))
    assert line.startswith("the expert alone took 12% longer behind the arms than before them")
    assert "30% less" in caveats(compare_arms([expert(), arm("exact", 8)], 0.7))[0]
    assert caveats(compare_arms([expert(), arm("exact", 8)], 1.09)) == []
    (line,) = caveats(compare_arms([expert(), arm("answer-cascade", 40.5, calls=64)], 1.0))
    assert "answer-cascade was faster than its 64 expert calls allow" in line


def test_the_table(terminal: Any) -> None:
    """The best is marked, no speed-up is more exact than the expert's spread, and what was cut is told."""
    screen = terminal(160, 40, colour=False)
    cut = arm("exact", 14, finish="length", expert_logprob=-0.5, acceptance=0.9, kept=0, deferred=3)
    stopped = arm("lossy", 14, finish="interrupted", identical_to_expert=None)
    show_arms(screen.console, compare_arms([expert(finish="length"), cut, LOSSY, stopped], 1.12))
    rows = {line.split()[0]: line for line in screen.raw.splitlines() if line.startswith(("exp", "exa", "tok", "los"))}
    assert re.search(r"exact \(best\) +14 +1\.4x +1\.6x", rows["exact"]), rows
    assert re.search(r"token:0.5 +13 +1\.4x", rows["token:0.5"])
    assert rows["lossy"].rstrip().endswith("interrupted")
    assert "differs from word 2: …x / …t" in rows["token:0.5"]
    assert "cut at 100 tokens (-n): expert, exact" in screen.raw
    assert "how well the expert likes the text (0 is best)" in " ".join(screen.raw.split())


def test_times_that_do_not_count_are_not_told(terminal: Any) -> None:
    screen = terminal(160, 40, colour=False)
    show_arms(screen.console, compare_arms([expert(), arm("exact", 14)], None), detail=True)
    assert "1.4x" not in screen.raw and "(best)" not in screen.raw


def test_a_narrow_table_tells_it_in_fewer_cells() -> None:
    figures = arm("token", 9, text="a " + "b" * 40, identical_to_expert=False, first_difference=1)
    assert same(figures, expert(text="a fire"), short=True) == "word 2: …bbbbbb… / …fire"


@pytest.mark.parametrize(
    ("own", "other", "expected"),
    [
        ("The color of fire.", "The color of fire.", "the same text in other tokens"),
        ("It is the color of", "It is the fire of", "differs from word 4: …color / …fire"),
        ("one\ntwo three", "one\ntwo threes", "differs from word 3: …three / …threes"),
        ("one two", "one two and on", "differs from word 3: (end) / …and"),
        ("", "Red.", "differs from word 1: (end) / …Red."),
        (
            "一二三四五六七八九十一二三四五六七八",
            "一二三四五六七八九十一二三四五六七九",
            "differs from word 1: …八 / …九",
        ),
        ("a " + "b" * 40, "a c", f"differs from word 2: …{'b' * 16}… / …c"),
    ],
)
def test_a_difference_is_told_in_words(own: str, other: str, expected: str) -> None:
    figures = arm("token", 9, text=own, identical_to_expert=False, first_difference=3)
    assert same(figures, expert(text=other)) == expected
