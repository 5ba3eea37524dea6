"""A conversation as a user has it: ten turns, stopping, leaving, crashing, a pipe instead of a terminal.

Knows keys and what is on the screen; what a session holds is read from the files it saves.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from speccas.cli.chat.loop import idle

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., Any]
Saved = Callable[..., dict[str, Any]]
pytestmark = pytest.mark.tiny

GREEDY = ("--temperature", "0", "--min-p", "0", "-n", "8", "-k", "4")
LONG = " ".join(f"Fact {i}: the lamp number {i} is {'blue' if i % 3 else 'green'}." for i in range(205))
CTRL_C, CTRL_D, UP = "\x03", "\x04", "\x1b[A"


def answers(document: Mapping[str, Any]) -> list[tuple[str, list[int]]]:
    return [(turn["user"], turn["ids"]) for turn in document["turns"] if turn["finish"] != "interrupted"]


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["exact", "expert"])
def test_ten_turns(start: Start, saved: Saved, tmp_path: Path, rule: str) -> None:
    one, two, three = (tmp_path / f"{name}.json" for name in ("one", "two", "three"))
    talk = start("--rule", rule, *GREEDY)
    for text in ("Name a fruit.", "Name another one."):
        assert "tokens/s" in talk.say(text)
    talk.say("What is a submarine?")
    assert "taken back: What is a submarine?" in talk.say("/undo")
    assert "the same answer, token for token" in talk.say("/regen")
    assert "rule token:0.9" in talk.say("/rule token:0.9")
    talk.say("Is it raining?")
    talk.say("/undo")
    assert f"rule {rule}" in talk.say(f"/rule {rule}")
    talk.paste("Two lines:\nthis is the second.")
    talk.child.send('"""Three\r')
    talk.child.send("quotes.\r")
    talk.say('"""')
    talk.child.send("Alt-Enter\x1b\r")
    talk.say("makes a line too.")
    assert "saved to" in talk.say(f"/save {one}")
    kept = answers(saved(one))
    assert [user for user, _ in kept] == [
        "Name a fruit.", "Name another one.", "Two lines:\nthis is the second.", "Three\nquotes.",
        "Alt-Enter\nmakes a line too.",
    ]  # fmt: skip
    assert "5 turns" in talk.say(f"/load {one}")
    talk.say("And its taste?")
    assert talk.leave() == 0

    again = start("--rule", rule, *GREEDY)  # another process goes on with the file, and has the history
    assert "5 turns" in again.say(f"/load {one}")
    assert "And its taste?" in again.say(UP + UP)  # before /load
    again.say(f"/save {two}")
    assert again.leave("/exit\r") == 0
    never = start("--rule", rule, *GREEDY)  # a session that never had the turns that were undone
    for user, _ in kept:
        never.paste(user)
    never.say("And its taste?")
    never.say(f"/save {three}")
    assert never.leave() == 0
    plain = answers(saved(three))
    assert plain[:5] == kept
    assert plain == answers(saved(two)), "on this pair also after /load"


@pytest.mark.slow
def test_stopped_while_it_reads_and_while_it_writes(start: Start, saved: Saved) -> None:
    talk = start("--temperature", "0", "--min-p", "0")
    talk.say("/set max_tokens 8")
    talk.say("Name a fruit.")
    talk.child.send(f"\x1b[200~{LONG}\x1b[201~\r")
    talk.child.expect_exact("reading the prompt")  # a second into the prefill
    talk.child.send(CTRL_C)
    assert "stopped" in talk.ready()
    talk.say("/set max_tokens none")
    talk.child.send("Write a long story about the sea and the wind.\r")
    talk.child.expect("[1-9][0-9] tokens ·")
    talk.child.send(CTRL_C)
    assert "stopped" in talk.ready()
    talk.say("/set max_tokens 8")
    talk.say("Name another one.")
    assert talk.leave() == 0
    turns = saved()["turns"]
    assert [turn["finish"] == "interrupted" for turn in turns] == [False, True, False]
    assert len(turns[1]["answer"]) > 10, "what was written is kept"

    plain = start(*GREEDY)
    plain.say("Name a fruit.")
    plain.say("Name another one.")
    path = Path(talk.env["XDG_STATE_HOME"]) / "plain.json"
    plain.say(f"/save {path}")
    assert answers(saved(path)) == answers({"turns": turns})


@pytest.mark.slow
def test_twice_ctrl_c_leaves(start: Start) -> None:
    talk = start(*GREEDY)
    talk.child.send(CTRL_C)
    assert "Ctrl-C once more" in talk.ready()
    assert talk.leave(CTRL_C) == 130


@pytest.mark.slow
def test_ctrl_c_twice_in_an_answer_leaves(start: Start) -> None:
    talk = start("--temperature", "0")
    talk.child.send("Write a long story about the sea.\r")
    talk.child.expect("[1-9] tokens ·")
    talk.child.send(CTRL_C)
    assert "stopped" in talk.ready()
    assert talk.leave(CTRL_C) == 130


@pytest.mark.slow
def test_the_echo_of_a_stop_is_no_second_one(start: Start) -> None:
    """The guarding parent passes the terminal's SIGINT on: a signal that comes at the prompt is no key."""
    talk = start("--temperature", "0")
    talk.child.send("Write a long story about the sea.\r")
    talk.child.expect("[1-9] tokens ·")
    for _ in range(3):
        os.kill(talk.child.pid, signal.SIGINT)
    assert "stopped" in talk.ready()
    os.kill(talk.child.pid, signal.SIGINT)
    assert "/help" in talk.say("/help")
    assert talk.leave() == 0


def test_between_answers_a_signal_does_nothing() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background starts with it ignored
    try:
        with idle():
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.slow
def test_terminated(start: Start) -> None:
    talk = start("--temperature", "0")
    talk.child.send("Write a long story about the sea.\r")
    talk.child.expect("[1-9] tokens ·")
    os.kill(talk.child.pid, signal.SIGTERM)
    assert talk.ended() == 143
    assert "\x1b[?25h" in talk.child.before, "the cursor is shown again"


@pytest.mark.slow
def test_killed_during_an_answer(start: Start, saved: Saved) -> None:
    before = os.umask(0)
    try:
        talk = start("--temperature", "0")
    finally:
        os.umask(before)
    talk.say("/set max_tokens 4")
    talk.say("Name a fruit.")
    talk.say("Name another one.")
    talk.say("/set max_tokens none")
    talk.child.send("Write a long story about the sea.\r")
    talk.child.expect("[1-9] tokens ·")
    os.kill(talk.child.pid, signal.SIGKILL)
    assert talk.ended(killed=True) == -signal.SIGKILL
    assert [turn["user"] for turn in saved()["turns"]] == ["Name a fruit.", "Name another one."]
    history = Path(talk.env["XDG_STATE_HOME"]) / "speccas" / "history"
    assert history.stat().st_mode & 0o777 == 0o600


def test_a_pipe(speccas: Run, home: Mapping[str, str]) -> None:
    done = speccas("chat", "-q", *GREEDY, stdin="What is 2+2?\n", env=home)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("\n") and "\x1b" not in done.stdout and len(done.stdout) > 3
    again = speccas("chat", *GREEDY, "-p", "What is 2+2?", env=home)
    assert again.stdout == done.stdout
    plain = speccas("run", "--temperature", "0", "-n", "8", "What is 2+2?", env=home)
    assert plain.stdout == done.stdout
    assert not (Path(home["XDG_STATE_HOME"]) / "speccas").exists(), "a single turn leaves no files"


def test_closed_and_empty_stdin(script: str, home: Mapping[str, str]) -> None:
    for command in (f"{script} chat -q <&-", f"{script} chat -q </dev/null"):
        done = subprocess.run(["bash", "-c", command], env=home, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and done.stdout == ""
        assert "prompt is" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_fast_typist_may_stop_a_second_answer(start: Start) -> None:
    """Two stops are a second Ctrl-C only when nothing was asked in between."""
    talk = start("--temperature", "0")
    for _ in range(2):
        talk.child.send("Write a long story about the sea.\r")
        talk.child.expect("[1-9] tokens ·")
        talk.child.send(CTRL_C)
        assert "stopped" in talk.ready()
    assert talk.leave() == 0
