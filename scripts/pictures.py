"""The pictures in docs/, from recorded runs. `make pictures` writes them anew; it runs no model.

Screens are drawn by the view's own functions from docs/pictures/*.jsonl (the text) and *.json (the figures, of a run of
the same command that recorded nothing). live.svg is a screen in the middle of a run, compare.svg the export of a whole
one, both from docs/cascade.jsonl. `python scripts/pictures.py --record` makes the recordings anew, with the tiny pair.
"""

import io
import itertools
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from speccas.cli.view.arms import play_recorded
from speccas.cli.view.export import to_svg
from speccas.cli.view.flow import hanging
from speccas.cli.view.header import show_header
from speccas.cli.view.legend import playable, show_legend
from speccas.cli.view.tables import show_arms
from speccas.cli.view.theme import Look
from speccas.cli.view.tokens import TokenView
from speccas.core.decoding.events import Drafted
from speccas.core.record.comparison import Comparison
from speccas.core.record.metrics import Figures
from speccas.core.record.trace import TraceArm, read_trace

DOCS = Path(__file__).parents[1] / "docs"
FOLDER = DOCS / "pictures"
TEXT = (
    "The river runs past the old mill, under the stone bridge and thruogh the town, and in spring it floods the "
    "meadows below the church."
)
COMMANDS = {
    "edit": ["compare", f"Correct the spelling of this text: {TEXT}", "--rule", "token", "--lookup", "on", "-k", "8"],
    "first": ["compare", "Name three primary colours.", "--rule", "confidence"],  # README's first command
}
NORMAL = [(0, 0, 0), (205, 49, 49), (13, 188, 121), (229, 229, 16), (36, 114, 200), (188, 63, 188), (17, 168, 205)]
"""Colours by number, which nothing in a screen uses but a theme must have."""
DARK = TerminalTheme((30, 30, 30), (204, 204, 204), [*NORMAL, (229, 229, 229)])
LIGHT = TerminalTheme((255, 255, 255), (51, 51, 51), [*NORMAL, (85, 85, 85)])
LIVE = ("token", 21)  # where the picture in the middle of a run is taken: a draft waits for the expert


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture of a screen: of which recording, how wide, in which theme, and whether there is colour."""

    recording: str
    width: int
    theme: TerminalTheme = DARK
    colour: bool = True


SHOTS = {
    "dark": Shot("edit", 124),
    "light": Shot("edit", 124, LIGHT),
    "plain": Shot("edit", 80, colour=False),
    "narrow": Shot("edit", 60),
    "first": Shot("first", 80),
}


def drawn(raw: str) -> list[str]:
    """The lines that a terminal would show after this output of the view: each drawing replaces the one before."""
    before, *drawings = raw.split("\r\x1b[J")
    lines, region = before.replace("\x1b[?25l", "").splitlines(), [""]
    for drawing in drawings:
        if not drawing.startswith("\x1b[?25h"):  # an arm's region was taken away
            found = re.fullmatch(r"(.*)\r(?:\x1b\[(\d+)A)?", drawing.split("\x1b[?25l")[0], re.DOTALL)
            assert found is not None, drawing
            body = found[1].split("\n")
            rows = int(found[2] or 0) + 1
            lines += body[:-rows]
            region = body[-rows:]
        else:
            lines += drawing.removeprefix("\x1b[?25h").replace("\x1b[?25l", "").splitlines()
            region = []
    return [*lines, *region]


def terminal(width: int, colour: bool) -> tuple[io.StringIO, Look]:
    """What a terminal of this width is sent, and the look that sends it."""
    raw = io.StringIO()
    system = "truecolor" if colour else None
    console = Console(
        file=raw,
        force_terminal=colour,
        color_system=system,  # type: ignore[arg-type]
        width=width,
        height=40,
        markup=False,
        highlight=False,
        emoji=False,
    )
    return raw, Look(console, live=colour)


def picture(lines: Sequence[str], width: int, title: str, theme: TerminalTheme = DARK) -> str:
    """Lines with escape codes as the window of a terminal, in SVG, without the font that Rich would fetch."""
    screen = Console(
        file=io.StringIO(), record=True, width=width, color_system="truecolor", force_terminal=True, markup=False
    )
    for line in lines:
        screen.print(Text.from_ansi(line), soft_wrap=True)
    offline = re.sub(r"@font-face {{.*?}}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    svg = screen.export_svg(title=title, code_format=offline, unique_id="screen", theme=theme)
    return svg.replace("rgba(255,255,255,0.35)", "rgba(128,128,128,0.5)")  # an edge that is seen on white as well


def typed(name: str) -> str:
    """The command as a person types it."""
    return shlex.join(["speccas", *COMMANDS[name]]).replace("'", '"')


def screenshot(shot: Shot) -> str:
    """The screen of `speccas compare` when it has ended."""
    arms = read_trace(FOLDER / f"{shot.recording}.jsonl")
    document = json.loads((FOLDER / f"{shot.recording}.json").read_text(encoding="utf-8"))
    raw, look = terminal(shot.width, shot.colour)
    raw.write("\n".join(hanging("$ ", typed(shot.recording), shot.width)) + "\n")
    play_recorded(look, arms, "tokens", None, 0.0, lambda: 0.0, lambda _: None)
    figures = [Figures.from_json(arm) for arm in document["arms"]]
    show_arms(look.console, Comparison(figures, document.get("drift")))
    return picture(drawn(raw.getvalue()), shot.width, "speccas compare", shot.theme)


def live(arms: Sequence[TraceArm]) -> str:
    """The screen as the chosen draft is checked."""
    raw, look = terminal(80, colour=True)
    view = TokenView(look, itertools.count().__next__)
    show_header(look, arms[0].manifest)
    show_legend(look, playable(arms, rounds=False, live=True))
    for event in itertools.chain.from_iterable(arm.events() for arm in arms):
        view(event)
        if isinstance(event, Drafted) and (event.arm, event.round) == LIVE:
            break
    return picture(drawn(raw.getvalue())[-26:], 80, "speccas compare")


def pictures() -> dict[Path, str]:
    """Every picture with its file."""
    recorded = read_trace(DOCS / "cascade.jsonl")
    screens = {FOLDER / f"{name}.svg": screenshot(shot) for name, shot in SHOTS.items()}
    return {**screens, DOCS / "live.svg": live(recorded), DOCS / "compare.svg": to_svg(recorded)}


def record(name: str) -> None:
    """Run the command twice: once for the text, once for figures that count. The trace keeps what a screen shows."""
    command = ["speccas", *COMMANDS[name]]
    trace, figures = FOLDER / f"{name}.jsonl", FOLDER / f"{name}.json"
    subprocess.run([*command, "--trace", str(trace), "--force", "-q"], check=True, stdout=subprocess.DEVNULL)
    timed = subprocess.run([*command, "--json"], check=True, capture_output=True, text=True).stdout
    figures.write_text(timed, encoding="utf-8")
    lines = [json.loads(line) for line in trace.read_text(encoding="utf-8").splitlines()]
    texts = [line["text"] for line in lines if line["type"] == "finished"]
    assert texts == [arm["text"] for arm in json.loads(timed)["arms"]], "two runs, two texts"
    for token in itertools.chain.from_iterable(line.get("tokens", ()) for line in lines if line["type"] == "round"):
        token["expert_top"], token["others"], token["rule"] = [], [], None
    slim = "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines)
    trace.write_text(slim, encoding="utf-8")


if __name__ == "__main__":
    for name in COMMANDS if sys.argv[1:] == ["--record"] else ():
        record(name)
    for path, svg in pictures().items():
        path.write_text(svg, encoding="utf-8")
