"""A chat whose expert is on a worker outlives that worker, and goes on when it is back."""

import json
from pathlib import Path

import pytest

from tests.builders.talk import Start
from tests.builders.workers import worker

pytestmark = [pytest.mark.rpc, pytest.mark.tiny]
ASKED = ("--pair", "tiny-model", "--temperature", "0", "-n", "12", "--ctx", "512")


def test_a_chat_survives_its_worker(start: Start, tmp_path: Path) -> None:
    with worker() as own:
        talk = start("--expert-rpc", own.address, *ASKED, env={"XDG_STATE_HOME": str(tmp_path / "there")})
        alone = start(*ASKED, env={"XDG_STATE_HOME": str(tmp_path / "here")})
        questions = "Name a colour.", "And another one?", "And a third?"
        for each in questions:
            alone.say(each)
        talk.say(questions[0])
        own.kill()
        lost = talk.say(questions[1])
        assert f"error: the worker at {own.address} is gone" in " ".join(lost.split())
        assert "ask again once it is there" in " ".join(lost.split()) and "Traceback" not in lost
        still = talk.say(questions[1])
        assert f"no worker at {own.address}" in " ".join(still.split())
        own.start()
        for each in questions[1:]:
            talk.say(each)
        assert talk.leave() == 0 and alone.leave() == 0
    there, here = (kept(tmp_path / name) for name in ("there", "here"))
    assert there == here and len(here) == len(questions), "the conversation is what it was"


def kept(folder: Path) -> list[tuple[str, str]]:
    """What was asked and answered in the one chat of a state directory."""
    (file,) = folder.rglob("sessions/*.json")
    return [(turn["user"], turn["answer"]) for turn in json.loads(file.read_text())["turns"]]
