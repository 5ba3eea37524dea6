"""Tables at any width: every cell once and whole, the rows named in every part."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speccas.cli.view.tables import GAP, draw, parts

COLUMNS = ("arm", "tokens/s, B / A", "verdict", "log-prob, B - A")
ROWS = (("expert", "1.00x [0.90, 1.10]", "no difference shown", "+0.023 [-0.094, +0.134]"), ("漢字", "-", "-", "-"))


@pytest.mark.parametrize("width", [20, 34, 60, 80, 120])
def test_every_cell_is_whole_and_apart_from_its_neighbour(terminal: Any, width: int) -> None:
    screen = terminal(width, 24, colour=False)
    draw(screen.console, COLUMNS, ROWS)
    lines = screen.raw.splitlines()  # below 32 columns the terminal breaks what cannot be parted
    for cell in (*COLUMNS, *ROWS[0]):
        assert sum(f"  {cell}  " in f"  {line}  " for line in lines) >= 1, cell
    named = [line for line in lines if line.startswith("expert")]
    assert len(named) == {20: 3, 34: 3, 60: 2, 80: 1, 120: 1}[width]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=9), st.integers(1, 80))
def test_parts_hold_every_column_once(widths: list[int], width: int) -> None:
    found = list(parts(widths, width))
    assert [i for part in found for i in part[1:]] == list(range(1, len(widths)))
    for part in found:
        assert part[0] == 0
        assert len(part) <= 2 or sum(widths[i] for i in part) + GAP * (len(part) - 1) <= width
