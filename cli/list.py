"""`speccas list`: every pair, and what of it is on this machine. Asks no network."""

import json
import sys
from typing import Annotated, Any

import typer

WIDE = 110  # columns; below it there is no room for what a pair is


def list_pairs(as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False) -> None:
    """List the pairs: size, what is here, whether it fits this machine, licence."""
    from speccas.core.errors import SpeccasError
    from speccas.core.models.machine import memory
    from speccas.core.models.pairs import profiles, read_pair
    from speccas.core.models.peek import held

    total = memory().total
    rows: list[dict[str, Any]] = []
    for name, path in profiles().items():
        try:
            pair = read_pair(path)
        except SpeccasError as error:
            from .safe import one_line

            sys.stderr.write(f"warning: {one_line(error.message)}\n")
            continue
        models = {"drafter": held(pair.drafter), "expert": held(pair.expert)}
        states = {model.state for model in models.values()}
        rows.append(
            {
                "name": name,
                "title": pair.title,
                "state": states.pop() if len(states) == 1 else "partial",
                "bytes": sum(model.bytes for model in models.values()),
                "memory_gb": pair.memory_gb,
                "fits": pair.memory_gb * 1e9 <= total,
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
        print(json.dumps({"schema": 1, "memory_bytes": total, "pairs": rows}, ensure_ascii=False, indent=1))
    else:
        _show(rows, total)


def _show(rows: list[dict[str, Any]], total: int) -> None:
    from rich.table import Table
    from rich.text import Text

    from .safe import one_line
    from .theme import make_console

    console = make_console()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    heads = ("pair", "size", "here", "memory", "licence", "what")[: 6 if console.width >= WIDE else 5]
    for head in heads:
        table.add_column(head, justify="right" if head in ("size", "memory") else "left", no_wrap=head != "licence")
    for row in rows:
        size = f"{row['bytes'] / 1e9:.2f} GB" if row["bytes"] else "?"
        memory = f"{row['memory_gb']:g} GB" + ("" if row["fits"] else " (too much)")
        licence = row["licence"] + (" (gated)" if row["gated"] else "")
        cells = (row["name"], size, row["state"], memory, licence, row["title"])
        table.add_row(*(Text(one_line(cell)) for cell in cells[: len(heads)]))
    console.print(table)
    console.print(f"This machine has {total / 1e9:.1f} GB. `speccas pull PAIR` downloads one.", style="dim")
