"""How statuses look on a terminal, and the two consoles."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from rich.console import COLOR_SYSTEMS, Console
from rich.style import Style

from speccas.core.decoding.events import Judged, Status, Token
from speccas.core.looks.faces import FACES, Face

from .console import StreamConsole


def style_of(face: Face, sixteen: bool = False) -> Style:
    """For a terminal, `sixteen` for one that has so few colours."""
    color = None if face.ink is None else face.ink.name if sixteen else face.ink.screen
    on = {name: getattr(face, name) or None for name in ("bold", "italic", "strike", "dim", "underline")}
    return Style(color=color, **on)


STYLES = {status: style_of(face) for status, face in FACES.items()}


@cache
def styles_of(system: str) -> Mapping[str, Style]:
    """Styles for a kind of terminal, as Rich names it. Not shared with another kind: a style keeps its first codes."""
    return {status: style_of(face, sixteen=system in ("standard", "windows")) for status, face in FACES.items()}


def shown_as(judged: Judged, token: Token) -> str:
    """The look of a token: of its status, and whether its draft was looked up in the text before it, or came from a
    chain's first drafter."""
    if token.status not in (Status.AGREED, Status.KEPT):
        return str(token.status)
    drafted = "copied" if judged.source == "lookup" else "first" if token.level == 1 else ""
    return f"{token.status} {drafted}".strip()


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
