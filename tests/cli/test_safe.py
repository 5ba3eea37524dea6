"""What reaches a terminal: no character that it would obey, and on the live view every line once, in order."""

import json
import re
import subprocess
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speccas.cli.view.safe import json_text, one_line, visible

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Terminal = Callable[..., tuple[int, str]]

OBEYED = [*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
ATTACKS = [
    "\x1b]52;c;cHduZWQ=\x07",
    "\x9b2J",
    "\x1b[2J\x1b[H",
    "a\rb",
    "\x1b]0;title\x1b\\",
    "\u202egnp.exe",
    "\x7f\x08",
]
texts = st.text() | st.text(
    st.sampled_from([*map(chr, OBEYED), "a", "é", "\ud800", "\U000e0041", "\u2028", "\u200d", "👩"])
)


@given(texts)
def test_nothing_is_left_that_a_terminal_would_obey(text: str) -> None:
    shown = visible(text)
    assert not set(shown) & {chr(code) for code in OBEYED if chr(code) != "\n"}
    assert not any(unicodedata.category(character) in ("Cc", "Cs") for character in shown if character != "\n")
    assert visible(shown) == shown
    assert shown.count("\n") == text.count("\n") and "\n" not in one_line(text)
    shown.encode("utf-8")


@given(st.text(st.characters(exclude_categories=("C", "Z"))))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert visible(text) == one_line(text) == text


@given(texts)
def test_json_says_the_same_and_holds_nothing_that_a_terminal_would_obey(text: str) -> None:
    shown = json_text({text: [text, 1]})
    assert json.loads(shown) == {text: [text, 1]}
    assert not set(shown) & {chr(code) for code in OBEYED if chr(code) != "\n"}
    shown.encode("utf-8")


@pytest.mark.parametrize("attack", ATTACKS, ids=ascii)
def test_attacks_stay_readable(attack: str) -> None:
    shown = one_line(attack)
    assert shown.isprintable() and len(shown) >= len(attack)
    for word in re.findall("[a-z=0-9;]{2,}", attack):
        assert word in shown


def test_a_message_is_no_way_in(speccas: Run) -> None:
    done = speccas("run", "hi", "--rule", "\x1b[2J\x9b", "--pair", "\x1b]0;x\x07")
    assert done.returncode == 2 and done.stderr.replace("\n", "").isprintable() and "x1b" in done.stderr


@pytest.mark.slow
def test_a_profile_is_no_way_in(speccas: Run, tmp_path: Path) -> None:
    pairs = tmp_path / "speccas/pairs"
    pairs.mkdir(parents=True)
    (pairs / "ev.yaml").write_text(
        'name: ev\ntitle: "t\\e[2J\\x9b"\nlicence: "l\\u202e"\n'
        'drafter: {path: "no\\e[2J.gguf"}\nexpert: {path: "x\\x9b"}\n'
    )
    for words in (["list"], ["list", "--json"], ["show", "ev"], ["verify", "ev"], ["pull", "ev"]):
        done = speccas(*words, env={"XDG_CONFIG_HOME": str(tmp_path)})
        assert (done.stdout + done.stderr).replace("\n", "").isprintable(), words


OURS = re.compile(r"\x1b\[(?:[0-9;]*m|\d*A|0?J|[02]?K|\?25[lh]|\?2026[lh])")
COMMAND = ["compare", "Write a short poem about the sea.", "-n", "64", "--rule", "token"]


def packed(text: str) -> str:
    return "".join(text.split())


@pytest.fixture(scope="module")
def arms(speccas: Run) -> list[dict[str, Any]]:
    """What each arm of COMMAND writes."""
    found: list[dict[str, Any]] = json.loads(speccas(*COMMAND, "--json").stdout)["arms"]
    return found


@pytest.mark.slow
@pytest.mark.tiny
@pytest.mark.parametrize(("rows", "columns"), [(24, 80), (12, 40)])
def test_every_line_once_in_order(arms: list[dict[str, Any]], terminal: Terminal, rows: int, columns: int) -> None:
    """Arms one under the other, longer than the screen: what scrolled away and what is seen is what was written."""
    code, written = terminal(*COMMAND, "--stacked", size=(rows, columns))
    assert code == 0
    assert "\x1b" not in OURS.sub("", written), "an escape code that is not ours"
    screen = pyte.HistoryScreen(columns, rows, history=10_000)
    pyte.Stream(screen).feed(written)
    assert not screen.cursor.hidden
    gone = ["".join(row[x].data for x in range(columns)) for row in screen.history.top]
    lines = [line.rstrip() for line in (*gone, *screen.display)]
    headings = [next(i for i, line in enumerate(lines) if line.startswith(f"── {arm['name']} ")) for arm in arms]
    assert headings == sorted(headings)
    for arm, at, behind in zip(arms, headings, [*headings[1:], len(lines)], strict=True):
        shown, text = packed("".join(lines[at + 1 : behind])), packed(arm["text"])
        assert shown == text if arm is not arms[-1] else shown.startswith(text)
        assert all(len(line) <= columns for line in lines)
        assert sum(line.startswith(f"── {arm['name']} ") for line in lines) == 1
