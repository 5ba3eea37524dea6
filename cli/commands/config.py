"""`speccas config`: the settings that hold for every run: shown, changed by key, or opened in an editor."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from speccas.core.errors import SpeccasError, UsageError
from speccas.core.files.config import ALIASES, config_file, read_config
from speccas.core.nearest import did_you_mean

from ..values import completing
from ..view.safe import one_line

WORDS = ("get", "set", "unset", "list", "path", "edit")


def config(
    action: Annotated[
        str,
        typer.Argument(metavar="ACTION", help="get, set, unset, list, path or edit.", autocompletion=completing(WORDS)),
    ] = "list",
    key: Annotated[
        str | None,
        typer.Argument(
            metavar="KEY",
            help="A setting by its long flag, or aliases.NAME.",
            autocompletion=completing("config keys"),
        ),
    ] = None,
    value: Annotated[
        list[str] | None, typer.Argument(metavar="VALUE", help="Its value; several for rule and stop.")
    ] = None,
) -> None:
    """Show or change the settings of every run: those of config.yaml in the config directory.

    `config set pair NAME` chooses the default pair; `config set aliases.fast NAME` gives a pair another name, which is
    taken wherever a pair's is. Comments in the file stay.
    """
    if action not in ACTIONS:
        raise UsageError(f"config knows no {action!r}", f"{did_you_mean(action, ACTIONS)}one of {', '.join(ACTIONS)}")
    takes, run = ACTIONS[action]
    given = [*([] if key is None else [key]), *(value or [])]
    if len(given) < takes[0] or (takes[1] is not None and len(given) > takes[1]):
        usage = {"get": " KEY", "unset": " KEY", "set": " KEY VALUE"}.get(action, "")
        raise UsageError(f"config {action} takes {usage.strip() or 'nothing more'}", f"speccas config {action}{usage}")
    run(config_file(), given)


def show_path(path: Path, given: list[str]) -> None:
    from ..view.plain import write_path

    write_path(path)


def show_all(path: Path, given: list[str]) -> None:
    """Every key that the file sets, as `config set` takes it."""
    for name, value in sorted(flat(read_config(path)).items()):
        print(f"{one_line(name)} {one_line(as_typed(value))}")


def show_one(path: Path, given: list[str]) -> None:
    from ..config_file import known_key

    name = ".".join(known_key(given[0]))
    found = flat(read_config(path))
    if name not in found:
        raise SpeccasError(f"{name} is not set in {path}", "speccas config list shows what is")
    print(one_line(as_typed(found[name])))


def change(path: Path, given: list[str]) -> None:
    """Set a key; says where something else goes before it."""
    from ..config_file import as_written, known_key, set_value
    from ..notes import say_notes
    from ..view.theme import make_console

    place = known_key(given[0])
    set_value(path, place, as_written(place, given[1:]))
    say_notes(make_console(stderr=True), overruled(place[0]))


def overruled(name: str) -> list[str]:
    """What of this environment goes before the file."""
    import os

    variable = f"SPECCAS_{name.upper()}"
    return [f"{variable} is set here, and goes before the file"] if variable in os.environ else []


def take_out(path: Path, given: list[str]) -> None:
    from ..config_file import known_key, unset

    unset(path, known_key(given[0]))


def edit(path: Path, given: list[str]) -> None:
    """Open a copy in the editor; it takes the file's place only where all in it is right. A copy that could not is
    what is opened next time."""
    from ..config_file import BEGIN, check_config, replace_file, written
    from ..editor import edit_text

    copy = path.with_name(f"{path.stem}.edited{path.suffix}")
    before = path.read_bytes() if path.exists() else b""
    with written(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not copy.exists():
            copy.write_bytes(before or BEGIN.encode())
    try:
        edit_text(copy)
        after = copy.read_bytes()
        check_config(after, path)
        if (path.read_bytes() if path.exists() else b"") != before:
            raise UsageError(f"{path} was changed meanwhile", "compare the two")
    except SpeccasError as error:
        if copy.read_bytes() in (before, BEGIN.encode()):
            copy.unlink()
            raise
        error.message, error.hint = f"{error.message}; {path.name} is as it was", f"what you wrote is in {copy}"
        raise
    with written(path):
        if after not in (before, BEGIN.encode()):
            replace_file(path, after)
        copy.unlink()


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of the file as they are typed: those of aliases behind a dot."""
    inner = config.get(ALIASES)
    named = {f"{ALIASES}.{name}": pair for name, pair in inner.items()} if isinstance(inner, dict) else {}
    return {**{name: value for name, value in config.items() if name != ALIASES}, **named}


def as_typed(value: Any) -> str:
    """A value as it is typed behind `config set`."""
    if isinstance(value, list):
        return " ".join(map(as_typed, value))
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


Action = tuple[tuple[int, int | None], Callable[[Path, list[str]], None]]
TAKES: tuple[Action, ...] = (
    ((1, 1), show_one),
    ((2, None), change),
    ((1, 1), take_out),
    ((0, 0), show_all),
    ((0, 0), show_path),
    ((0, 0), edit),
)
ACTIONS = dict(zip(WORDS, TAKES, strict=True))
"""What it takes, from and to how many words, and does."""
