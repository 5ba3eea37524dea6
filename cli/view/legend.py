"""The legend as lines for a width, every entry whole; and which entries a command needs."""

import contextlib
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from speccas.core.errors import UsageError
from speccas.core.looks.legend import Entry, entries

from .flow import Flow, Line, cells
from .theme import Look, shown_as

if TYPE_CHECKING:
    from speccas.core.decoding.arms import Arm
    from speccas.core.record.trace import TraceArm

GAP = 3  # cells between two entries


def possible(
    arms: Sequence["Arm"],
    k: int | str | None,
    lookup: str,
    rounds: bool = False,
    live: bool = False,
    chain: bool = False,
) -> set[str]:
    """What can occur where these arms are shown: statuses, and keys of MEANINGS. `k` and `lookup` as they are set;
    `live`: drafts are seen while they wait; `chain`: a first drafter drafts for the drafter."""
    ruled = [arm for arm in arms if arm.rule is not None]
    found = {model for arm in arms if arm.rule is None for model in arm.models}
    if ruled:
        found |= {"agreed", "deferred", "bonus"} | ({"expert"} if k == "auto" else set())
        found |= {"kept"} if any(not arm.lossless() for arm in ruled) else set()
        found |= {"first"} if chain else set()
        found |= {"copied"} if lookup == "on" or (lookup == "auto" and k == "auto") else set()
    return found | drafts(bool(ruled), rounds, live)


def recorded(arms: Iterable["TraceArm"]) -> set[str]:
    """What occurs in recorded arms, in the words of `possible`."""
    looks = {shown_as(judged, token) for arm in arms for judged in arm.rounds for token in judged.tokens}
    return {word for look in looks for word in look.split()}


def playable(arms: Iterable["TraceArm"], rounds: bool, live: bool) -> set[str]:
    """As `possible`, of recorded arms: a replay has the legend of its run. A rule of another version is judged by what
    occurs."""
    from speccas.core.decoding.arms import parse_arm

    found: set[str] = set()
    for arm in arms:
        occurs = recorded([arm])
        found |= occurs | drafts(not occurs <= {"expert", "drafter"}, rounds, live)
        with contextlib.suppress(UsageError):
            known, lookup = parse_arm(arm.started.arm), str(arm.manifest.get("lookup", "auto"))
            found |= possible([known], arm.started.k, lookup, rounds, live, bool(arm.manifest.get("first")))
    return found


def drafts(any_: bool, rounds: bool, live: bool) -> set[str]:
    """What a view shows of drafts besides their fate, where there are any."""
    return (({"turned down", "q", "p"} if rounds else set()) | ({"pending"} if live else set())) if any_ else set()


def legend_lines(width: int, shown: Sequence[Entry]) -> list[Line]:
    """As many entries in a line as fit, the same in each; one that is longer than a line is broken as text is."""
    for across in range(len(shown), 0, -1):
        rows = [shown[i : i + across] for i in range(0, len(shown), across)]
        words = [max(cells(row[i][0]) for row in rows if i < len(row)) for i in range(across)]
        widths = [words[i] + 1 + max(cells(row[i][2]) for row in rows if i < len(row)) for i in range(across)]
        if sum(widths) + GAP * (across - 1) <= width:
            return [_row(row, words, widths) for row in rows]
    lines: list[Line] = []
    for word, status, meaning in shown:
        flow = Flow(width)
        lines += [*flow.feed(word, status), *flow.feed(f" {meaning}", "quiet"), *flow.end()]
    return lines


def _row(row: Sequence[Entry], words: list[int], widths: list[int]) -> Line:
    line: Line = []
    for i, (word, status, meaning) in enumerate(row):
        pad = " " * (words[i] - cells(word) + 1)
        behind = " " * (widths[i] - words[i] - 1 - cells(meaning) + GAP) if i + 1 < len(row) else ""
        line += [(word, status), (f"{pad}{meaning}{behind}", "quiet")]
    return line


def show_legend(look: Look, found: Collection[str]) -> None:
    """Write it on the look's console, for what can occur there; nothing where nothing has a colour or a mark."""
    look.write(legend_lines(look.console.width, entries(found, marked=not look.colour)))
