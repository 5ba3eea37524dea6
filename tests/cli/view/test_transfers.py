"""The bars of downloads: one line a file at every width, and which file it is can be read."""

import io
import re

import pytest
from rich.console import Console

from speccas.cli.view.transfers import Transfers

NAMES = [f"Qwen2.5-7B-Instruct-Q4_K_M-0000{part}-of-00002.gguf" for part in (1, 2)]


@pytest.mark.parametrize("width", [64, 80, 120])
def test_a_file_has_one_line(width: int) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=width, height=24)
    with Transfers(console) as transfers:
        for name in NAMES:
            transfers.tell(name, 1_234_000_000, 14_683_000_000)
    last = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", out.getvalue()).replace("\r", "\n").splitlines()
    lines = [line for line in last if line.strip()][-2:]
    for name, line in zip(NAMES, lines, strict=True):
        assert len(line) <= width
        shown = line.split()[0].removeprefix("…")
        assert name.endswith(shown) and len(shown) >= 12
        assert "1.2/14.7 GB" in line
