"""A chat whose expert is on a worker outlives that worker, and goes on when it is back."""

import pytest

from tests.builders.workers import worker
from tests.cli.chat.conftest import Start

pytestmark = [pytest.mark.rpc, pytest.mark.tiny]
ASKED = ("--temperature", "0", "-n", "12", "--ctx", "512")


def test_a_chat_survives_its_worker(start: Start) -> None:
    with worker() as own:
        talk = start("--expert-rpc", own.address, *ASKED)
        alone = start(*ASKED)
        questions = "Name a colour.", "And another one?", "And a third?"
        here = [alone.say(each) for each in questions]
        first = talk.say(questions[0])
        own.kill()
        lost = talk.say(questions[1])
        assert f"error: the worker at {own.address} is gone" in " ".join(lost.split())
        assert "ask again once it is there" in " ".join(lost.split()) and "Traceback" not in lost
        still = talk.say(questions[1])
        assert f"no worker at {own.address}" in " ".join(still.split())
        own.start()
        second, third = talk.say(questions[1]), talk.say(questions[2])
        for far, near in zip((first, second, third), here, strict=True):
            assert answer(far) == answer(near), "the conversation is what it was"
        assert talk.leave() == 0 and alone.leave() == 0


def answer(shown: str) -> str:
    """What the terminal showed of an answer, without figures of its speed."""
    return " ".join(line for line in map(str.strip, shown.splitlines()) if line and "tokens" not in line)
