"""Fifty chats on a terminal, each by a seed: resized, pasted into, suspended, interrupted, typed into ahead of time.

A shell with job control starts them, in which everything is imported once; the models are tables that take their time.
"""

import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.builders.jobs import CTRL_C, CTRL_D, CTRL_Z, PAIR, READY, WRITING, Jobs

SEEDS = range(50)
WORDS = ("sea", "wide", "漢字", "größe", "it's", '"""', "/usr", "a  b", "ship")
SIZES = ((24, 80), (10, 30), (50, 200), (24, 100))


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def shell(clean: Mapping[str, str], state: Path) -> Iterator[Jobs]:
    env = {"XDG_STATE_HOME": str(state), "XDG_CACHE_HOME": str(state), "PROMPT_TOOLKIT_NO_CPR": "1"}
    found = Jobs({**clean, **env}, 0.02)
    yield found
    found.child.close(force=True)


class Person:
    """Does what chance says, and remembers what was sent."""

    def __init__(self, shell: Jobs, chance: random.Random) -> None:
        self.shell = shell
        self.chance = chance
        self.sent: list[str] = []
        """Messages, as the session must hold them."""
        self.draft = ""
        """What stands at the prompt."""

    def words(self) -> str:
        return " ".join(["I", *self.chance.choices(WORDS, k=self.chance.randint(1, 4))])

    def enter(self) -> None:
        """Send what stands there."""
        self.shell.type("\r")
        self.sent.append(self.draft)
        self.draft = ""

    def answered(self) -> None:
        self.shell.wait_for(READY)

    def say(self) -> None:
        text = self.words()
        self.shell.type(text)
        self.draft += text
        self.enter()

    def ask(self) -> None:
        self.say()
        self.answered()

    def paste(self) -> None:
        text = "\n".join(self.words() for _ in range(self.chance.randint(1, 12)))
        self.shell.type(f"\x1b[200~{text}\x1b[201~")
        self.draft += text
        self.enter()
        self.answered()

    def interrupt(self) -> None:
        self.say()
        self.shell.wait_for(WRITING)
        self.shell.type(CTRL_C)
        self.shell.wait_for("stopped")
        self.answered()

    def type_ahead(self) -> None:
        """Several lines; they wait at the next prompt."""
        self.say()
        self.shell.wait_for(WRITING)
        lines = [self.words() for _ in range(self.chance.randint(1, 5))]
        self.shell.type("\r".join(lines) + self.chance.choice(["", "\r"]))
        self.answered()
        self.draft = "\n".join(lines)

    def suspend(self) -> None:
        """In an answer, or at the prompt."""
        if self.chance.random() < 0.5:
            self.say()
            self.shell.wait_for(WRITING)
        self.shell.type(CTRL_Z)
        assert self.shell.back() == "stopped, sane"
        self.shell.type("fg\r")
        self.answered()
        self.shell.settle()

    def resize(self) -> None:
        """In an answer, there and back."""
        self.say()
        self.shell.wait_for(WRITING)
        self.shell.child.setwinsize(*self.chance.choice(SIZES))
        self.answered()
        self.shell.child.setwinsize(24, 80)
        self.shell.settle()  # the prompt is drawn anew

    def command(self) -> None:
        self.enter_draft()
        self.shell.type(
            self.chance.choice(["/stats", "/context", "/nothing", "/rule token", "/view rounds", "/k 2"]) + "\r"
        )
        self.answered()

    def enter_draft(self) -> None:
        if self.draft:
            self.enter()
            self.answered()

    def leave(self) -> int:
        """The exit code that it must end with."""
        self.enter_draft()
        way = self.chance.randrange(3)
        if way == 2:
            self.ask()  # a stop before it would be the first of two
            self.shell.type(CTRL_C)
            self.shell.wait_for("once more")
            self.answered()
        self.shell.type((CTRL_D, "/exit\r", CTRL_C)[way])
        return (0, 0, 130)[way]


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_a_session(shell: Jobs, state: Path, seed: int) -> None:
    """No traceback, every message in the saved session, the right exit code, the terminal as it was."""
    chance, before = random.Random(seed), set(state.rglob("sessions/*.json"))
    person = Person(shell, chance)
    actions = [
        person.ask,
        person.paste,
        person.interrupt,
        person.type_ahead,
        person.suspend,
        person.resize,
        person.command,
    ]
    shell.type(f"job chat {PAIR} -k 4 --lookup off -n 20 --ctx 4096 --temperature 0\r")
    person.answered()
    for action in chance.sample(actions, 3):
        action()
    code = person.leave()
    assert shell.back() == f"ended with {code}, sane"
    new = set(state.rglob("sessions/*.json")) - before
    turns = [turn["user"] for path in new for turn in json.loads(path.read_text(encoding="utf-8"))["turns"]]
    # An Enter a moment before the prompt reads is a line break of its draft: nothing is lost by it.
    assert "\n".join(turns) == "\n".join(person.sent)
