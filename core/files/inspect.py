"""A model's header wherever the model is: on this machine, or over range requests on the hub. Loads no weights.

Knows where models are; not what their headers mean.
"""

from dataclasses import dataclass
from pathlib import Path

from ..errors import SpeccasError
from ..headers.gguf import Header, read_header
from .cache import find, has_part
from .profiles import locate, size_of
from .source import Source


@dataclass(frozen=True, slots=True)
class Peeked:
    """A header, and the file that it heads. `path` is None where that is on the hub only."""

    source: Source
    file: str
    header: Header
    bytes: int
    path: Path | None
    sha256: str
    licence: str = ""


def peek(source: Source, pull: str = "") -> Peeked:
    """Read a header. No network where the file is here. Raises every error of `locate`, `read_header` and, for a hub
    file that is not here, of `hub.look_up` and `hub.remote_header`."""
    entry = find(source) if source.hf else None
    if source.hf and entry is None:
        from .hub import look_up, remote_header

        remote = look_up(source)
        total = sum(file.bytes for file in remote.files)
        first = remote.files[0]
        return Peeked(source, first.path, remote_header(remote), total, None, first.sha256, remote.licence)
    path = entry.paths[0] if entry is not None else locate(source, pull)
    sha256 = entry.files[0].sha256 if entry is not None else source.sha256
    header = read_header(path)
    return Peeked(source, path.name, header, size_of(path), path, sha256, header.get("general.license", str, ""))


@dataclass(frozen=True, slots=True)
class Held:
    """What of a model is on this machine: "have", "partial" or "missing", and its bytes as far as they are known."""

    source: Source
    state: str
    bytes: int
    path: Path | None


def held(source: Source) -> Held:
    """Look for a model's files. No network, and nothing is read but sizes."""
    try:
        entry = find(source) if source.hf else None
        if source.hf and entry is None:
            return Held(source, "partial" if has_part(source.hf) else "missing", source.bytes, None)
        path = entry.paths[0] if entry is not None else locate(source)
        return Held(source, "have", entry.bytes if entry is not None else size_of(path), path)
    except (SpeccasError, OSError):
        return Held(source, "missing", source.bytes, None)
