"""A terminal to draw on, answers to draw and a trace to replay. Knows events and an emulator; not what a view shows."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyte
import pytest
from rich.console import Console

from speccas.cli.view.theme import Look
from speccas.core.decoding.events import (
    Drafted,
    Event,
    Finish,
    Finished,
    Judged,
    Opinion,
    Piece,
    Started,
    Status,
    Token,
)

ROOT = Path(__file__).parents[3]
SNAPSHOTS = ROOT / "tests" / "snapshots"


class Terminal:
    """A screen of an emulator with its scrollback. `raw` is every character that was written to it."""

    encoding = "utf-8"

    def __init__(self, width: int, height: int, colour: bool = True) -> None:
        self.raw = ""
        self.screen = pyte.HistoryScreen(width, height, history=5000)
        self.screen.set_mode(pyte.modes.LNM)  # as the kernel's terminal does: a line feed begins a line
        self.stream = pyte.Stream(self.screen)
        system: Any = "256" if colour else None
        self.console = Console(
            file=self,  # type: ignore[arg-type]
            force_terminal=colour, color_system=system, width=width, height=height, markup=False, highlight=False,
        )  # fmt: skip
        self.look = Look(self.console, live=colour)

    def write(self, text: str) -> int:
        self.raw += text
        self.stream.feed(text)
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    def isatty(self) -> bool:
        return True

    def resize(self, width: int, height: int) -> None:
        self.screen.resize(height, width)
        self.console.width, self.console.height = width, height

    def lines(self) -> list[str]:
        """Everything from the first line on, the screen's last empty lines left out."""
        past = ["".join(row[x].data for x in range(self.screen.columns)) for row in self.screen.history.top]
        lines = [line.rstrip() for line in [*past, *self.screen.display]]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def cells(self) -> list[list[tuple[Any, ...]]]:
        """As `lines`, with the colours and styles of every cell."""
        rows = [*self.screen.history.top, *(self.screen.buffer[y] for y in range(self.screen.lines))]
        return [[tuple(row[x]) for x in range(self.screen.columns)] for row in rows]


@pytest.fixture(scope="session")
def terminal() -> type[Terminal]:
    return Terminal


@pytest.fixture
def clock() -> Callable[[], float]:
    """A second goes by each time it is read: every event is drawn."""
    return itertools.count().__next__


Words = Iterable[tuple[str, str]]


def token(text: str, status: str, id: int = 7, detail: bool = True) -> Token:
    """A token; with `detail` it has plausible numbers."""
    down = Piece(3, b" wrong", " wrong", 0.6, 0.125) if status == "deferred" else None
    if not detail:
        return Token(id, text.encode(), text, Status(status), turned_down=down)
    opinion = Opinion("token:0.5", 0.41, ">=", 0.31, status != "deferred")
    others = (Opinion("confidence:0.3", 0.5, ">=", 0.7, False), Opinion("top-k:5", 2, "<=", 5, True))
    top = ((1, " the", 0.62), (2, " a", 0.25), (3, " wrong", 0.125))
    return Token(id, text.encode(), text, Status(status), -0.5, None, 0.5, 0.41, top, opinion, others, down)


def rounds(words: Words, size: int = 3, arm: str = "token", detail: bool = True) -> Iterator[Event]:
    """Events of one arm: `size` words a round, each with the draft that it comes from."""
    yield Started(arm, "token", 0.5, 4, 12)
    queue = list(words)
    at = 0
    for number, begin in enumerate(range(0, len(queue), size), 1):
        part = queue[begin : begin + size]
        tokens = tuple(token(text, status, begin + i, detail) for i, (text, status) in enumerate(part))
        behind = (Piece(9, b" lost", " lost"),)
        pieces = tuple(each.turned_down or Piece(each.id, each.bytes, each.text) for each in tokens)
        yield Drafted(arm, number, (*pieces, *behind))
        yield Judged(arm, number, at, 4, tokens, behind, len(pieces) + 1, 1, 40.0 * number, 10.0, 30.0)
        at += len(tokens)
    yield Finished(arm, Finish.END, "", at * 0.02, 0.1, 0.2, 0.0)


@pytest.fixture
def events() -> Callable[..., Iterator[Event]]:
    return rounds


SAMPLE: tuple[tuple[str, str], ...] = (
    ("A", "agreed"), (" cascade", "kept"), (" is", "deferred"), (" a", "bonus"), (" waterfall", "agreed"),
    (" in", "agreed"), (" steps", "kept"), (",", "deferred"), (" and", "agreed"), ("\n\nhere", "bonus"),
    (" 漢字", "kept"), (" 🙂", "agreed"), (" too", "deferred"), (".", "agreed"),
)  # fmt: skip


@pytest.fixture
def sample() -> tuple[tuple[str, str], ...]:
    """Words of every status, wide ones among them."""
    return SAMPLE


@pytest.fixture
def trace() -> Path:
    """The recorded run that the pictures are made from."""
    return ROOT / "docs" / "cascade.jsonl"


@pytest.fixture
def snapshot() -> Callable[[str, str], None]:
    """Compares a text with a file in tests/snapshots; `make snapshots` rewrites the files."""

    def compare(name: str, text: str) -> None:
        path = SNAPSHOTS / f"{name}.txt"
        text = "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
        if os.environ.get("SPECCAS_SNAPSHOTS") == "write":
            path.write_text(text, encoding="utf-8")
        assert path.is_file(), f"no {path.name}: run make snapshots, and read what it wrote"
        assert text == path.read_text(encoding="utf-8")

    return compare
