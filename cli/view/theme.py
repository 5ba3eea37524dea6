"""How statuses look, and the two consoles."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from rich.console import COLOR_SYSTEMS, Console
from rich.style import Style

from speccas.core.decoding.events import Judged, Status, Token

from .console import StreamConsole


@dataclass(frozen=True, slots=True)
class Ink:
    """One colour. `screen`: on a terminal, whose background nobody tells us, so it is 3:1 or better on black, on white
    and on what themes use for them. `paper` and `night`: on the white and the black of an export,
    4.5:1. `name`: where there are only 16."""

    screen: str
    paper: str
    night: str
    name: str


@dataclass(frozen=True, slots=True)
class Face:
    """How a status looks wherever it is shown. No ink is the terminal's own colour, or the page's. `marks` stand around
    its words where there is no colour."""

    ink: Ink | None = None
    bold: bool = False
    italic: bool = False
    strike: bool = False
    dim: bool = False
    marks: tuple[str, str] = ("", "")

    def style(self, sixteen: bool = False) -> Style:
        """For a terminal, `sixteen` for one that has so few colours."""
        color = None if self.ink is None else self.ink.name if sixteen else self.ink.screen
        on = {name: getattr(self, name) or None for name in ("bold", "italic", "strike", "dim")}
        return Style(color=color, **on)

    def css(self, colour: str = "color") -> str:
        """Declarations for a page. `colour`: the property that colours text, `fill` in SVG."""
        ink = self.ink or (GREY if self.dim else None)
        parts = [f"{colour}:{ink.paper}"] if ink else []
        parts += ["font-weight:700"] * self.bold + ["font-style:italic"] * self.italic
        return ";".join(parts + ["text-decoration:line-through"] * self.strike)

    def night(self, colour: str = "color") -> str:
        """What a page adds where the reader's system is dark."""
        ink = self.ink or (GREY if self.dim else None)
        return f"{colour}:{ink.night}" if ink else ""


# Chosen so that agreed, kept, deferred and plain text stay apart, on dark and on light, also for eyes that lack one
# kind of cone (tests/cli/view/test_colours.py); the green is the lightest of the three, the amber the quietest.
GREEN = Ink("#00a362", "#00804f", "#22c07a", "green")
BLUE = Ink("#4d7cff", "#1f57e6", "#5b86ff", "bright_blue")
AMBER = Ink("#b86500", "#964800", "#c77000", "yellow")
GREY = Ink("#8a8a8a", "#5f6368", "#9aa0a6", "bright_black")
RED = Ink("#e0483e", "#b3261e", "#f06a60", "red")

FACES = {
    "agreed": Face(GREEN),
    "kept": Face(BLUE, bold=True, marks=("‹", "›")),
    "agreed copied": Face(GREEN, italic=True, marks=("=", "")),
    "kept copied": Face(BLUE, bold=True, italic=True, marks=("‹=", "›")),
    "deferred": Face(AMBER, marks=("[", "]")),
    "bonus": Face(marks=("+", "")),
    "expert": Face(),
    "drafter": Face(),
    "": Face(),
    "plain": Face(),
    "turned down": Face(GREY, strike=True, marks=("~", "~")),
    "discarded": Face(GREY, strike=True, marks=("~", "~")),
    "pending": Face(italic=True, dim=True),
    "copied": Face(italic=True, marks=("=", "")),
    "quiet": Face(dim=True),
    "heading": Face(bold=True),
    "good": Face(GREEN),
    "warning": Face(AMBER),
    "error": Face(RED, bold=True),
}
"""The one table of looks: the terminal, its marks and the exports read it."""
STYLES = {status: face.style() for status, face in FACES.items()}


@cache
def styles_of(system: str) -> Mapping[str, Style]:
    """Styles for a kind of terminal, as Rich names it. Not shared with another kind: a style keeps its first codes."""
    return {status: face.style(sixteen=system in ("standard", "windows")) for status, face in FACES.items()}


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
        return styles_of(system)[status].render(text, color_system=COLOR_SYSTEMS[system])

    def styled(self, line: Iterable[tuple[str, str]]) -> str:
        """A line of (text, status) as it is written."""
        return "".join(self.ansi(text, status) for text, status in line)

    def write(self, lines: Iterable[Iterable[tuple[str, str]]]) -> None:
        """Lines that stay."""
        self.console.file.write("".join(self.styled(line) + "\n" for line in lines))

    def runs(self, text: str, status: str) -> list[tuple[str, str]]:
        """Text as runs of (text, status), with the status's marks around its words where colour cannot tell."""
        before, after = ("", "") if self.colour else FACES[status].marks
        return words(text, status, before, after)


def words(text: str, status: str, before: str = "", after: str = "") -> list[tuple[str, str]]:
    """The white space around a token's words carries no status, so nothing is struck through or marked but words."""
    word = text.strip()
    if not word:
        return [(text, "")] if text else []
    at = text.index(word)
    runs = [(text[:at], ""), (f"{before}{word}{after}", status), (text[at + len(word) :], "")]
    return [run for run in runs if run[0]]


def make_console(*, stderr: bool = False, width: int | None = None) -> StreamConsole:
    """The console of stdout or of stderr; `width` where it is not to depend on the stream."""
    return StreamConsole(stderr=stderr, width=width)


def make_look(console: Console, allow_live: bool = True) -> Look:
    return Look(console, allow_live and console.is_interactive)
