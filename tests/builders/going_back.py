"""A chat in which turns are taken back and asked again, held against one that never did."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

FIRST, SECOND = "The sea is wide, and the sky", "The sun is high, and the moon"
SAME = "the same answer, token for token"
FLAGS = ("--ctx", "512", "--ignore-eos", "--temperature", "0", "-n", "12")

Start = Callable[..., Any]
Saved = Callable[..., dict[str, Any]]


def gone_back(start: Start, folder: Path, models: tuple[str, ...], k: str, then: str) -> Any:
    """A chat of two turns, the second after others that were taken back; begun with `k`, and with `then` at its end."""
    talk = start(*models, *FLAGS, "-k", k, env={"XDG_CACHE_HOME": str(folder / "cache")})
    talk.say(FIRST)
    assert SAME in talk.say("/regen")
    for other in ("and the moon is", "and the stars are"):
        talk.say(other)
        assert "taken back" in talk.say("/undo")
    talk.say(SECOND)
    assert "token 7" in talk.say("/why 7")
    assert SAME in talk.say("/regen")
    talk.say(f"/k {then}")
    assert SAME in talk.say("/regen")
    assert SAME in talk.say("/regen expert")
    return talk


def own_turns(start: Start, saved: Saved, folder: Path, models: tuple[str, ...], talk: Any) -> None:
    """End it, and assert that each turn is what the expert alone writes, in a process of its own."""
    plain = start(*models, *FLAGS, "--rule", "expert")
    plain.say(FIRST)
    plain.say(SECOND)
    for name, each in (("talk", talk), ("plain", plain)):
        each.say(f"/save {folder / f'{name}.json'}")
        assert each.leave() == 0
    turns, alone = (saved(folder / f"{name}.json")["turns"] for name in ("talk", "plain"))
    assert [turn["user"] for turn in turns] == [FIRST, SECOND]
    assert [turn["ids"] for turn in turns] == [turn["ids"] for turn in alone]
