"""Header and legend: above every command that colours, once, where a person reads; nowhere else."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
Terminal = Callable[..., tuple[int, str]]
pytestmark = [pytest.mark.slow, pytest.mark.tiny]
HEADER = ("SmolLM2-135M-Instruct 135M Q4_1: decides every word", "eagle3-smollm2-135m", "writes ahead for the expert")
AGREED, KEPT, COPIED = "drafted, the expert agrees", "accepted by rule alone", "copied from the text"


def told(text: str) -> list[int]:
    """How often the header's parts and three entries of a legend are there."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    return [text.count(each) for each in (*HEADER, AGREED, KEPT, COPIED)]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "hi", "-k", "2"], [1, 1, 1, 1, 0, 0]),
        (["run", "hi", "--rule", "token"], [1, 1, 1, 1, 1, 1]),
        (["run", "hi", "--rule", "expert"], [1, 1, 1, 0, 0, 0]),
        (["run", "hi", "-q"], [0, 0, 0, 0, 0, 0]),
        (["chat", "-p", "hi", "-k", "2"], [1, 1, 1, 1, 0, 0]),
        (["chat", "-p", "hi", "-q"], [0, 0, 0, 0, 0, 0]),
        (["compare", "hi", "--rule", "token"], [1, 1, 1, 1, 1, 0]),
        (["compare", "hi", "-q"], [1, 1, 1, 0, 0, 0]),  # above a table that nobody explains otherwise
    ],
    ids=lambda value: " ".join(map(str, value)),
)
def test_on_a_terminal(terminal: Terminal, arguments: list[str], expected: list[int]) -> None:
    code, text = terminal(*arguments, "-n", "2", size=(40, 100))
    assert (code, told(text)) == (0, expected), text


def test_a_pipe_gets_the_answer_alone_and_compare_explains_its_marks(speccas: Run) -> None:
    for command in (["run", "hi"], ["chat", "-p", "hi"]):
        done = speccas(*command, "-n", "2")
        assert told(done.stdout + done.stderr) == [0] * 6
    shown = speccas("compare", "hi", "--rule", "token", "-n", "2", env={"COLUMNS": "100"}).stdout
    assert told(shown)[:3] == [1, 1, 1] and "‹kept› accepted by rule alone" in shown
    assert "plain      agreed, or written alone" in shown


def test_a_replay_names_each_run_once(speccas: Run, tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("a.jsonl", "b.jsonl", "c.jsonl")]
    for path, k in zip(paths, "223", strict=True):
        speccas("compare", "hi", "--rule", "token", "-n", "2", "-k", k, "--trace", path)
    text = speccas("replay", *paths, env={"COLUMNS": "100"}).stdout
    assert told(text)[:3] == [2, 2, 2] and text.count("k 2 ·") == text.count("k 3 ·") == 1
    for kind in ("html", "svg"):
        page = tmp_path / f"x.{kind}"
        speccas("replay", paths[0], "--export", str(page))
        told_there = page.read_text(encoding="utf-8")
        assert all(part in told_there for part in ("decides every word", *HEADER[1:])), kind
