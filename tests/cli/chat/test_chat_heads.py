"""A chat with a head as drafter: what is taken back leaves the expert's own text."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.builders.heads import Eagle
from tests.builders.mtp import assistant, assisted, with_head
from tests.builders.random_models import random_model

Start = Callable[..., Any]
Saved = Callable[..., dict[str, Any]]
Files = Callable[[Path], tuple[str, Path]]
"""The drafter as it is typed, and the expert's file."""
FIRST, SECOND = "The sea is wide, and the sky", "The sun is high, and the moon"
SAME = "the same answer, token for token"


def eagle3(folder: Path) -> tuple[str, Path]:
    expert = random_model(folder / "expert.gguf", "plain")
    return str(Eagle().write(folder / "head.gguf", expert)), expert


def in_a_hybrid(folder: Path) -> tuple[str, Path]:
    return "head", with_head(folder / "expert.gguf", "gated")


def on_its_cache(folder: Path) -> tuple[str, Path]:
    expert = assisted(folder / "expert.gguf")
    return str(assistant(folder / "head.gguf", expert)), expert


@pytest.mark.slow
@pytest.mark.parametrize("files", [eagle3, in_a_hybrid, on_its_cache])
def test_going_back(start: Start, saved: Saved, files: Files, tmp_path: Path) -> None:
    """Each turn is what a chat with the expert alone writes that never took a turn back, in a process of its own."""
    drafter, expert = files(tmp_path)
    models = ("--drafter", drafter, "--expert", str(expert))
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
    refused = " ".join(talk.say("/regen drafter").split())
    name = "the drafter inside expert.gguf" if drafter == "head" else "head.gguf"
    assert f"{name} is a head: it writes nothing without" in refused
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
