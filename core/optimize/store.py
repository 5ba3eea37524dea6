"""Where made files live, with a card that says what they are; and the profile that names them.

A folder of a name is renamed into its place when all of it is there, so one that is there is whole. What is being made
lies in NAME.part beside it, which the next run clears away.
"""

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml
from platformdirs import user_data_path

from ..atomic import atomic_write, take_lock
from ..errors import NameTaken, UsageError
from ..files.profiles import NAME, Profile, profiles, read_profile, user_profiles
from ..record.manifest import cpu_name

CARD = "card.json"


@dataclass(frozen=True, slots=True)
class Optimized:
    """What a profile says of files that were made for a machine: its table `optimized`."""

    of: str
    """The pair, or the two files, that they were made of."""
    processor: str
    build: str
    """llama-cpp-python of that machine."""
    loss: float
    """Nats a token that the expert lost against its source, on built-in texts."""
    vocabulary: int
    """Tokens of a trimmed drafter; 0: it has all of them."""
    folder: str

    @property
    def card(self) -> Path:
        return Path(self.folder) / CARD


def optimized_of(profile: Profile) -> Optimized | None:
    """What the profile says of made files; None where they were not made, or where the table is somebody else's."""
    table = profile.optimized
    if not table:
        return None
    try:
        found = Optimized(**{each.name: table[each.name] for each in fields(Optimized)})
        kinds = {"of": str, "processor": str, "build": str, "loss": float, "vocabulary": int, "folder": str}
        right = all(isinstance(getattr(found, name), kind) for name, kind in kinds.items())
    except KeyError:
        return None
    return found if right else None


def made_elsewhere(profile: Profile) -> str | None:
    """What is to be known of files that were made for another processor."""
    made = optimized_of(profile)
    here = cpu_name()
    if made is None or made.processor == here:
        return None
    return f"the files of {profile.name} were made for {made.processor}; on {here} others may be faster"


def require_free(name: str) -> None:
    """Raises UsageError for what is no name, and NameTaken where a profile of that name was not made here."""
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for a pair", "letters, digits, dots, dashes, at most 64")
    path = profiles().get(name)
    if path is not None and optimized_of(read_profile(path)) is None:
        raise NameTaken(f"there is a pair {name} already, in {path}")


def made_folder(name: str) -> Path:
    """The folder of the files of this name."""
    return user_data_path("speccas") / "optimized" / name


@contextlib.contextmanager
def workplace(name: str) -> Iterator[Path]:
    """An empty folder to make files in, gone with what it holds when the block ends; one process at a time. Raises
    UsageError where another one is at it, or where nothing can be written."""
    folder = made_folder(name)
    part = folder.with_name(f"{name}.part")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = folder.with_name(f"{name}.lock").open("ab")
    except OSError as error:
        hint = "set XDG_DATA_HOME to a folder of yours"
        raise UsageError(f"cannot write to {folder.parent}: {error.strerror}", hint) from None
    with lock:
        if not take_lock(lock, wait=False):
            raise UsageError(f"another process is making files for {name}", "wait for it, or take another name")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        try:
            yield part
        finally:
            shutil.rmtree(part, ignore_errors=True)


def keep(part: Path, name: str, card: Mapping[str, Any], text: str) -> Path:
    """Give a workplace its card, and put it in the place of the folder of this name. Returns that folder."""
    atomic_write(part / CARD, json.dumps(card, indent=1, ensure_ascii=False) + "\n")
    atomic_write(part / "README.md", text)
    folder, old = made_folder(name), made_folder(f"{name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    try:
        part.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
    return folder


def register(profile: Profile) -> Path:
    """Write a profile of made files among the user's own. Returns its file."""
    path = user_profiles() / f"{profile.name}.yaml"
    data: dict[str, Any] = {"name": profile.name, "title": profile.title, "licence": profile.licence}
    for role in ("drafter", "expert"):
        source = getattr(profile, role)
        data[role] = {key: value for key, value in asdict(source).items() if value}
    data |= {"defaults": dict(profile.defaults), "optimized": dict(profile.optimized)}
    path.parent.mkdir(parents=True, exist_ok=True)
    head = "# Made by speccas for one machine; the card beside the files says of what. `rm` takes both away.\n"
    atomic_write(path, head + yaml.safe_dump(data, sort_keys=False, allow_unicode=True))
    return path


def remove_made(profile: Profile) -> int:
    """Delete the made files and the profile that names them; returns the bytes that were freed."""
    made = optimized_of(profile)
    assert made is not None, "of a profile that was made here"
    folder = Path(made.folder)
    freed = 0
    if folder.parent == made_folder("x").parent:  # never a folder that somebody wrote into a profile
        freed = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        shutil.rmtree(folder, ignore_errors=True)
    Path(profile.origin).unlink(missing_ok=True)
    return freed
