"""The model files of hub sources on this machine, and `lock.json`, which says what was pulled: found without a network.

The cache is the one that huggingface_hub and llama.cpp share: models--OWNER--NAME/blobs/SHA256, and
snapshots/COMMIT/PATH linked to them.
"""

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_state_path

from ..atomic import atomic_write, locked
from ..errors import SpeccasError
from .listing import RemoteFile, check_name, choose
from .network import constants
from .source import COMMIT, SHA256, Source

SCHEMA = 1
PART = ".speccas.incomplete"  # the ending that `hf cache prune` clears away


@dataclass(frozen=True, slots=True)
class Entry:
    """What a source came to: the commit and its files in `folder`, and the pairs it was pulled for."""

    repo: str
    commit: str
    folder: str
    files: tuple[RemoteFile, ...]
    pairs: tuple[str, ...] = ()

    @property
    def paths(self) -> list[Path]:
        return [Path(self.folder, *file.path.split("/")) for file in self.files]

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)

    @property
    def complete(self) -> bool:
        """Whether every file is there in its full size; a hash is for `verify`."""
        return all(_size(path) == file.bytes for path, file in zip(self.paths, self.files, strict=True))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def lock_file() -> Path:
    return user_state_path("speccas") / "lock.json"


def read_lock() -> dict[str, Entry]:
    """Entries by `Source.key`. What cannot be read is left out: the files are then found in the cache, or pulled."""
    try:
        data = json.loads(lock_file().read_bytes())
        entries = data["models"].items() if data["schema"] == SCHEMA else ()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    found = {}
    for key, each in entries:
        with contextlib.suppress(KeyError, TypeError, ValueError, SpeccasError):
            found[key] = _entry(each)
    return found


def _entry(data: Mapping[str, Any]) -> Entry:
    files = tuple(RemoteFile(str(f["path"]), int(f["bytes"]), str(f["sha256"])) for f in data["files"])
    for file in files:
        check_name(file.path)
    if not files:
        raise ValueError("no files")
    return Entry(str(data["repo"]), str(data["commit"]), str(data["folder"]), files, tuple(map(str, data["pairs"])))


@contextlib.contextmanager
def changing_lock() -> Iterator[dict[str, Entry]]:
    """The entries, to be changed; written in one piece when the block ends. One process at a time."""
    path = lock_file()
    with locked(path.with_suffix(".lock")):
        entries = read_lock()
        before = dict(entries)
        yield entries
        if entries != before:
            models = {key: asdict(entry) for key, entry in sorted(entries.items())}
            atomic_write(path, json.dumps({"schema": SCHEMA, "models": models}, indent=1) + "\n", private=True)


def cache_dir() -> Path:
    """The shared cache (HF_HUB_CACHE, HF_HOME)."""
    return Path(constants().HF_HUB_CACHE)


def repository_dir(repo: str) -> Path:
    return cache_dir() / ("models--" + repo.replace("/", "--"))


def find(source: Source) -> Entry | None:
    """The whole model of a hub source on this machine: as the lock says, else as another program left it in the cache.
    No network, and for a locked one no huggingface_hub."""
    lock = read_lock()
    entry = lock.get(source.key)
    if entry is not None and entry.complete:
        return entry
    found = _cached(source)
    if found is None or not found.complete:
        return None
    sizes = {file.sha256: file.bytes for each in lock.values() for file in each.files}  # one may be cut short by now
    return found if all(sizes.get(file.sha256, file.bytes) == file.bytes for file in found.files) else None


def _cached(source: Source) -> Entry | None:
    root = repository_dir(source.hf)
    commit = source.revision or "main"
    if not COMMIT.fullmatch(commit):
        try:
            check_name(commit)
            commit = (root / "refs" / commit).read_text(encoding="ascii").strip()
        except (OSError, ValueError, SpeccasError):
            return None
    folder = root / "snapshots" / commit
    if not COMMIT.fullmatch(commit) or not folder.is_dir():
        return None
    ggufs = [path for path in folder.rglob("*") if path.suffix.lower() == ".gguf" and path.is_file()]
    files = [RemoteFile(p.relative_to(folder).as_posix(), p.stat().st_size, _blob_name(p)) for p in ggufs]
    try:
        chosen = choose(files, source.hf, source.quant, source.file)
    except SpeccasError:
        return None
    return Entry(source.hf, commit, str(folder), chosen)


def _blob_name(path: Path) -> str:
    """The SHA-256 that the cache gives a file by its blob's name, "" where it gives none."""
    name = path.resolve().name
    return name if SHA256.fullmatch(name) else ""


def has_part(repo: str) -> bool:
    """Whether a download of some file of a repository was begun and not finished."""
    return any((repository_dir(repo) / "blobs").glob("*" + PART))


def remove_parts(repo: str) -> int:
    """Delete what was begun and not finished. The bytes freed."""
    parts = list((repository_dir(repo) / "blobs").glob("*" + PART))
    freed = sum(max(0, _size(part)) for part in parts)
    for part in parts:
        part.unlink(missing_ok=True)
    _remove_empty(repository_dir(repo))
    return freed


def remove(path: Path) -> int:
    """Delete one cached file, and its blob unless something else in the cache is linked to it. The bytes freed.

    `path` is snapshots/COMMIT/PATH; folders left empty go as well.
    """
    root = next((parent.parent for parent in path.parents if parent.name == "snapshots"), path.parent)
    real, size = path.resolve(), max(0, _size(path))
    path.unlink(missing_ok=True)
    if real.exists() and not _links_to(root / "snapshots", real):
        for link in _links_to(root / "blobs", real):  # newer caches keep blobs in a store that repositories share
            link.unlink()
        if real.is_relative_to(root) or not any(_links_to(each, real) for each in root.parent.glob("models--*/blobs")):
            real.unlink()
    for folder in path.parents:
        if folder.is_relative_to(root) and folder != root:
            with contextlib.suppress(OSError):  # not empty
                folder.rmdir()
    _remove_empty(root)
    return 0 if real.exists() else size


def _remove_empty(root: Path) -> None:
    """Delete a repository's folder where nothing but the names of its branches is left in it."""
    for name in ("blobs", "snapshots"):
        with contextlib.suppress(OSError):  # not empty
            (root / name).rmdir()
    if root.parent == cache_dir() and not (root / "blobs").exists() and not (root / "snapshots").exists():
        shutil.rmtree(root, ignore_errors=True)


def _links_to(folder: Path, real: Path) -> list[Path]:
    return [each for each in folder.rglob("*") if each.is_symlink() and each.resolve() == real]
