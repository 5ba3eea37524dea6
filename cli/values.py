"""What can be typed for a value: rules, pairs, prompt sets, files that are here.

For the completion of the shells and of the chat. A key press waits for it, so nothing heavy is imported.

A shell gets only names that need no quotes: what a file is called must run nothing there.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from .choosing import ADVICE

Choice = tuple[str, str]
"""A value, and what it is in a few words."""
MODES = ("tokens", "numbers", "rounds", "off")
"""How an answer can be shown: --view and /view."""
PLAIN = re.compile(r"[\w./~+@,:=-]+")
DEEP, MOST = 3, 2000
"""How far below what was typed files are looked for, in folders and in entries."""


def rules(begun: str) -> Iterable[Choice]:
    """Rules and ancestors; behind a comma of a list as well."""
    before, comma, _ = begun.rpartition(",")
    return [(f"{before}{comma}{name}", when) for name, when in ADVICE.items()]


def pairs(begun: str) -> Iterable[Choice]:
    from speccas.core.errors import UsageError
    from speccas.core.files.config import aliases
    from speccas.core.files.known_pairs import profiles

    others = {}
    with contextlib.suppress(UsageError):  # a config file that cannot be read
        others = aliases()
    return [*((name, "") for name in profiles()), *((name, f"is {pair}") for name, pair in others.items())]


def config_keys(begun: str) -> Iterable[Choice]:
    """Settings, and aliases that there are."""
    from .settings import CHECKS

    return [*((name, "") for name in CHECKS), *((f"aliases.{name}", what) for name, what in pairs("") if what)]


def models(begun: str) -> Iterable[Choice]:
    """GGUF files, and what was pulled from a hub."""
    from speccas.core.files.cache import read_lock

    pulled = [(key.partition("@")[0], "pulled") for key in read_lock()]
    return [*((path, "") for path in files_below(begun, ".gguf")), *pulled]


def drafters(begun: str) -> Iterable[Choice]:
    return [("head", "in the expert's file"), *models(begun)]


def pairs_and_models(begun: str) -> Iterable[Choice]:
    return [*pairs(begun), *models(begun)]


def prompt_sets(begun: str) -> Iterable[Choice]:
    from speccas.core.bench.suites import HOSTED, OWN

    return [*((name, "") for name in (*OWN, *HOSTED)), *((path, "") for path in files_below(begun, ".jsonl"))]


def traces(begun: str) -> Iterable[Choice]:
    return [(path, "") for path in files_below(begun, ".jsonl")]


def files_below(begun: str, ending: str) -> Iterator[str]:
    """Files of this ending whose path begins with what was typed, spelled as it was; a few folders deep."""
    typed = begun[: begun.rfind("/") + 1]
    base = Path(typed).expanduser() if not typed.startswith("~") or typed.startswith("~/") else Path(typed)
    left = MOST
    for folder, folders, names in os.walk(base):
        inner = os.path.relpath(folder, base)
        depth = 0 if inner == "." else inner.count(os.sep) + 1
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if depth < DEEP else []
        if depth == 0:
            folders[:] = [name for name in folders if f"{typed}{name}/".startswith(begun)]
        for name in sorted(names):
            if name.lower().endswith(ending):
                yield typed + (Path(inner, name).as_posix() if depth else name)
        left -= len(names) + len(folders)
        if left < 0:
            return


VALUES: dict[str, Callable[[str], Iterable[Choice]]] = {
    "rules": rules,
    "pairs": pairs,
    "models": models,
    "drafters": drafters,
    "pairs and models": pairs_and_models,
    "config keys": config_keys,
    "prompt sets": prompt_sets,
    "traces": traces,
}


def choices(known: str | Sequence[str], begun: str) -> list[Choice]:
    """The values that begin with what was typed. `known`: a name of VALUES, or the words themselves."""
    found = VALUES[known](begun) if isinstance(known, str) else [(word, "") for word in known]
    return [(value, what) for value, what in found if value.startswith(begun)]


def completing(known: str | Sequence[str]) -> Callable[[str], list[Choice | str]] | None:
    """What Typer asks for the values of a parameter; None where the shell's own files are right."""
    if not known:
        return None

    def complete(incomplete: str) -> list[Choice | str]:
        plain = [each for each in choices(known, incomplete) if PLAIN.fullmatch(each[0])]
        return [(value, what) if what else value for value, what in plain]

    return complete
