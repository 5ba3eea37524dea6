"""Which view shows an arm: chosen by --view, the terminal's width and whether it may be redrawn."""

import contextlib
import dataclasses
import heapq
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from rich.text import Text

from speccas.core.decoding.events import Event, Judged
from speccas.core.errors import UsageError
from speccas.core.record.trace import TraceArm

from ..values import MODES
from .columns import ColumnsView, fit
from .flow import Line, broken
from .header import header_lines
from .legend import playable, show_legend
from .safe import one_line
from .theme import STYLES, Look, make_console
from .tokens import TokenView
from .why import explain

INDENT = 6  # cells before the further lines of an explanation
Sink = Callable[[Event], None]


def check_view(name: str) -> None:
    if name not in MODES:
        raise UsageError(f"there is no view {name!r}", f"give one of {', '.join(MODES)}")


@contextlib.contextmanager
def arms_view(
    look: Look,
    names: Sequence[str],
    found: Collection[str],
    view: str,
    side_by_side: bool | None,
    clock: Callable[[], float],
) -> Iterator[tuple[Sink | None, TokenView | None]]:
    """The sink for several arms, and the flowing view where it is one (it wants to know the baseline's speed). `found`:
    what can occur in them, for the legend.

    Columns where they are asked for and fit, or where they fit on a terminal and nothing was said; code is not broken
    in columns that nobody asked for.
    """
    fits = fit(len(names), look.console.width)
    columns = fits and (look.console.is_terminal if side_by_side is None else side_by_side)
    if side_by_side and not fits and len(names) > 1 and view == "tokens":
        note = f"{len(names)} arms do not fit side by side in {look.console.width} columns: one after another"
        make_console(stderr=True).print(Text(f"note: {note}", style=STYLES["warning"]), soft_wrap=True)
    if view == "off":
        yield None, None
    elif columns and view == "tokens":
        show_legend(look, found)
        look.write([[]])
        with ColumnsView(look, names, clock, stack_code=side_by_side is None) as shown:
            yield shown, None
    else:
        show_legend(look, found)
        with TokenView(look, clock, rounds=view == "rounds", numbers=view == "numbers") as flowing:
            yield flowing, flowing


def play_recorded(
    look: Look,
    arms: Sequence[TraceArm],
    view: str,
    side_by_side: bool | None,
    speed: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    """Show recorded arms: one after another, or all from the same start in columns. Speed 0 waits for nothing."""
    names = unique([arm.started.arm for arm in arms])
    if view != "off":
        show_headers(look, [arm.manifest for arm in arms])
    found = playable(arms, rounds=view == "rounds", live=look.live)
    with arms_view(look, names, found, view, side_by_side, clock) as (sink, _):
        if sink is None:
            return
        together = isinstance(sink, ColumnsView)
        streams = [timed(arm, name) for arm, name in zip(arms, names, strict=True)]
        for stream in [heapq.merge(*streams, key=lambda pair: pair[0])] if together else streams:
            began = clock()
            for at, event in stream:
                if speed:
                    sleep(max(0.0, at / speed - (clock() - began)))
                sink(event)


def show_headers(look: Look, manifests: Sequence[Mapping[str, Any]]) -> None:
    """The header of each recorded run; of runs of the same models and settings one."""
    told: list[list[Line]] = []
    for manifest in manifests:
        lines = header_lines(manifest, look.console.width)
        if lines not in told:
            told.append(lines)
            look.write(lines)


def timed(arm: TraceArm, name: str) -> Iterator[tuple[float, Event]]:
    """An arm's events with the second at which each one happened. A draft is seen when it was written."""
    times = iter([judged.t_ms / 1e3 for judged in arm.rounds])
    previous = at = 0.0
    for event in arm.events():
        if isinstance(event, Judged):
            previous = at = next(times)
        yield max(previous, at), dataclasses.replace(event, arm=name)


def unique(names: Sequence[str]) -> list[str]:
    """Names told apart: the second `exact` is `exact (2)`."""
    seen: dict[str, int] = {}
    told = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        told.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return told


def show_why(look: Look, name: str, rounds: Sequence[Judged], index: int) -> None:
    """Explain one token of one arm."""
    file = look.console.file
    file.write(look.ansi(one_line(name), "heading") + "\n")
    for line in explain(look, rounds, index):
        safe = [(one_line(text), status) for text, status in line]
        for done in broken(safe, look.console.width, INDENT):
            look.write([done])
