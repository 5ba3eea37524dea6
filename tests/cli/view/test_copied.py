"""Tokens whose draft was looked up in the text are told apart: in the text, in rounds, in an export and in a trace."""

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from speccas.cli.view.export import to_html
from speccas.cli.view.theme import STYLES
from speccas.cli.view.tokens import TokenView
from speccas.core.decoding.events import Event, Finished, Judged, Started
from speccas.core.record.metrics import Fold
from speccas.core.record.trace import TraceWriter, read_trace

WORDS = (("one", "agreed"), (" two", "kept"), (" three", "bonus"), (" four", "agreed"), (" five", "deferred"))


@pytest.fixture
def copied(events: Callable[..., Iterator[Event]]) -> list[Event]:
    """Two rounds, the first of them looked up."""
    found = list(events(WORDS))
    return [replace(e, source="lookup") if isinstance(e, Judged) and e.round == 1 else e for e in found]


@pytest.mark.parametrize(
    ("rounds", "line"),
    [(False, "=one ‹=two› +three four [five]"), (True, "   1  copied =one q0.5 p0.41")],
)
def test_marks_say_what_was_copied(terminal: Any, copied: list[Event], rounds: bool, line: str) -> None:
    screen = terminal(80, 24, colour=False)
    with TokenView(screen.look, rounds=rounds) as view:
        for event in copied:
            view(event)
    assert any(each.startswith(line) for each in screen.lines()), screen.lines()


def test_colour_says_it_in_italics(terminal: Any, copied: list[Event]) -> None:
    screen = terminal(80, 24)
    with TokenView(screen.look) as view:
        for event in copied:
            view(event)
    cells = {cell[0]: cell for row in screen.cells() for cell in row}
    italics = screen.screen.buffer[0][0]._fields.index("italics")
    assert cells["w"][italics] and not cells["v"][italics]  # two, five
    assert STYLES["agreed copied"].color == STYLES["agreed"].color


def test_a_trace_keeps_the_source(copied: list[Event], tmp_path: Path) -> None:
    text, fold = io.StringIO(), Fold()
    writer = TraceWriter(text, {}, "prompt")
    for event in copied:
        fold(event)
        if isinstance(event, Started | Judged):
            writer(event)
    assert isinstance(copied[-1], Finished)
    writer.finished(fold.figures(), "")
    path = tmp_path / "t.jsonl"
    path.write_text(text.getvalue(), encoding="utf-8")
    arms = read_trace(path)
    assert [judged.source for judged in arms[0].rounds] == ["lookup", "drafter"]
    assert arms[0].finished is not None and arms[0].finished["looked_up"] == 4
    assert "its draft was looked up in the text" in to_html(arms)
