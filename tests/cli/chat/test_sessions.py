"""Conversations that a chat saved: listed, opened by number, gone on with in the same file, and none of them lost."""

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., Any]
Saved = Callable[..., dict[str, Any]]
pytestmark = pytest.mark.tiny

GREEDY = ("--temperature", "0", "--min-p", "0", "-n", "4", "-k", "3")


@pytest.fixture
def folder(home: Mapping[str, str]) -> Path:
    path = Path(home["XDG_STATE_HOME"]) / "speccas/sessions"
    path.mkdir(parents=True)
    return path


def write(folder: Path, name: str, age: int, *asked: str, **about: str) -> Path:
    """A session as a chat writes it, so many hours old."""
    turns: list[dict[str, Any]] = [
        {"user": each, "answer": "Yes.", "ids": None, "rule": "exact", "finish": "end", "figures": {}, "first": 0,
         "again": 0} for each in asked
    ]  # fmt: skip
    path = folder / f"{name}.json"
    head = {"schema": 1, "type": "speccas-session", "system": "", "vocabulary": "", "turns": turns}
    path.write_text(json.dumps({**head, **about}))
    path.chmod(0o600)
    os.utime(path, (1.7e9 - age * 3600,) * 2)
    return path


def test_the_list_shows_what_there_is(speccas: Run, home: Mapping[str, str], folder: Path) -> None:
    env = {name: home[name] for name in ("XDG_STATE_HOME", "HOME")}
    done = speccas("chat", "--list", env=env)
    assert (done.returncode, done.stdout, done.stderr) == (0, "there is no saved conversation\n", "")
    write(folder, "a", 2, "Old one?", pair="qwen3-4b", expert="e.gguf", drafter="d.gguf")
    write(folder, "b", 1, "New\x1b[31m\none? " + "long " * 50, "Second?")
    write(folder, "empty", 0)
    (folder / "text.json").write_text("no session")
    (folder / "dir.json").mkdir()
    done = speccas("chat", "--list", env={**env, "TZ": "UTC"})
    assert done.returncode == 0 and done.stderr == ""
    first, second = done.stdout.splitlines()
    assert first.startswith("  1  2023-11-14 21:13  ?           2 turns  New␛[31m one? long") and first.endswith("…")
    assert second == "  2  2023-11-14 20:13  qwen3-4b     1 turn  Old one?"


@pytest.mark.slow
def test_a_chat_goes_on_where_it_ended(start: Start, saved: Saved, folder: Path) -> None:
    talk = start(*GREEDY)
    talk.say("Name a fruit.")
    assert "4 tokens · " in talk.say("Another one.") and talk.leave() == 0
    one = saved()
    assert (one["pair"], one["title"]) == ("tiny", "Name a fruit.")
    assert one["drafter"] == "eagle3-smollm2-135m.gguf" and one["expert"].endswith(".gguf") and one["began"][4] == "-"
    again = start("--continue", *GREEDY)
    again.say("And a third.")
    assert "there is no other saved conversation" in again.say("/sessions")
    assert again.leave() == 0
    two = saved()
    assert len(list(folder.glob("*.json"))) == 1 and two["began"] == one["began"]
    assert [turn["user"] for turn in two["turns"]] == ["Name a fruit.", "Another one.", "And a third."]
    assert two["turns"][:2] == one["turns"], "no answer was tokenised again"


@pytest.mark.slow
def test_opened_by_number_and_nothing_is_written_over(start: Start, saved: Saved, folder: Path) -> None:
    mine = write(folder, "mine", 5, "Mine?")
    other = write(folder, "other", 9, "Other?", pair="big", drafter="d.gguf", expert="e.gguf")
    talk = start(*GREEDY)
    talk.say("Here?")
    (here,) = set(folder.glob("*.json")) - {mine, other}
    listed = talk.say("/sessions")
    assert "  1  " in listed and listed.index("Mine?") < listed.index("Other?") and "Here?" not in listed
    opened = " ".join(talk.say("/open 2").split())
    assert "1 turn from" in opened and "another pair (pair big: d.gguf for e.gguf); tiny goes on with it" in opened
    talk.say("More?")
    assert [turn["user"] for turn in saved(other)["turns"]] == ["Other?", "More?"] and saved(other)["pair"] == "tiny"
    assert "what was said stays in its file" in talk.say("/clear")
    talk.say("Anew?")
    assert "1 turn from" in talk.say(f"/load {mine}")
    talk.say("Loaded?")
    for wrong, told in {
        "/open": "takes the number", "/open x": "takes the number", "/open 9": "there is no session 9",
        "/open 0": "there is no session 0",
    }.items():  # fmt: skip
        assert told in talk.say(wrong)
    assert talk.leave() == 0
    found = {path: [turn["user"] for turn in saved(path)["turns"]] for path in folder.glob("*.json")}
    assert found[here] == ["Here?"] and found[mine] == ["Mine?"] and found[other] == ["Other?", "More?"]
    assert sorted(found[path] for path in set(found) - {here, mine, other}) == [["Anew?"], ["Mine?", "Loaded?"]]


@pytest.mark.slow
def test_one_turn_goes_on_too_and_mistakes_are_told(speccas: Run, home: Mapping[str, str], folder: Path) -> None:
    env = {name: home[name] for name in ("XDG_STATE_HOME", "HOME")}
    done = speccas("chat", "-c", "-p", "Hello", env=env)
    assert done.returncode == 2 and done.stderr.startswith("error: there is no saved session")
    mine = write(folder, "mine", 5, "Mine?", drafter="d.gguf", expert="e.gguf", pair="big")
    done = speccas("chat", "-c", "-p", "Hello", *GREEDY, env=env)
    assert done.returncode == 0 and done.stdout.strip()
    assert "this conversation was made with another pair (pair big: d.gguf for e.gguf)" in done.stderr
    assert [turn["user"] for turn in json.loads(mine.read_text())["turns"]] == ["Mine?", "Hello"]
    for words in (["-c", "--open", "1"], ["--open", "1", "--load", str(mine)]):
        done = speccas("chat", *words, "-p", "Hello", env=env)
        assert done.returncode == 2 and "each name a conversation" in done.stderr
    for number in ("0", "2"):
        assert speccas("chat", "--open", number, "-p", "Hello", env=env).returncode == 2


@pytest.mark.slow
def test_two_chats_in_one_file_lose_nothing(start: Start, saved: Saved, folder: Path) -> None:
    mine = write(folder, "mine", 5, "Mine?")
    talk, other = start("-c", *GREEDY), start("-c", *GREEDY)
    talk.say("One?")
    told = " ".join(other.say("Two?").split())
    assert "another chat wrote to the file of this conversation: this one goes on in a file of its own" in told
    assert "a file of its own" not in other.say("Three?") and "a file of its own" not in talk.say("Four?")
    assert "taken back" in talk.say("/undo") and talk.leave() == 0 and other.leave() == 0
    found = {path: [turn["user"] for turn in saved(path)["turns"]] for path in folder.glob("*.json")}
    assert found.pop(mine) == ["Mine?", "One?"]
    assert list(found.values()) == [["Mine?", "Two?", "Three?"]]
