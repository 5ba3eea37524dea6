"""A chat with a hybrid and a recurrent model on both sides: going back in it leaves the expert's own text."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.builders.random_models import random_model

Start = Callable[..., Any]
Saved = Callable[..., dict[str, Any]]
FIRST, SECOND = "The sea is wide, and the sky", "The sun is high, and the moon"
SAME = "the same answer, token for token"


@pytest.mark.slow
@pytest.mark.parametrize("kinds", [("hybrid", "recurrent"), ("recurrent", "hybrid")], ids="-".join)
def test_going_back(start: Start, saved: Saved, tmp_path: Path, kinds: tuple[str, str]) -> None:
    """Each turn is what a chat with the expert alone writes that never took a turn back, in a process of its own."""
    expert, drafter = (str(random_model(tmp_path / f"{i}.gguf", kind, layers=i)) for i, kind in enumerate(kinds))
    flags = ("--drafter", drafter, "--expert", expert, "--ctx", "512", "--ignore-eos", "--temperature", "0", "-n", "12")
    talk = start(*flags, "-k", "auto", env={"XDG_CACHE_HOME": str(tmp_path / "cache")})
    talk.say(FIRST)
    assert SAME in talk.say("/regen")
    talk.say("and the moon is")
    assert "taken back" in talk.say("/undo")
    talk.say("and the stars are")
    assert "taken back" in talk.say("/undo")
    talk.say(SECOND)
    assert "token 7" in talk.say("/why 7")
    assert SAME in talk.say("/regen")
    talk.say("/k 4")
    assert SAME in talk.say("/regen")
    assert SAME in talk.say("/regen expert")
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
