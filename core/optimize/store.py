"""Where made files live, with a card that says what they are; and the profile that names them.

A folder of a name is renamed into its place when all of it is there, so one that is there is whole. What is being made
lies in .NAME.part beside it, which the next run clears away: no pair's name begins with a dot.
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

from ..atomic import atomic_write, read_json, take_lock
from ..errors import IntegrityError, NameTaken, UsageError
from ..files.profiles import NAME, Profile, profiles, read_profile, user_profiles
from ..files.source import SHA256, Source
from ..machine.processor import cpu_name

CARD = "card.json"
ELSEWHERE = "set XDG_DATA_HOME to a folder of yours"


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
        kinds: dict[str, Any] = {
            "of": str, "processor": str, "build": str, "loss": float | int, "vocabulary": int, "folder": str,
        }  # fmt: skip
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


@dataclass(frozen=True, slots=True)
class CardFile:
    """A file of a pair as its card has it: one that was made, or where the recipe is empty the source's own."""

    path: Path
    bytes: int
    sha256: str
    source: str
    recipe: str

    @property
    def whole(self) -> bool:
        """Whether it is there in its full size; a hash is for `verify`."""
        try:
            return self.path.stat().st_size == self.bytes
        except OSError:
            return False


def card_of(profile: Profile) -> dict[str, Any]:
    """What stands on the card of made files. Raises IntegrityError where it is gone or damaged."""
    made = optimized_of(profile)
    card = {} if made is None else read_json(made.card)
    if made is None or not isinstance(card.get("files"), dict):
        where = "its table `optimized`" if made is None else str(made.card)
        raise IntegrityError(f"the card of {profile.name} is gone or damaged: {where}", "make its files again")
    return card


def card_files(profile: Profile) -> dict[str, CardFile]:
    """Both files by role, as the card has them. Raises IntegrityError where it is gone or damaged."""
    card, made = card_of(profile), optimized_of(profile)
    assert made is not None
    try:
        found = {
            role: CardFile(
                Path(made.folder) / str(card["files"][role]["file"]),
                int(card["files"][role]["bytes"]),
                str(card["files"][role]["sha256"]),
                str(card["files"][role]["source"]),
                str(card["files"][role]["recipe"]),
            )
            for role in ("drafter", "expert")
        }
    except (KeyError, TypeError, ValueError):
        found = {}
    if not found or not all(SHA256.fullmatch(each.sha256) for each in found.values()):
        raise IntegrityError(f"{made.card} is damaged: it does not say which files it is of", "make them again")
    return found


def card_sources(profile: Profile) -> dict[str, Source]:
    """Where both models of a made pair are, with the size and the hash that their card has. Raises as `card_of`."""
    return {
        role: Source(path=str(each.path), sha256=each.sha256, bytes=each.bytes)
        for role, each in card_files(profile).items()
    }


def is_whole(profile: Profile) -> bool:
    """Whether the made files are all there with their card, in their sizes."""
    try:
        return all(each.whole for each in card_files(profile).values())
    except IntegrityError:
        return False


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


def beside(name: str, what: str) -> Path:
    """A place beside a folder that no pair's own can be: "part", "old" or "lock"."""
    return made_folder(f".{name}.{what}")


@contextlib.contextmanager
def workplace(name: str) -> Iterator[Path]:
    """An empty folder to make files in, gone with what it holds when the block ends; one process at a time. Raises
    UsageError where another one is at it, or where nothing can be written."""
    with contextlib.ExitStack() as opened:
        with writing(made_folder(name).parent):
            made_folder(name).parent.mkdir(parents=True, exist_ok=True)
            lock = opened.enter_context(beside(name, "lock").open("ab"))
        if not take_lock(lock, wait=False):
            raise UsageError(f"another process is making files for {name}", "wait for it, or take another name")
        part = beside(name, "part")
        with writing(part):
            put_back(name)
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
        try:
            yield part
        finally:
            shutil.rmtree(part, ignore_errors=True)


@contextlib.contextmanager
def writing(where: Path) -> Iterator[None]:
    """Raises UsageError where the block cannot write there."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"cannot write {where}: {error.strerror}", ELSEWHERE) from None


def put_back(name: str) -> None:
    """Undo a change of folders that a kill cut off between its two renames. Raises OSError."""
    folder, old = made_folder(name), beside(name, "old")
    if old.is_dir() and not folder.exists():
        old.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def keep(part: Path, name: str, card: Mapping[str, Any], text: str) -> Path:
    """Give a workplace its card, and put it in the place of the folder of this name. Returns that folder. Raises
    UsageError where that cannot be written; the folder before is in its place then."""
    folder, old = made_folder(name), beside(name, "old")
    with writing(folder):
        atomic_write(part / CARD, json.dumps(card, indent=1, ensure_ascii=False) + "\n")
        atomic_write(part / "README.md", text)
        if folder.exists():
            folder.rename(old)
        try:
            part.rename(folder)
        except BaseException:
            if old.exists():
                old.rename(folder)
            raise
    shutil.rmtree(old, ignore_errors=True)
    return folder


def register(profile: Profile) -> Path:
    """Write a profile of made files among the user's own. Returns its file. Raises NameTaken where that is another
    pair's, and UsageError where it cannot be written."""
    require_free(profile.name)
    path = user_profiles() / f"{profile.name}.yaml"
    data: dict[str, Any] = {"name": profile.name, "title": profile.title, "licence": profile.licence}
    if profile.memory_gb:
        data["memory_gb"] = profile.memory_gb
    for role in ("drafter", "expert"):
        source = getattr(profile, role)
        data[role] = {key: value for key, value in asdict(source).items() if value}
    data |= {"defaults": dict(profile.defaults), "optimized": dict(profile.optimized)}
    head = "# Made by speccas for one machine; the card beside the files says of what. `rm` takes both away.\n"
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, head + yaml.safe_dump(data, sort_keys=False, allow_unicode=True))
    return path


def remove_made(profile: Profile) -> int:
    """Delete the made files and the profile that names them; returns the bytes that were freed."""
    made = optimized_of(profile)
    assert made is not None, "of a profile that was made here"
    folder = Path(made.folder)
    freed = 0
    if folder.parent == made_folder("x").parent and NAME.fullmatch(folder.name):  # never one that somebody wrote there
        freed = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        shutil.rmtree(folder, ignore_errors=True)
    Path(profile.origin).unlink(missing_ok=True)
    return freed
