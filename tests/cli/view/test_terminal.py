"""What a stream is, over every variable that a library or a CI system might believe instead of the stream."""

import fcntl
import io
import os
import struct
import sys
import termios
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speccas.cli.view.terminal import Colours, Surface, is_terminal, size, surface

VALUES: dict[str, tuple[str | None, ...]] = {
    "FORCE_COLOR": (None, "", "0", "1", "3"),
    "CLICOLOR_FORCE": (None, "0", "1"),
    "CLICOLOR": (None, "0", "1"),
    "NO_COLOR": (None, "", "0", "1"),
    "TTY_COMPATIBLE": (None, "0", "1"),
    "TTY_INTERACTIVE": (None, "0", "1"),
    "TERM": (None, "", "dumb", "xterm", "xterm-256color"),
    "COLORTERM": (None, "truecolor"),
}
IGNORED = {
    "PY_COLORS": "1", "RICH_FORCE_TERMINAL": "1", "GITHUB_ACTIONS": "true", "CI": "1", "JUPYTER_COLUMNS": "20",
    "JUPYTER_LINES": "5", "COLUMNS": "20",
}  # fmt: skip
environments = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in VALUES.items()}).map(
    lambda chosen: {name: value for name, value in chosen.items() if value is not None}
)


@pytest.fixture(scope="module")
def pipe() -> Iterator[io.TextIOWrapper]:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w", encoding="utf-8") as stream:
        yield stream
    os.close(reader)


@pytest.fixture(scope="module")
def tty() -> Iterator[io.TextIOWrapper]:
    """A terminal of 24 x 80."""
    reader, writer = os.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with os.fdopen(writer, "w", encoding="utf-8") as stream:
        yield stream
    os.close(reader)


@given(environments)
def test_no_variable_makes_a_terminal_of_a_pipe(pipe: io.TextIOWrapper, environ: dict[str, str]) -> None:
    can = surface(pipe, {**environ, **IGNORED})
    assert not can.terminal and not can.redraws
    if can.colours:
        forced = (environ.get("FORCE_COLOR", ""), environ.get("CLICOLOR_FORCE", ""))
        assert not environ.get("NO_COLOR") and any(value not in ("", "0") for value in forced)


@given(environments)
def test_no_variable_makes_a_pipe_of_a_terminal(tty: io.TextIOWrapper, environ: dict[str, str]) -> None:
    """So the gate stands before it, whatever is said."""
    can = surface(tty, {**environ, **IGNORED})
    assert can.terminal
    assert can == surface(tty, environ)
    if environ.get("NO_COLOR"):
        assert can == Surface(True, False, None)
    if environ.get("TERM") in (None, "", "dumb"):
        assert not can.redraws


XTERM = {"TERM": "xterm-256color"}


@pytest.mark.parametrize(
    ("environ", "on_terminal", "on_pipe"),
    [
        (XTERM, (True, "256"), None),
        ({"TERM": "xterm"}, (True, "standard"), None),
        ({**XTERM, "COLORTERM": "truecolor"}, (True, "truecolor"), None),
        ({}, (False, None), None),
        ({"TERM": "dumb"}, (False, None), None),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, (False, "standard"), "standard"),
        ({"FORCE_COLOR": "1"}, (False, "standard"), "standard"),
        ({**XTERM, "FORCE_COLOR": "1"}, (True, "256"), "256"),
        ({**XTERM, "CLICOLOR_FORCE": "1"}, (True, "256"), "256"),
        ({**XTERM, "FORCE_COLOR": "0"}, (True, "256"), None),
        ({**XTERM, "FORCE_COLOR": ""}, (True, "256"), None),
        ({**XTERM, "CLICOLOR": "0"}, (False, None), None),
        ({**XTERM, "NO_COLOR": ""}, (True, "256"), None),
        ({**XTERM, "NO_COLOR": "0"}, (False, None), None),
        ({**XTERM, "NO_COLOR": "1", "FORCE_COLOR": "1"}, (False, None), None),
        ({**XTERM, "TTY_COMPATIBLE": "1"}, (True, "256"), None),
        ({**XTERM, "TTY_COMPATIBLE": "0"}, (False, None), None),
        ({**XTERM, "TTY_INTERACTIVE": "0"}, (False, "256"), None),
    ],
    ids=str,
)
def test_what_each_variable_does(
    tty: io.TextIOWrapper,
    pipe: io.TextIOWrapper,
    environ: Mapping[str, str],
    on_terminal: tuple[bool, Colours | None],
    on_pipe: Colours | None,
) -> None:
    assert surface(tty, environ) == Surface(True, *on_terminal)
    assert surface(pipe, environ) == Surface(False, False, on_pipe)


def test_a_terminal_that_is_not_utf_8_is_not_redrawn(tty: io.TextIOWrapper) -> None:
    with os.fdopen(tty.fileno(), "w", encoding="latin-1", closefd=False) as stream:
        assert surface(stream, XTERM) == Surface(True, False, "256")


def test_streams_that_are_none() -> None:
    closed = io.StringIO()
    closed.close()
    assert not is_terminal(closed) and not is_terminal(io.StringIO())
    assert size(io.StringIO(), {}) == size(closed, {}) == (80, 24)


@pytest.mark.parametrize(
    ("columns", "on_terminal", "on_pipe"),
    [
        ("60", 60, 60), ("200", 80, 200), ("0", 80, 80), ("", 80, 80), ("-5", 80, 80), ("²", 80, 80), ("1e3", 80, 80),
        ("٣", 80, 80), ("9" * 30, 80, 10_000),
    ],
)  # fmt: skip
def test_columns_make_a_terminal_narrower_and_never_wider(
    tty: io.TextIOWrapper, pipe: io.TextIOWrapper, columns: str, on_terminal: int, on_pipe: int
) -> None:
    assert size(tty, {"COLUMNS": columns}) == (on_terminal, 24)
    assert size(pipe, {"COLUMNS": columns}) == (on_pipe, 24)
    assert size(tty, {"LINES": "10"}) == (80, 10) and size(tty, {"LINES": "90"}) == (80, 24)


def test_a_console_follows_its_own_stream(tty: io.TextIOWrapper, monkeypatch: pytest.MonkeyPatch) -> None:
    """stdout a terminal and stderr a file, and the reverse; a terminal that is resized."""
    from speccas.cli.view.theme import make_console, make_look

    for name in (*VALUES, *IGNORED, "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys, "stdout", tty)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    for stderr in (True, False):
        console = make_console(stderr=stderr)
        assert (console.is_terminal, console.color_system) == ((False, None) if stderr else (True, "256"))
        assert console.is_interactive is make_look(console).live is not stderr
    fcntl.ioctl(tty, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 50, 0, 0))
    assert (console.size, console.width) == ((50, 30), 50)
    fcntl.ioctl(tty, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    assert make_console(width=200).width == 200
