"""How statuses look, and the two consoles."""

import os
import sys
from dataclasses import dataclass

from rich.console import COLOR_SYSTEMS, Console
from rich.style import Style

from speccas.core.decoding.events import Judged, Status, Token

STYLES = {
    "agreed": Style.parse("green"),
    "kept": Style.parse("bold dodger_blue1"),
    "agreed copied": Style.parse("italic green"),
    "kept copied": Style.parse("italic bold dodger_blue1"),
    "deferred": Style.parse("underline dark_orange"),
    "bonus": Style.parse("cyan"),
    "discarded": Style.parse("strike grey54"),
    "turned down": Style.parse("strike grey54"),
    "pending": Style.parse("dim italic"),
    "": Style.null(),
    "expert": Style.null(),
    "drafter": Style.null(),
    "quiet": Style.parse("dim"),
    "heading": Style.parse("bold"),
    "warning": Style.parse("yellow"),
    "error": Style.parse("bold red"),
}

MARKS = {
    "kept": ("‹", "›"),
    "agreed copied": ("=", ""),
    "kept copied": ("‹=", "›"),
    "deferred": ("[", "]"),
    "bonus": ("+", ""),
    "discarded": ("~", "~"),
    "turned down": ("~", "~"),
}

LEGEND = ("agreed", "kept", "deferred", "bonus")
MEANINGS = {
    "agreed": "drafted, as the expert would have",
    "kept": "accepted by the rule alone",
    "deferred": "the expert's, in place of a draft",
    "bonus": "behind an accepted draft",
}


def shown_as(judged: Judged, token: Token) -> str:
    """The look of a token: of its status, and whether its draft was looked up in the text before it."""
    copied = judged.source == "lookup" and token.status in (Status.AGREED, Status.KEPT)
    return f"{token.status} copied" if copied else str(token.status)


@dataclass(frozen=True, slots=True)
class Look:
    """How one console shows statuses: by colour, or by marks where there is none."""

    console: Console
    live: bool
    """Whether anything may be redrawn: a terminal that can, and nobody forbade it."""

    @property
    def colour(self) -> bool:
        return self.console.color_system is not None and not self.console.no_color

    def ansi(self, text: str, status: str) -> str:
        """Text in the style of a status, as the console's terminal understands it."""
        system = self.console.color_system
        if not text or system is None or self.console.no_color:
            return text
        return STYLES[status].render(text, color_system=COLOR_SYSTEMS[system])

    def runs(self, text: str, status: str) -> list[tuple[str, str]]:
        """Text as runs of (text, status), with the status's marks around its words where colour cannot tell."""
        before, after = ("", "") if self.colour else MARKS.get(status, ("", ""))
        return words(text, status, before, after)


def words(text: str, status: str, before: str = "", after: str = "") -> list[tuple[str, str]]:
    """The white space around a token's words carries no status, so nothing is underlined or marked but words."""
    word = text.strip()
    if not word:
        return [(text, "")] if text else []
    at = text.index(word)
    runs = [(text[:at], ""), (f"{before}{word}{after}", status), (text[at + len(word) :], "")]
    return [run for run in runs if run[0]]


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Rich ends the process with code 1; here a reader that leaves is a quiet end (`app.py`)."""
        raise BrokenPipeError


def make_console(*, stderr: bool = False, width: int | None = None) -> Console:
    """A console that never interprets what it is given: no markup, no emoji codes, no guessed highlights. With NO_COLOR
    it writes no escape codes at all: `color_system` is None there, as off a terminal."""
    return _Console(
        file=sys.stderr if stderr else sys.stdout,
        markup=False,
        emoji=False,
        highlight=False,
        width=width,
        soft_wrap=False,
        color_system=None if os.environ.get("NO_COLOR") else "auto",
    )


def make_look(console: Console, allow_live: bool = True) -> Look:
    return Look(console, allow_live and console.is_terminal and console.color_system is not None)
