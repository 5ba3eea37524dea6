"""Cache administration: checking and deleting the files of models on this machine. No network."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import SpeccasError
from .cache import Entry, changing_lock, find, read_lock, remove, remove_parts
from .local import hash_file, locate
from .profiles import Profile, profiles, read_profile
from .source import Source

Tell = Callable[[str, int, int], None]
"""Hears a file's name, the bytes of it that were read, and its size."""


@dataclass(frozen=True, slots=True)
class Checked:
    """One file held against its hash: `expected` is empty where none is known."""

    path: Path
    expected: str
    found: str
    deleted: bool = False

    @property
    def right(self) -> bool:
        return not self.expected or self.found == self.expected


def verify(source: Source, tell: Tell) -> Iterator[Checked]:
    """Hash every file of a model. A wrong one that was downloaded is deleted, so that `pull` fetches it again; a user's
    own is left alone. Raises every error of `locate`."""
    entry = find(source) if source.hf else None
    if entry is None:
        yield _check(locate(source), source.sha256, tell)
        return
    for path, file in zip(entry.paths, entry.files, strict=True):
        checked = _check(path, file.sha256, tell)
        if not checked.right:
            path.resolve().unlink(missing_ok=True)
            remove(path)
            checked = replace(checked, deleted=True)
        yield checked


def _check(path: Path, expected: str, tell: Tell) -> Checked:
    size = path.stat().st_size
    return Checked(path, expected, hash_file(path, lambda done: tell(path.name, done, size)))


@dataclass(frozen=True, slots=True)
class Removed:
    """What `remove_model` did with one model: `kept_for` names the pairs that still use it."""

    source: Source
    freed: int = 0
    kept_for: tuple[str, ...] = ()
    found: bool = True


def pulled_for(pair: Profile) -> list[Source]:
    """The pair's models, and what was pulled for it of those that are for the other processor."""
    lock, taken = read_lock(), [each for each in map(pair.source, pair.roles) if not each.head]
    others = [each for role in pair.roles for each in pair.sources(role) if each not in taken]
    return [*taken, *(each for each in others if each.key in lock and pair.name in lock[each.key].pairs)]


def remove_model(source: Source, name: str) -> Removed:
    """Delete a hub model's files, unless another pair uses them; `name` is the pair (or source) that no longer does."""
    with changing_lock() as lock:
        entry = lock.get(source.key) or find(source)
        if entry is None:
            freed = remove_parts(source.hf)
            return Removed(source, freed, found=freed > 0)
        others = _users(source, entry, lock) - {name}
        if others:
            if source.key in lock:
                lock[source.key] = replace(entry, pairs=tuple(pair for pair in entry.pairs if pair != name))
            return Removed(source, kept_for=tuple(sorted(others)))
        lock.pop(source.key, None)
        return Removed(source, sum(map(remove, entry.paths)) + remove_parts(source.hf))


def _users(source: Source, entry: Entry, lock: Mapping[str, Entry]) -> set[str]:
    """Pairs and sources that the files of an entry are for: those they were pulled for, and every pair that is whole on
    this machine and names them."""
    known = profiles()
    files = {path.resolve() for path in entry.paths}
    users = set()
    for other in (entry, *(each for key, each in lock.items() if key != source.key)):
        if other is entry or files & {path.resolve() for path in other.paths}:
            users |= {pair for pair in other.pairs if pair.startswith("hf:") or pair in known}
    for name, path in known.items():
        try:
            pair = read_profile(path)
        except SpeccasError:  # a profile that cannot be read uses nothing
            continue
        taken = [find(each) for each in map(pair.source, pair.roles) if each.hf]
        every = [find(each) for role in pair.roles for each in pair.sources(role) if each.hf]
        if all(taken) and any(each is not None and files & {p.resolve() for p in each.paths} for each in every):
            users.add(name)
        if files & {_named(each) for each in map(pair.source, pair.roles) if each.path}:
            users.add(name)  # a pair of which one file was made names the other where it lies
    return users


def _named(source: Source) -> Path | None:
    """The file of a source that is a path; None where it is none."""
    try:
        return locate(source).resolve()
    except (SpeccasError, OSError, ValueError):
        return None
