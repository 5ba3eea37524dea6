"""The files of a model on this machine: where they are, whether they are whole, their size and hash. No network."""

import hashlib
import importlib.util
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from ..errors import IntegrityError, NotInstalled, NotPulled, SpeccasError, UsageError
from .cache import find, has_part
from .found import find_file
from .listing import SPLIT
from .source import Source, repository

BLOCK = 1 << 20  # bytes


def locate(source: Source, pull: str = "") -> Path:
    """The file of a model on this machine. Raises NotInstalled, NotPulled (`pull` is what to pull) or UsageError (no
    such path; or a server runs the model)."""
    if source.url:
        raise UsageError(f"this model is on a server ({source}): there is no file of it here", "see what runs it there")
    if source.path:
        try:
            path = Path(source.path).expanduser()
            found = path.exists()
        except (OSError, RuntimeError) as error:  # a name too long, a home directory of nobody
            raise UsageError(f"{source.path}: {getattr(error, 'strerror', None) or error}", "check the path") from None
        if not found and (other := find_file(source.path)) is not None:
            return other
        if not found:
            name = repository(source.path)
            hint = f"check the path; for a model of the hub write {name}" if name else "check the path"
            raise UsageError(f"no such file: {path}", hint)
        return path
    if source.package:
        try:
            spec = importlib.util.find_spec(source.package)  # finds a top-level package without running any of it
        except (ImportError, ValueError):
            spec = None
        roots = [Path(root) for root in (spec.submodule_search_locations or ())] if spec else []
        files = [p for root in roots if root.is_dir() for p in sorted(root.iterdir()) if fnmatch(p.name, source.file)]
        if not files:
            missing = {"extra": source.extra} if source.extra else {"package": source.package}
            raise NotInstalled(f"the model file {source} is not installed", **missing)
        return files[0]
    entry = find(source)
    if entry is None:
        raise NotPulled(f"{source} is not on this machine", pull=pull or str(source))
    return entry.paths[0]


def require_parts(path: Path) -> Path:
    """The path. Raises IntegrityError where it is the first part of a split model, and another is not beside it."""
    split = SPLIT.fullmatch(path.name)
    if split is not None and int(split["part"]) == 1:
        missing = next((name for name in _parts(split) if not path.with_name(name).is_file()), None)
        if missing is not None:
            what = f"{path} is split over {int(split['parts'])} files, and {missing} is not beside it"
            raise IntegrityError(what, "have every part in one folder")
    return path


def _parts(split: re.Match[str]) -> Iterator[str]:
    """The names of all parts."""
    return (f"{split['stem']}-{part:05}-of-{split['parts']}.gguf" for part in range(1, int(split["parts"]) + 1))


def size_of(path: Path) -> int:
    """Bytes of a model on this machine: of its file, or of every part of a split one."""
    split = SPLIT.fullmatch(path.name)
    if not split:
        return path.stat().st_size
    return sum(part.stat().st_size for part in map(path.with_name, _parts(split)) if part.is_file())


def hash_file(path: Path, tell: Callable[[int], None] = lambda done: None) -> str:
    """SHA-256 of a file; `tell` hears the bytes read so far. Raises OSError."""
    found, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            found.update(block)
            done += len(block)
            tell(done)
    return found.hexdigest()


@dataclass(frozen=True, slots=True)
class LocalModel:
    """What of a model is on this machine: "have", "partial" or "missing", and its bytes as far as they are known."""

    source: Source
    state: str
    bytes: int
    path: Path | None


def local_model(source: Source) -> LocalModel:
    """Look for a model's files. No network, and nothing is read but sizes."""
    try:
        entry = find(source) if source.hf else None
        if source.hf and entry is None:
            return LocalModel(source, "partial" if has_part(source.hf) else "missing", source.bytes, None)
        path = entry.paths[0] if entry is not None else locate(source)
        return LocalModel(source, "have", entry.bytes if entry is not None else size_of(path), path)
    except (SpeccasError, OSError):
        return LocalModel(source, "missing", source.bytes, None)
