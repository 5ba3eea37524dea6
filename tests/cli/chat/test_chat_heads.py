"""A chat with a head as drafter: what is taken back leaves the expert's own text."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders.going_back import FIRST, FLAGS, SECOND, Saved, Start, gone_back, own_turns
from tests.builders.heads import Eagle
from tests.builders.mtp import assistant, assisted, with_head
from tests.builders.random_models import random_model

Files = Callable[[Path], tuple[str, Path]]
"""The drafter as it is typed, and the expert's file."""


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
    drafter, expert = files(tmp_path)
    models = ("--drafter", drafter, "--expert", str(expert))
    talk = gone_back(start, tmp_path, models, "4", "auto")
    refused = " ".join(talk.say("/regen drafter").split())
    name = "the drafter inside expert.gguf" if drafter == "head" else "head.gguf"
    assert f"{name} is a head: it writes nothing without" in refused
    own_turns(start, saved, tmp_path, models, talk)


@pytest.mark.slow
@pytest.mark.parametrize("files", [eagle3, in_a_hybrid, on_its_cache])
def test_a_saved_chat_goes_on(start: Start, saved: Saved, files: Files, tmp_path: Path) -> None:
    """In another process, whose caches know nothing of it: the next turn is what it would have been."""
    drafter, expert = files(tmp_path)
    models = ("--drafter", drafter, "--expert", str(expert), *FLAGS, "-k", "4")
    whole = start(*models)
    whole.say(FIRST)
    whole.say(f"/save {tmp_path / 'begun.json'}")
    whole.say(SECOND)
    whole.say(f"/save {tmp_path / 'whole.json'}")
    assert whole.leave() == 0
    again = start(*models)
    assert "begun.json" in again.say(f"/load {tmp_path / 'begun.json'}")
    again.say(SECOND)
    again.say(f"/save {tmp_path / 'again.json'}")
    assert again.leave() == 0
    one, other = (saved(tmp_path / f"{name}.json")["turns"] for name in ("whole", "again"))
    assert [turn["ids"] for turn in one] == [turn["ids"] for turn in other] and len(one) == 2
