"""`speccas list`: every pair, and what of it is on this machine. Asks no network."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ..view.safe import json_text, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from speccas.core.errors import SpeccasError
    from speccas.core.inventory.pairs import ListedPair, PairList

LEAST = 30  # cells; with fewer left, what a pair is stays out


def list_pairs(as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False) -> None:
    """List the pairs: size, what is here, whether it fits this machine, licence."""
    from speccas.core.inventory.pairs import list_of_pairs

    def warn(error: "SpeccasError") -> None:
        sys.stderr.write(f"warning: {one_line(error.message)}\n")

    found = named_pairs(list_of_pairs(warn), warn)
    if as_json:
        print(json_text(found.as_json()))
    else:
        _show(found)


def named_pairs(found: "PairList", warn: "Callable[[SpeccasError], None]") -> "PairList":
    """The list with the default pair and the aliases of the config file; a file that cannot be read is told."""
    from dataclasses import replace
    from os import environ

    from speccas.core.errors import SpeccasError
    from speccas.core.files.config import aliases_in, config_file, read_config

    path = config_file()
    try:
        config = read_config(path)
        aliases = aliases_in(config, path)
    except SpeccasError as error:
        warn(error)
        config, aliases = {}, {}
    default = environ.get("SPECCAS_PAIR") or config.get("pair")
    meant = None if default is None else aliases.get(str(default), str(default))
    return replace(found, default_pair=meant, aliases=aliases)


def what(row: "ListedPair") -> str:
    """What a pair is; of made files, of what and for which machine."""
    made = row.optimized
    if made is None:
        return f"{row.title} (not run by us)" if row.untried else row.title
    where = "this processor" if made.here else f"another processor, {made.processor}"
    return f"made of {made.of} for {where}; {max(0.0, made.loss):.3f} nats from it"


def show_files(console: "Console", found: "PairList") -> None:
    """The models that other programs left here, each by the name that can be typed."""
    from rich.text import Text

    if not found.files:
        return
    console.print()
    console.print(Text("files that are here already (--drafter NAME, --expert NAME):", style="dim"), soft_wrap=True)
    width = max(len(one_line(each.program)) for each in found.files)
    for each in found.files:
        size = f"{each.bytes / 1e9:.2f} GB"
        kind = "  (a draft head)" if each.head else ""
        console.print(Text(f"{size:>10}  {each.program:<{width}}  {one_line(each.name)}{kind}"), soft_wrap=True)
    console.print()


def said_of_names(found: "PairList") -> list[str]:
    """Which pair is taken where none is named, and the user's other names."""
    lines = [] if found.default_pair is None else [f"default pair: {found.default_pair}"]
    told = "; ".join(f"{name} is {pair}" for name, pair in found.aliases.items())
    return [*lines, *([f"aliases: {told}"] if told else [])]


def _show(found: "PairList") -> None:
    """The smallest pair first. On a terminal as many columns as it has room for; in a pipe all of them, whole."""
    from rich.text import Text

    from ..view.flow import cells, clip
    from ..view.theme import STYLES, make_console

    console = make_console()
    table: list[tuple[str, ...]] = [("pair", "size", "here", "memory", "fits", "licence", "what")]
    looks = ["heading"]
    for row in sorted(found.pairs, key=lambda row: (row.memory_gb or row.bytes / 1e9, row.name)):
        size = f"{row.bytes / 1e9:.2f} GB" if row.bytes else "?"
        licence = row.licence + (" (gated)" if row.gated else "")
        memory = f"{row.memory_gb:g} GB" if row.memory_gb else "?"
        fits = "?" if row.fits is None else "yes" if row.fits else "no"
        line = (row.name, size, row.state, memory, fits, licence, what(row))
        table.append(tuple(map(one_line, line)))
        looks.append("good" if row.state == "have" else "quiet" if row.fits is False else "")
    widths = [max(map(cells, column)) for column in zip(*table, strict=True)]
    for cells_of, look in zip(table, looks, strict=True):
        shown, room = "", console.width if console.is_terminal else sys.maxsize
        for head, width, cell in zip(table[0], widths, cells_of, strict=True):
            least = min(width, LEAST if head == "what" else width)
            if cells(shown) + least > room:
                break
            pad = " " * (width - cells(cell))
            shown += (pad + cell if head in ("size", "memory") else cell + pad) + "  "
        shown = shown.rstrip()
        shown = shown if cells(shown) <= room else clip(shown, room - 1) + "…"
        console.print(Text(shown, style=STYLES[look]), soft_wrap=True)
    show_files(console, found)
    for said in said_of_names(found):
        console.print(Text(one_line(said)), soft_wrap=True)
    console.print(
        f"This machine has {found.memory_bytes / 1e9:.1f} GB of memory. `speccas pull PAIR` downloads a pair.",
        style="dim",
    )
