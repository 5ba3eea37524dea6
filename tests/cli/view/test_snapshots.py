"""What a person sees, as text files that a reviewer can read: tests/snapshots. `make snapshots` writes them anew.

Views of the run recorded in docs/; ESC is written as ␛.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from speccas.cli.view.arms import play_recorded, show_why
from speccas.cli.view.tables import show_arms
from speccas.cli.view.tokens import TokenView
from speccas.core.record.comparison import Comparison
from speccas.core.record.metrics import Figures
from speccas.core.record.trace import TraceArm, read_trace

Snapshot = Callable[[str, str], None]
Clock = Callable[[], float]


@pytest.fixture
def arms(trace: Path) -> list[TraceArm]:
    return read_trace(trace)


def played(screen: Any, arms: list[TraceArm], view: str, side_by_side: bool = False) -> str:
    screen.look = type(screen.look)(screen.console, live=False)
    play_recorded(screen.look, arms, view, side_by_side, 0.0, lambda: 0.0, lambda seconds: None)
    return str(screen.raw).replace("\x1b", "␛")


@pytest.mark.parametrize(
    ("name", "width", "colour", "view", "side_by_side"),
    [
        ("tokens-marks", 80, False, "tokens", False),
        ("tokens-colours", 80, True, "tokens", False),
        ("tokens-narrow", 40, False, "tokens", False),
        ("numbers", 80, False, "numbers", False),
        ("rounds", 100, False, "rounds", False),
        ("columns", 160, False, "tokens", True),
    ],
)
def test_views(
    terminal: Any,
    arms: list[TraceArm],
    snapshot: Snapshot,
    name: str,
    width: int,
    colour: bool,
    view: str,
    side_by_side: bool,
) -> None:
    shown = arms if view != "rounds" else arms[1:3]
    snapshot(name, played(terminal(width, 24, colour), shown, view, side_by_side))


def test_why(terminal: Any, arms: list[TraceArm], snapshot: Snapshot) -> None:
    screen = terminal(100, 24, colour=False)
    for index in (5, 6, 9, 10):
        for arm in arms:
            show_why(screen.look, arm.started.arm, arm.rounds, index)
    snapshot("why", screen.raw)


@pytest.mark.parametrize(("name", "width"), [("table-wide", 120), ("table-narrow", 60)])
def test_tables(terminal: Any, arms: list[TraceArm], snapshot: Snapshot, name: str, width: int) -> None:
    screen = terminal(width, 24, colour=False)
    compared = Comparison([Figures.from_json(arm.finished or {}) for arm in arms], None)
    show_arms(screen.console, compared, detail=True)
    snapshot(name, screen.raw)


def test_the_status_line(terminal: Any, arms: list[TraceArm], snapshot: Snapshot, clock: Clock) -> None:
    """The live view's screen after every ninth event of an arm: settled text, the pending draft, the status line."""
    screen = terminal(80, 12)
    view = TokenView(screen.look, clock)
    view.baseline = 30.0
    stills = []
    with view:
        for number, event in enumerate(arms[2].events()):
            view(event)
            if number % 9 == 1:
                stills.append("\n".join(screen.lines()))
    snapshot("live", "\n\n==========\n\n".join(stills))
