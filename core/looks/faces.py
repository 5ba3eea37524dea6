"""One table of looks: a colour, a weight and marks for every status and for the few other things that stand out."""

from dataclasses import dataclass


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
    underline: bool = False
    dim: bool = False
    marks: tuple[str, str] = ("", "")

    def css(self, colour: str = "color") -> str:
        """Declarations for a page. `colour`: the property that colours text, `fill` in SVG."""
        ink = self.ink or (GREY if self.dim else None)
        parts = [f"{colour}:{ink.paper}"] if ink else []
        parts += ["font-weight:700"] * self.bold + ["font-style:italic"] * self.italic
        parts += ["text-decoration:underline"] * self.underline
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
    "agreed first": Face(GREEN, underline=True, marks=("'", "")),
    "kept first": Face(BLUE, bold=True, underline=True, marks=("‹'", "›")),
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
    "first": Face(underline=True, marks=("'", "")),
    "quiet": Face(dim=True),
    "heading": Face(bold=True),
    "good": Face(GREEN),
    "warning": Face(AMBER),
    "error": Face(RED, bold=True),
}
"""The terminal, its marks, the exports and the served page read it."""
