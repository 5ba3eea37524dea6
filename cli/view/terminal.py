"""What a stream is, in one place: a terminal where the stream itself says so, whatever the environment says.

Variables may colour text off a terminal (FORCE_COLOR, CLICOLOR_FORCE) and take things away on one (NO_COLOR, TERM);
none makes a terminal of a pipe or a file, so nothing is ever redrawn there. Imports nothing heavy.
"""

import codecs
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Literal

Colours = Literal["standard", "256", "truecolor"]

DUMB = ("", "dumb", "unknown")
WIDTH, HEIGHT = 80, 24  # where nobody says
WIDEST = 10_000  # cells; a number that somebody mistyped must not fill the memory with blanks


@dataclass(frozen=True, slots=True)
class Surface:
    """What may be written on a stream."""

    terminal: bool
    """A person reads it: what is not ours goes through the gate (safe.py)."""
    redraws: bool
    """The cursor may be moved: live regions and bars."""
    colours: Colours | None
    """None: no escape codes for colours."""


def surface(stream: IO[str], environ: Mapping[str, str] = os.environ) -> Surface:
    """Ask the stream what it is, and the environment what may be written there.

    NO_COLOR counts where it is not empty (no-color.org) and goes before FORCE_COLOR. TERM unset is as TERM=dumb. A
    terminal that is not UTF-8 is not redrawn: one letter may take several cells there.
    """

    def given(*names: str) -> bool:
        return any(environ.get(name, "").lower() not in ("", "0", "false") for name in names)

    terminal = is_terminal(stream)
    obeys = terminal and environ.get("TTY_COMPATIBLE") != "0" and (os.name == "nt" or term(environ) not in DUMB)
    plain = environ.get("NO_COLOR", "") != ""
    forced = given("FORCE_COLOR", "CLICOLOR_FORCE")
    coloured = not plain and (forced or (obeys and environ.get("CLICOLOR") != "0"))
    still = plain or environ.get("CLICOLOR") == "0" or environ.get("TTY_INTERACTIVE") == "0"
    return Surface(terminal, obeys and not still and is_utf8(stream), depth(environ) if coloured else None)


def is_terminal(stream: IO[str]) -> bool:
    """False for a stream that was closed, too."""
    try:
        return stream.isatty()
    except ValueError:
        return False


def is_utf8(stream: IO[str]) -> bool:
    """Whether every letter can be written; a stream that does not say is our own."""
    try:
        return codecs.lookup(getattr(stream, "encoding", None) or "utf-8").name == "utf-8"
    except LookupError:
        return False


def term(environ: Mapping[str, str]) -> str:
    return environ.get("TERM", "").strip().lower()


def depth(environ: Mapping[str, str]) -> Colours:
    """How many colours the terminal says it has."""
    if environ.get("COLORTERM", "").strip().lower() in ("truecolor", "24bit"):
        return "truecolor"
    return "256" if term(environ).endswith(("-256color", "-kitty", "-direct")) else "standard"


def size(stream: IO[str], environ: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """Columns and lines of a stream. COLUMNS and LINES count off a terminal; on one they only make it smaller, since a
    region that is wider than its lines would be torn."""
    wanted = tuple(number(environ.get(name, "")) for name in ("COLUMNS", "LINES"))
    try:
        real = os.get_terminal_size(stream.fileno()) if is_terminal(stream) else (0, 0)
    except (OSError, ValueError):
        real = (0, 0)
    columns, lines = (min(filter(None, pair), default=0) for pair in zip(wanted, real, strict=True))
    return columns or WIDTH, lines or HEIGHT


def number(text: str) -> int:
    """Cells, as COLUMNS gives them; 0 where it says nothing."""
    return min(int(text), WIDEST) if text.isascii() and text.isdigit() else 0
