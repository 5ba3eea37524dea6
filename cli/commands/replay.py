"""`speccas replay`: a recorded run again, without any model; or one file to share."""

import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speccas.core.errors import UsageError

from ..keys import unechoed
from ..outputs import FORCE, write_new
from ..start import once
from ..values import MODES, completing
from ..view.plain import write_path

if TYPE_CHECKING:
    from speccas.core.record.trace import TraceArm


def replay(
    traces: Annotated[
        list[Path],
        typer.Argument(metavar="TRACE", help="Files written by --trace.", autocompletion=completing("traces")),
    ],
    speed: Annotated[float, typer.Option(metavar="X", help="How many times as fast as it ran.", min=0.01)] = 1.0,
    side_by_side: Annotated[
        bool | None, typer.Option("--side-by-side/--stacked", help="Arms as columns (default: where they fit).")
    ] = None,
    view: Annotated[
        str, typer.Option(metavar="VIEW", help="tokens, numbers, rounds or off.", autocompletion=completing(MODES))
    ] = "tokens",
    why: Annotated[int | None, typer.Option(metavar="N", help="Explain token N of each arm instead.")] = None,
    export: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a .html or .svg file instead.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the exported file.")] = False,
    no_live: Annotated[bool, typer.Option("--no-live", help="Draw nothing twice and wait for nothing.")] = False,
) -> None:
    """Play recorded runs in the same view, at the speed they had; or explain a token; or export one to share."""
    from speccas.core.record.trace import read_trace

    from ..view.arms import check_view, play_recorded, show_why
    from ..view.theme import make_console, make_look

    check_view(view)
    if export is not None and why is not None:
        raise UsageError("--why and --export do not go together", "give one of them")
    if force and export is None:
        raise UsageError("--force goes with --export", "write --export FILE, or leave it out")
    arms = [arm for path in traces for arm in read_trace(path)]
    if export is not None:
        export_to(arms, export, force)
        write_path(export)
        return
    look = make_look(make_console(), allow_live=not no_live)
    if why is not None:
        for arm in arms:
            show_why(look, arm.started.arm, arm.rounds, why)
        return
    signal.signal(signal.SIGINT, once)
    with unechoed():
        play_recorded(look, arms, view, side_by_side, speed if look.live else 0.0, time.monotonic, time.sleep)


def export_to(arms: "Sequence[TraceArm]", path: Path, force: bool, hint: str = FORCE) -> None:
    """Write an HTML or SVG file. Raises UsageError."""
    from ..view.export import to_html, to_svg

    kinds = {".html": to_html, ".svg": to_svg}
    if path.suffix not in kinds:
        raise UsageError(f"cannot export to {path.name}", "give a name that ends in .html or .svg")
    write_new(path, kinds[path.suffix](arms), force, hint)
