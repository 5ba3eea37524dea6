"""Errors, hints and notes on a terminal: broken between words, never within one; in a pipe not at all."""

import io
import re
from collections.abc import Callable
from subprocess import CompletedProcess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speccas.cli.view.terminal import size
from speccas.cli.view.told import told


class Narrow(io.StringIO):
    """Says that it is a terminal; its width is COLUMNS, as it has no size of its own."""

    def isatty(self) -> bool:
        return True


@given(st.lists(st.text("abc-/`", min_size=1, max_size=40), min_size=1))
def test_words_stay_whole(words: list[str]) -> None:
    text = " ".join(words)
    assert told(text, io.StringIO()) == text
    lines, width = told(text, Narrow()).split("\n"), size(Narrow())[0]
    assert " ".join(lines).split(" ") == words and all(len(line) <= width or " " not in line for line in lines)


@pytest.mark.parametrize("width", [30, 47, 80])
def test_a_hint_on_a_terminal(
    terminal: Callable[..., tuple[int, str]], speccas: Callable[..., "CompletedProcess[str]"], width: int
) -> None:
    """The same words, each whole, in every width."""
    command = ("run", "hi", "--rule", "tokem")
    plain = speccas(*command)
    assert plain.returncode == 2 and plain.stderr.count("\n") == 2
    code, shown = terminal(*command, size=(24, width))
    lines = shown.replace("\r", "").splitlines()
    assert code == 2 and max(map(len, lines)) <= width
    assert re.sub(r"\s+", " ", shown).strip() == re.sub(r"\s+", " ", plain.stderr).strip()
