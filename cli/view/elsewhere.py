"""Whether drafting pays for an expert on another machine: the line, and the table by acceptance."""

from collections.abc import Mapping
from typing import Any


def elsewhere_lines(found: Mapping[str, Any]) -> list[str]:
    """Of what `ElsewhereReport` is as JSON."""
    bound = "pays from a trip of" if found["trip_each_token"] else "pays up to a trip of"
    rows = [("accepted", "best -k", "speed-up", "tokens/s", bound)]
    for each in found["rows"]:
        trip = each["round_trip_bound_seconds"]
        told = "never" if trip is None else "any" if not trip else f"{1e3 * trip:.1f} ms"
        figures = f"{each['speedup']:.2f}", f"{each['tokens_per_second']:.1f}"
        rows.append((f"{each['acceptance']:.0%}", str(each["k"]), *figures, told))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]
    return [found["verdict"], *lines]
