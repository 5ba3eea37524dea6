"""The pictures of the README, from the recorded run beside this file. `make pictures` writes them anew.

Knows the trace and the view's own output; runs no model. live.svg is the screen of `speccas compare` in the middle of
a run, compare.svg the export of the whole of it.
"""

import io
import itertools
import re
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from speccas.cli.view.export import to_svg
from speccas.cli.view.theme import Look
from speccas.cli.view.tokens import TokenView
from speccas.core.decoding.events import Drafted
from speccas.core.record.trace import TraceArm, read_trace

HERE = Path(__file__).parent
WIDTH, HEIGHT = 80, 26
ARM, ROUND = "token", 21  # where the picture is taken: a draft waits for the expert


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
    return [*lines, *region]


def live(arms: list[TraceArm]) -> str:
    """The screen as the chosen draft is checked."""
    raw = io.StringIO()
    console = Console(file=raw, force_terminal=True, color_system="256", width=WIDTH, height=HEIGHT, markup=False)
    view = TokenView(Look(console, live=True), itertools.count().__next__)
    view.legend()
    for event in itertools.chain.from_iterable(arm.events() for arm in arms):
        view(event)
        if isinstance(event, Drafted) and (event.arm, event.round) == (ARM, ROUND):
            break
    screen = Console(
        file=io.StringIO(), record=True, width=WIDTH, color_system="256", force_terminal=True, markup=False
    )
    for line in drawn(raw.getvalue())[-HEIGHT:]:
        screen.print(Text.from_ansi(line), soft_wrap=True)
    offline = re.sub(r"@font-face {{.*?}}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return screen.export_svg(title="speccas compare", code_format=offline, unique_id="live")


if __name__ == "__main__":
    recorded = read_trace(HERE / "cascade.jsonl")
    (HERE / "live.svg").write_text(live(recorded), encoding="utf-8")
    (HERE / "compare.svg").write_text(to_svg(recorded), encoding="utf-8")
