"""A chat with a head as drafter: what is taken back leaves the expert's own text."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.builders.heads import Eagle
from tests.builders.random_models import random_model

Start = Callable[..., Any]
Saved = Callable[..., dict[str, Any]]
FIRST, SECOND = "The sea is wide, and the sky", "The sun is high, and the moon"
SAME = "the same answer, token for token"


@pytest.mark.slow
def test_going_back(start: Start, saved: Saved, tmp_path: Path) -> None:
    """Each turn is what a chat with the expert alone writes that never took a turn back, in a process of its own."""
    expert = random_model(tmp_path / "expert.gguf", "plain")
    head = Eagle().write(tmp_path / "head.gguf", expert)
    models = ("--drafter", str(head), "--expert", str(expert))
    flags = (*models, "--ctx", "512", "--ignore-eos", "--temperature", "0", "-n", "12")
    talk = start(*flags, "-k", "4", env={"XDG_CACHE_HOME": str(tmp_path / "cache")})
    talk.say(FIRST)
    assert SAME in talk.say("/regen")
    talk.say("and the moon is")
    assert "taken back" in talk.say("/undo")
    talk.say(SECOND)
    assert "token 7" in talk.say("/why 7")
    talk.say("/k auto")
    assert SAME in talk.say("/regen")
    assert SAME in talk.say("/regen expert")
    assert "is a head: it writes nothing without" in talk.say("/regen drafter")
    talk.say(f"/save {tmp_path / 'talk.json'}")
    assert talk.leave() == 0

    plain = start(*flags, "--rule", "expert")
    plain.say(FIRST)
    plain.say(SECOND)
    plain.say(f"/save {tmp_path / 'plain.json'}")
    assert plain.leave() == 0
    turns, alone = (saved(tmp_path / f"{name}.json")["turns"] for name in ("talk", "plain"))
    assert [turn["user"] for turn in turns] == [FIRST, SECOND]
    assert [turn["ids"] for turn in turns] == [turn["ids"] for turn in alone]
