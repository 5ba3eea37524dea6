"""Keys of a chat beyond its messages: pastes, what is typed while nobody reads, search, the editor, poor terminals."""

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest

from speccas.cli.chat.commands import COMMANDS
from speccas.cli.chat.input import fenced, unquoted
from speccas.cli.chat.typed import draft_of
from tests.builders.jobs import CTRL_C, CTRL_D, PAIR, Jobs, TableChat, sent

DOCSTRING = '"""Return the mean.\n\nRaises ValueError for an empty list.\n"""\nraise NotImplementedError'
MAKE = "/usr/bin/ld: cannot find -lm\nmake: *** Error 1"
LINES = [f"l {i}" for i in range(300)]
CTRL_G, CTRL_R = "\x07", "\x12"


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


@pytest.fixture(scope="module")
def shell(clean: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    cache = str(tmp_path_factory.mktemp("cache"))
    found = Jobs({**clean, "XDG_CACHE_HOME": cache, "PROMPT_TOOLKIT_NO_CPR": "1"}, 0.03)
    yield found
    found.child.close(force=True)


@pytest.fixture
def chat(shell: Jobs, tmp_path: Path) -> Callable[..., TableChat]:
    return partial(TableChat, shell, tmp_path)


Begin = Callable[..., TableChat]


@pytest.mark.slow
def test_a_paste_is_sent_as_it_is(chat: Begin) -> None:
    """Its quotes open nothing; the same message again from the history, too. Quotes that are typed still do."""
    talk = chat()
    talk.paste(DOCSTRING)
    talk.say("\x1b[A")
    talk.paste(MAKE)
    talk.say(f"What is this? \x1b[200~{DOCSTRING}\x1b[201~ Say it.")
    talk.say('"""typed', end="\r" + 'two"""\r')
    assert "k 3" in talk.paste("/k 3")
    assert talk.leave() == "ended with 0, sane"
    assert sent(talk.state) == [DOCSTRING, DOCSTRING, MAKE, f"What is this? {DOCSTRING} Say it.", "typed\ntwo"]


@pytest.mark.slow
def test_lines_that_come_together_are_one_message(chat: Begin) -> None:
    """A terminal that does not tell a paste from keys."""
    talk = chat()
    talk.say("\r".join(LINES))
    assert talk.leave() == "ended with 0, sane" and sent(talk.state) == ["\n".join(LINES)]


@pytest.mark.slow
def test_what_is_typed_during_an_answer(chat: Begin) -> None:
    """It is not echoed into the answer, waits in the next prompt, and is sent by Enter alone. Ctrl-C keeps it."""
    talk = chat()
    talk.ask()
    seen = talk.say("ZEBRA one\rZEBRA twx\x7fo")
    assert "ZEBRA" not in seen
    talk.jobs.type("!")
    told = talk.jobs.wait_for("!")
    assert "ZEBRA one" in told and "ZEBRA two" in told
    talk.ask("")
    talk.jobs.type("ZEBRA three")
    assert "stopped" in talk.say(CTRL_C, end="")
    talk.say("/k 3")  # behind what stands there: a message
    assert talk.leave() == "ended with 0, sane"
    assert sent(talk.state) == ["Tell me of the sea.", "ZEBRA one\nZEBRA two!", "ZEBRA three/k 3"]


@pytest.mark.slow
def test_a_paste_during_an_answer_is_one_draft(chat: Begin) -> None:
    """Three hundred lines."""
    talk = chat()
    talk.ask()
    for line in LINES:
        talk.jobs.type(line + "\r")
    talk.ready()
    talk.say(".")
    assert talk.leave() == "ended with 0, sane" and sent(talk.state)[1:] == ["\n".join(LINES) + "."]


@pytest.mark.slow
def test_six_times_ctrl_c(chat: Begin) -> None:
    """The first stops the answer, a later one leaves; nothing is asked in between."""
    talk = chat()
    talk.ask()
    talk.jobs.type("next\r")
    for _ in range(6):
        time.sleep(0.15)  # as fast as a person
        talk.jobs.type(CTRL_C)
    assert talk.jobs.back() == "ended with 130, sane"
    assert sent(talk.state) in ([], ["Tell me of the sea."])


@pytest.mark.slow
def test_search_in_the_history(chat: Begin, tmp_path: Path) -> None:
    """Ctrl-G leaves it, and opens no editor; Enter takes what was found."""
    editor = tmp_path / "editor"
    editor.write_text(f"#!/bin/sh\ntouch {tmp_path}/opened\n")
    editor.chmod(0o755)
    talk = chat(f"EDITOR={editor}", f"VISUAL={editor}")
    talk.say("/k 3")
    talk.jobs.type(CTRL_R + "k" + CTRL_G)
    assert "rule exact" in talk.say("\x15/rule") and not (tmp_path / "opened").exists()
    talk.jobs.type(CTRL_R + "/k")
    talk.jobs.wait_for("backward")
    time.sleep(0.3)
    talk.jobs.type("\r")
    time.sleep(0.3)  # what is sent at once would be a paste
    assert "k 3" in talk.say("")
    talk.say(CTRL_G, end="")
    assert (tmp_path / "opened").exists()
    assert talk.leave() == "ended with 0, sane"


@pytest.mark.slow
def test_a_terminal_that_does_not_tell_where_its_cursor_is(chat: Begin) -> None:
    """It is asked, and nothing is said when no answer comes for two seconds."""
    talk = chat("PROMPT_TOOLKIT_NO_CPR=")
    time.sleep(3)
    assert "WARNING" not in talk.say("/k 3")
    assert talk.leave() == "ended with 0, sane"
    assert "\x1b[6n" in talk.jobs.seen


@pytest.mark.slow
@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_that_obeys_no_codes(shell: Jobs, tmp_path: Path, term: str) -> None:
    before = len(shell.seen)
    shell.type(f"job TERM={term} XDG_STATE_HOME={tmp_path} chat {PAIR} -k 4\r")
    for text in ("Name a fruit.", "/k 3", "Name another one."):
        shell.wait_for("\n> ")
        shell.type(text + "\r")
    shell.wait_for("\n> ")
    shell.type(CTRL_D)
    assert shell.back() == "ended with 0, sane" and "\x1b" not in shell.seen[before:]
    assert sent(tmp_path) == ["Name a fruit.", "Name another one."]


NOWHERE = "nothing of this chat is kept"


@pytest.mark.slow
def test_a_full_disk(chat: Begin, tmp_path: Path) -> None:
    """Said once; answers, commands and the history go on."""
    (tmp_path / "speccas" / "sessions").mkdir(parents=True)
    talk = chat("FULL=1")
    first = talk.say("Name a fruit.")
    assert NOWHERE in first and "/save" in first and "is blue." in first
    second = talk.say("Name another one.")
    assert NOWHERE not in second and "tokens/s" in second
    assert "taken back" in talk.say("/undo")
    assert "Name another one." in talk.say("\x1b[A\x1b[A")
    assert talk.leave() == "ended with 0, sane"
    assert not [*(tmp_path / "speccas" / "sessions").iterdir()]


@pytest.mark.slow
def test_a_state_directory_that_cannot_be_made(shell: Jobs) -> None:
    """Said at once, and once."""
    talk = TableChat(shell, Path("/dev/null"), "XDG_CACHE_HOME=/dev/null")
    assert NOWHERE in talk.greeting
    assert NOWHERE not in talk.say("Name a fruit.") and "tokens/s" in talk.say("Name another one.")
    assert talk.leave() == "ended with 0, sane"
