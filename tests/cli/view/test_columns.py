"""Arms side by side: aligned to the cell, each line once, resized or not."""

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import Any

import pytest

from speccas.cli.view.arms import arms_view
from speccas.cli.view.columns import Column, ColumnsView, fit
from speccas.cli.view.flow import cells
from speccas.core.decoding.events import Event, Started

Events = Callable[..., Iterator[Event]]
Words = tuple[tuple[str, str], ...]


def interleaved(*streams: Iterator[Event]) -> Iterator[Event]:
    return (event for row in zip_longest(*streams) for event in row if event is not None)


def play(screen: Any, clock: Any, names: Sequence[str], events: Iterator[Event], sizes: Sequence[Any] = ()) -> None:
    queue = list(sizes)
    with ColumnsView(screen.look, names, clock) as view:
        for number, event in enumerate(events):
            view(event)
            if queue and number % 20 == 19:
                screen.resize(*queue.pop(0))


@pytest.mark.parametrize("live", [False, True])
def test_columns_align(terminal: Any, events: Events, sample: Words, clock: Any, live: bool) -> None:
    screen = terminal(80, 24)
    screen.look = type(screen.look)(screen.console, live=live)
    words = [*sample, ("漢字", "kept"), (" 🙂🙂🙂", "agreed"), ("e\u0301" * 50, "kept")] * 4
    play(screen, clock, ["a", "b"], interleaved(events(words, 3, "a"), events(words[:20], 2, "b")))
    width = (79 + 2) // 2 - 2
    for row in screen.cells():
        assert (row[width][0], row[width + 1][0]) == (" ", " "), "the gap between the columns"
    left = "".join("".join(cell[0] for cell in row[:width]) for row in screen.cells())
    assert left.replace(" ", "").count("Acascadeisawaterfall") == 4
    right = [line[width + 2 :] for line in screen.raw.splitlines()] if not live else []
    assert not right or any("── b" in line for line in right)
    statuses = screen.lines()[-1]
    assert statuses.count(" · done") == 2 and "accepted 80%" in statuses and "accepted 78%" in statuses


@pytest.mark.parametrize(
    ("width", "status"),
    [
        (60, "9 tokens · 4.5 tokens/s · accepted 75% · done"),
        (40, "4.5 tokens/s · accepted 75% · done"),
        (10, "9 tokens ·"),
    ],
)
def test_a_status_says_what_there_is_room_for(width: int, status: str) -> None:
    column = Column(width)
    assert column.status() == "waits"
    column.tokens, column.seconds, column.judged, column.accepted, column.done = 9, 2.0, 8, 6, True
    column.begun = True
    assert column.status() == status


def test_an_arm_whose_turn_has_not_come_waits(terminal: Any, events: Events, sample: Words, clock: Any) -> None:
    screen = terminal(80, 24)
    with ColumnsView(screen.look, ["a", "b"], clock) as view:
        first, *rest = events(sample, 3, "a")
        view(first)
        assert screen.lines()[-1].split() == ["0", "tokens", "waits"]
        for event in [*rest, *events(sample, 3, "b")]:
            view(event)
    assert "waits" not in screen.lines()[-1] and screen.lines()[-1].count("done") == 2


CODE = "Here it is:\n```python\nfor number in range(100): print(number, end=', ')\n```\n"


@pytest.mark.parametrize(
    ("asked_for", "code", "stacked"), [(None, True, True), (True, True, False), (None, False, False)]
)
def test_code_is_not_broken_in_columns_that_nobody_asked_for(
    terminal: Any, events: Events, clock: Any, asked_for: bool | None, code: bool, stacked: bool
) -> None:
    screen = terminal(80, 40)
    text = CODE if code else CODE.replace("`", "")
    with arms_view(screen.look, ["a", "b"], [], "tokens", asked_for, clock) as (sink, _):
        assert isinstance(sink, ColumnsView)
        for event in interleaved(events([(text, "agreed")], 3, "a"), events([("One line.", "agreed")], 3, "b")):
            sink(event)
    lines = screen.lines()
    whole = [line for line in lines if line.startswith("for number in range(100): print(number, end=', ')")]
    assert bool(whole) == stacked
    headings = [line.split() for line in lines if line.startswith("──")]
    assert len(headings) == (2 if stacked else 1)
    assert sum("One line." in line for line in lines) == 1 and "".join(lines).count("done") == 2


def test_live_leaves_what_the_plain_view_prints(terminal: Any, events: Events, sample: Words, clock: Any) -> None:
    screens = []
    for live in (True, False):
        screen = terminal(80, 12)
        screen.look = type(screen.look)(screen.console, live=live)
        play(screen, clock, ["a", "b"], interleaved(events(sample * 9, 3, "a"), events(sample * 4, 2, "b")))
        screens.append(screen)
    live_, plain = screens
    assert live_.lines() == plain.lines() and len(plain.lines()) > 24, "higher than the screen"
    assert live_.cells()[: len(plain.lines())] == plain.cells()[: len(plain.lines())]
    assert live_.raw.endswith(plain.raw)


@pytest.mark.slow
def test_resized(terminal: Any, events: Events, clock: Any) -> None:
    words = [(f"w{i} ", "agreed") for i in range(90)]
    screen, straight = terminal(120, 24), terminal(70, 24)
    sizes = [(90, 24), (60, 24), (140, 30), (70, 30)]
    play(screen, clock, ["a", "b"], interleaved(events(words, 2, "a"), events(words, 2, "b")), sizes)
    play(straight, clock, ["a", "b"], interleaved(events(words, 2, "a"), events(words, 2, "b")))
    shown = screen.lines()
    assert shown[-len(straight.lines()) :] == straight.lines()
    assert not [line for line in shown[: -len(straight.lines())] if line], "nothing of earlier drawings is left"


def test_names_and_widths(terminal: Any, events: Events, clock: Any) -> None:
    assert fit(2, 67) and not fit(2, 66) and not fit(1, 500) and fit(4, 136)
    screen = terminal(70, 24)
    name = "n" * 200 + "\n\x1b[2J"
    play(screen, clock, [name, "b"], iter([Started(name, None, None, None, 1), *events([("x", "kept")], 1, "b")]))
    assert all(cells(line) <= 69 for line in screen.lines())
    assert "\x1b[2J" not in screen.raw
