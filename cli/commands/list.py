"""`speccas list`: every pair, and what of it is on this machine. Asks no network."""

import sys
from typing import Annotated, Any

import typer

from ..view.safe import json_text, one_line

LEAST = 30  # cells; with fewer left, what a pair is stays out


def list_pairs(as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False) -> None:
    """List the pairs: size, what is here, whether it fits this machine, licence."""
    from speccas.core.errors import SpeccasError
    from speccas.core.files.local import local_model
    from speccas.core.files.profiles import profiles, read_profile
    from speccas.core.machine.memory import memory

    total = memory().total
    rows: list[dict[str, Any]] = []
    for name, path in profiles().items():
        try:
            pair = read_profile(path)
        except SpeccasError as error:
            sys.stderr.write(f"warning: {one_line(error.message)}\n")
            continue
        models = {"drafter": local_model(pair.drafter), "expert": local_model(pair.expert)}
        states = {model.state for model in models.values()}
        rows.append(
            {
                "name": name,
                "title": pair.title,
                "state": states.pop() if len(states) == 1 else "partial",
                "bytes": sum(model.bytes for model in models.values()),
                "memory_gb": pair.memory_gb or None,
                "fits": pair.memory_gb * 1e9 <= total if pair.memory_gb else None,
                "licence": pair.licence,
                "gated": pair.gated,
                "origin": str(path),
                **{
                    role: {
                        "source": str(model.source),
                        "state": model.state,
                        "bytes": model.bytes,
                        "path": None if model.path is None else str(model.path),
                    }
                    for role, model in models.items()
                },
            }
        )
    if as_json:
        print(json_text({"schema": 1, "memory_bytes": total, "pairs": rows}))
    else:
        _show(rows, total)


def _show(rows: list[dict[str, Any]], total: int) -> None:
    """The smallest pair first. On a terminal as many columns as it has room for; in a pipe all of them, whole."""
    from rich.text import Text

    from ..view.flow import cells, clip
    from ..view.theme import make_console

    console = make_console()
    table: list[tuple[str, ...]] = [("pair", "size", "here", "memory", "fits", "licence", "what")]
    styles = ["bold"]
    for row in sorted(rows, key=lambda row: (row["memory_gb"] or row["bytes"] / 1e9, row["name"])):
        size = f"{row['bytes'] / 1e9:.2f} GB" if row["bytes"] else "?"
        licence = row["licence"] + (" (gated)" if row["gated"] else "")
        memory = f"{row['memory_gb']:g} GB" if row["memory_gb"] else "?"
        fits = "?" if row["fits"] is None else "yes" if row["fits"] else "no"
        line = (row["name"], size, row["state"], memory, fits, licence, row["title"])
        table.append(tuple(map(one_line, line)))
        styles.append("green" if row["state"] == "have" else "dim" if row["fits"] is False else "")
    widths = [max(map(cells, column)) for column in zip(*table, strict=True)]
    for cells_of, style in zip(table, styles, strict=True):
        shown, room = "", console.width if console.is_terminal else sys.maxsize
        for head, width, cell in zip(table[0], widths, cells_of, strict=True):
            least = min(width, LEAST if head == "what" else width)
            if cells(shown) + least > room:
                break
            pad = " " * (width - cells(cell))
            shown += (pad + cell if head in ("size", "memory") else cell + pad) + "  "
        shown = shown.rstrip()
        shown = shown if cells(shown) <= room else clip(shown, room - 1) + "…"
        console.print(Text(shown, style=style), soft_wrap=True)
    console.print(
        f"This machine has {total / 1e9:.1f} GB of memory. `speccas pull PAIR` downloads a pair.", style="dim"
    )
