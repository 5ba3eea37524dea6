"""The legend: four words an entry, each whole, and only for what can occur."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from speccas.cli.view.legend import playable, possible, recorded, show_legend
from speccas.core.decoding.arms import every_arm, parse_arm
from speccas.core.decoding.events import Event, Judged, Started
from speccas.core.looks.legend import MEANINGS, entries
from speccas.core.record.trace import TraceArm, read_trace

EVERYTHING = {*MEANINGS, "expert", "drafter"} - {"plain"}
RULED = {"agreed", "deferred", "bonus"}


def words(found: set[str], marked: bool = False) -> list[str]:
    return [word for word, _, _ in entries(found, marked)]


@pytest.mark.parametrize("marked", [False, True])
def test_an_entry_says_it_in_four_words(marked: bool) -> None:
    for found in ({*EVERYTHING}, {*RULED}, {"expert", *RULED}, {"drafter", *RULED}):
        for word, _, meaning in entries(found, marked):
            assert 3 <= len(meaning.split()) <= 4, (word, meaning)


@pytest.mark.parametrize(
    ("rules", "k", "lookup", "rounds", "live", "shown"),
    [
        (["expert"], 4, "auto", False, True, []),
        (["drafter"], "auto", "on", True, True, []),
        (["exact"], 4, "auto", False, False, ["agreed", "deferred", "plain"]),
        (["exact"], "auto", "auto", False, False, ["agreed", "deferred", "plain", "copied"]),
        (["exact"], "auto", "off", False, True, ["agreed", "deferred", "plain", "draft"]),
        (["token:0.3"], 4, "on", False, False, ["agreed", "kept", "deferred", "plain", "copied"]),
        (["expert", "exact", "token"], 4, "auto", True, False,
         ["agreed", "kept", "deferred", "plain", "struck", "q", "p"]),
    ],
)  # fmt: skip
def test_only_what_can_occur(
    rules: list[str], k: int | str, lookup: str, rounds: bool, live: bool, shown: list[str]
) -> None:
    assert words(possible([parse_arm(rule) for rule in rules], k, lookup, rounds, live)) == shown


def test_every_arm_needs_almost_everything() -> None:
    found = possible(every_arm(), "auto", "auto", rounds=True, live=True, chain=True)
    assert found == EVERYTHING
    assert ("plain", "plain", "one model's own word") in entries(found, marked=False)


def test_marks_where_there_is_no_colour() -> None:
    """What agreed has no mark, and no more has what one model wrote alone: they share an entry."""
    assert words({*RULED, "kept"}, marked=True) == ["agreed", "‹kept›", "[deferred]", "+bonus"]
    assert words({*RULED, "kept", "expert", "pending", "turned down"}, marked=True) == [
        "‹kept›", "[deferred]", "+bonus", "plain", "~struck~",
    ]  # fmt: skip
    assert "=copied" in words({*RULED, "copied"}, marked=True)


def test_a_recording_tells_what_occurs_in_it(trace: Path, events: Callable[..., Iterator[Event]]) -> None:
    arms = read_trace(trace)
    assert recorded(arms[:1]) == playable(arms[:1], rounds=True, live=True) == {"expert"}
    assert recorded(arms[:2]) == {"expert", "agreed", "deferred", "bonus"}
    assert "kept" in recorded(arms) and "copied" not in recorded(arms)
    stream = list(events((("one", "agreed"), (" two", "kept"))))
    assert isinstance(stream[0], Started)
    copied = [replace(each, source="lookup") for each in stream if isinstance(each, Judged)]
    found = {"agreed", "kept", "copied"}
    assert recorded([TraceArm(stream[0], "", {}, copied, None)]) == found
    strange = TraceArm(replace(stream[0], arm="of-tomorrow:3"), "", {}, copied, None)
    assert playable([strange], rounds=False, live=True) == {*found, "pending"}


def test_a_replay_has_the_legend_of_its_run(events: Callable[..., Iterator[Event]]) -> None:
    """Whatever happened to occur in it."""
    started, _, judged, _ = events((("one", "agreed"),), 3, "token:0.5")
    assert isinstance(started, Started) and isinstance(judged, Judged)
    for k, lookup in ((4, "auto"), ("auto", "auto"), (4, "on"), ("auto", "off")):
        arm = TraceArm(replace(started, k=k), "", {"lookup": lookup}, [judged], None)
        assert playable([arm], True, True) == possible([parse_arm("token:0.5")], k, lookup, True, True)


@pytest.mark.parametrize(("width", "lines"), [(160, 1), (120, 2), (80, 2), (60, 4), (30, 0)])
@pytest.mark.parametrize("colour", [False, True])
def test_every_entry_is_whole(terminal: Any, width: int, lines: int, colour: bool) -> None:
    screen = terminal(width, 24, colour)
    found = {"agreed", "kept", "deferred", "bonus"}
    show_legend(screen.look, found)
    shown = screen.lines()
    assert len(shown) == lines or not lines
    if width >= 60:
        for word, _, meaning in entries(found, marked=not colour):
            assert sum(word in line and meaning in line for line in shown) == 1, word
    assert not any(line.startswith(" ") for line in shown)
