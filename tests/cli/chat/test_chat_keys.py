"""Keys of a chat beyond its messages: pastes, what is typed while nobody reads, search, the editor, poor terminals."""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pexpect
import pytest

from speccas.cli.chat.commands import COMMANDS
from speccas.cli.chat.input import fenced, unquoted
from speccas.cli.chat.typed import draft_of

Start = Callable[..., Any]
Saved = Callable[..., dict[str, Any]]
pytestmark = pytest.mark.tiny

GREEDY = ("--temperature", "0", "--min-p", "0", "-n", "8", "-k", "4")
LONG = ("--temperature", "0", "--min-p", "0", "-n", "120", "--ignore-eos", "-k", "4")
DOCSTRING = '"""Return the mean.\n\nRaises ValueError for an empty list.\n"""\nraise NotImplementedError'
CTRL_C, CTRL_D, CTRL_G, CTRL_R = "\x03", "\x04", "\x07", "\x12"


def test_what_was_typed_becomes_a_draft() -> None:
    assert draft_of("one\rtwo\r") == "one\ntwo" and draft_of("\r\r") == "" and draft_of("") == ""
    assert draft_of("onf\x7fe\x15two  three\x17") == "two  ", "edits at the end are done"
    assert draft_of("a\x1b[Ab\x1b[24;80Rc\x1bOP\x07") == "abc", "no key that moves or asks, no answer of a terminal"
    assert draft_of("a\x1b[200~b\r\nc\rd\x1b[201~e\x1b\rf") == "ab\nc\nde\nf"
    assert draft_of("\tx = 1\r\ty = 2\r") == "\tx = 1\n\ty = 2"


@pytest.mark.parametrize("text", ['"""Doc."""', DOCSTRING, "/usr/bin: no\nsuch file", "/usr/bin", '"""', '"""\n'])
def test_a_paste_that_would_be_taken_for_something_else(text: str) -> None:
    assert fenced(text, list(COMMANDS)) != text and unquoted(fenced(text, list(COMMANDS))) == text


@pytest.mark.parametrize("text", ["a\nb", "/k 4", " /set seed 3\n", 'say """x"""', ""])
def test_a_paste_that_stays_as_it_is(text: str) -> None:
    assert fenced(text, list(COMMANDS)) == text


@pytest.mark.slow
def test_a_paste_is_sent_as_it_is(start: Start, saved: Saved) -> None:
    """Its quotes open nothing; the same message again from the history, too. Quotes that are typed still do."""
    talk = start(*GREEDY)
    talk.paste(DOCSTRING)
    talk.say("\x1b[A")
    talk.paste("/usr/bin/ld: cannot find -lm\nmake: *** Error 1")
    talk.child.send("What is this? \x1b[200~" + DOCSTRING + "\x1b[201~")
    talk.say(" Say it.")
    talk.child.send('"""typed\r')
    talk.say('two"""')
    assert "k 3" in talk.paste("/k 3")
    assert talk.leave() == 0
    assert [turn["user"] for turn in saved()["turns"]] == [
        DOCSTRING, DOCSTRING, "/usr/bin/ld: cannot find -lm\nmake: *** Error 1",
        f"What is this? {DOCSTRING} Say it.", "typed\ntwo",
    ]  # fmt: skip


@pytest.mark.slow
def test_lines_that_come_together_are_one_message(start: Start, saved: Saved) -> None:
    """A terminal that does not tell a paste from keys."""
    talk = start(*GREEDY)
    lines = "\r".join(f"line {i}" for i in range(300))
    talk.say(lines)
    assert talk.leave() == 0
    assert [turn["user"] for turn in saved()["turns"]] == [lines.replace("\r", "\n")]


@pytest.mark.slow
def test_what_is_typed_during_an_answer(start: Start, saved: Saved) -> None:
    """It is not echoed into the answer, waits in the next prompt, and is sent by Enter alone. Ctrl-C keeps it."""
    talk = start(*LONG)
    talk.child.send("Tell me of the sea.\r")
    talk.child.expect("[1-9] tokens ·")
    talk.child.send("ZEBRA one\rZEBRA twx\x7fo\r")
    seen = talk.ready()
    assert "ZEBRA" not in seen
    talk.child.send("/")
    talk.child.expect_exact("/")
    assert "ZEBRA one" in talk.child.before and "ZEBRA two" in talk.child.before
    talk.child.send("\x7f\r")
    talk.child.expect("[1-9] tokens ·")
    talk.child.send("ZEBRA three")
    talk.child.send(CTRL_C)
    assert "stopped" in talk.ready()
    talk.say("/set max_tokens 4")  # behind what stands there: a message
    assert talk.leave() == 0
    users = [turn["user"] for turn in saved()["turns"]]
    assert users == ["Tell me of the sea.", "ZEBRA one\nZEBRA two", "ZEBRA three/set max_tokens 4"]


@pytest.mark.slow
def test_a_paste_during_an_answer_is_one_draft(start: Start, saved: Saved) -> None:
    """Three hundred lines, the last of which come when the answer is done."""
    talk = start(*LONG)
    talk.child.send("Tell me of the sea.\r")
    talk.child.expect("[1-9] tokens ·")
    lines = [f"line {i}" for i in range(300)]
    for line in lines:
        talk.child.send(line + "\r")
    talk.ready()
    talk.say("the end")
    assert talk.leave() == 0
    users = [turn["user"] for turn in saved()["turns"]]
    assert len(users) == 2 and users[1] == "\n".join(lines) + "the end"


@pytest.mark.slow
def test_six_times_ctrl_c(start: Start) -> None:
    """The first stops the answer, a later one leaves; nothing is asked in between."""
    talk = start(*LONG)
    talk.child.send("Tell me of the sea.\r")
    talk.child.expect("[1-9] tokens ·")
    talk.child.send("next\r")
    for _ in range(6):
        talk.child.send(CTRL_C)
    assert talk.ended() == 130
    assert "Traceback" not in talk.child.before and talk.child.before.count("tokens/s") <= 3


@pytest.mark.slow
def test_search_in_the_history(start: Start, tmp_path: Path) -> None:
    """Ctrl-G leaves it, and opens no editor; Enter takes what was found."""
    editor = tmp_path / "editor"
    editor.write_text(f"#!/bin/sh\ntouch {tmp_path}/opened\n")
    editor.chmod(0o755)
    talk = start(*GREEDY, env={"EDITOR": str(editor), "VISUAL": str(editor)})
    talk.say("/k 3")
    talk.child.send(CTRL_R + "k" + CTRL_G)
    assert "rule exact" in talk.say("/rule") and not (tmp_path / "opened").exists()
    talk.child.send(CTRL_R + "/k")
    talk.child.expect_exact("/k 3")
    assert "k 3" in talk.say("\r")
    talk.child.send(CTRL_G)
    talk.ready()
    assert (tmp_path / "opened").exists()
    assert talk.leave() == 0


@pytest.mark.slow
def test_a_terminal_that_does_not_tell_where_its_cursor_is(start: Start) -> None:
    talk = start(*GREEDY, env={"PROMPT_TOOLKIT_NO_CPR": ""})
    talk.child.expect(["WARNING", pexpect.TIMEOUT], timeout=3)
    assert talk.child.after is pexpect.TIMEOUT
    assert talk.leave() == 0


@pytest.mark.slow
@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_that_obeys_no_codes(script: str, home: Mapping[str, str], saved: Saved, term: str) -> None:
    child = pexpect.spawn(
        script, ["chat", *GREEDY], env={**home, "TERM": term}, encoding="utf-8", timeout=60, dimensions=(24, 80)
    )
    for text in ("Name a fruit.", "/k 3", "Name another one."):
        child.expect(re.compile(r"^> $", re.MULTILINE))
        child.send(text + "\r")
    child.expect(re.compile(r"^> $", re.MULTILINE))
    child.send(CTRL_D)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0 and "\x1b" not in child.before
    assert [turn["user"] for turn in saved()["turns"]] == ["Name a fruit.", "Name another one."]


NOWHERE = "nothing of this chat is kept"


@pytest.mark.slow
def test_a_full_disk(start: Start, home: Mapping[str, str], tmp_path: Path) -> None:
    """Said once; answers, commands and history go on."""
    state = Path(home["XDG_STATE_HOME"]) / "speccas"
    (state / "sessions").parent.mkdir(parents=True)
    (state / "sessions").symlink_to("/dev/full")
    (state / "history").symlink_to("/dev/full")
    talk = start(*GREEDY)
    assert NOWHERE in talk.say("Name a fruit.")
    assert "/save FILE" in talk.raw
    second = talk.say("Name another one.")
    assert NOWHERE not in second and "tokens/s" in second
    assert "taken back" in talk.say("/undo")
    assert "Name another one." in talk.say("\x1b[A\x1b[A")
    assert "saved to" in talk.say(f"/save {tmp_path}/talk.json")
    assert talk.leave() == 0


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="/dev/null is no directory there")
def test_a_state_directory_that_cannot_be_made(start: Start) -> None:
    """Said at once, and once."""
    talk = start(*GREEDY, env={"XDG_STATE_HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null"})
    assert NOWHERE in talk.greeting.replace("\n", " ")
    assert NOWHERE not in talk.say("Name a fruit.") and "tokens/s" in talk.say("Name another one.")
    assert talk.leave() == 0
