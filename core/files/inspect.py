"""A model's header wherever the model is: on this machine, or over range requests on the hub. Loads no weights."""

from dataclasses import dataclass
from pathlib import Path

from ..headers.gguf import Header, read_header
from .cache import find
from .local import locate, require_parts, size_of
from .network import require_network
from .source import Source


@dataclass(frozen=True, slots=True)
class Inspected:
    """A header, and the file that it heads. `path` is None where that is on the hub only."""

    source: Source
    file: str
    header: Header
    bytes: int
    path: Path | None
    sha256: str
    licence: str = ""


def inspect(source: Source, pull: str = "") -> Inspected:
    """Read a header. No network where the file is here. Raises every error of `locate`, `read_header` and, for a hub
    file that is not here, of `require_network`, `hub.look_up` and `hub.remote_header`."""
    entry = find(source) if source.hf else None
    if source.hf and entry is None:
        require_network()  # before huggingface_hub reads the environment
        from .hub import look_up, remote_header

        remote = look_up(source)
        total = sum(file.bytes for file in remote.files)
        first = remote.files[0]
        return Inspected(source, first.path, remote_header(remote), total, None, first.sha256, remote.licence)
    path = require_parts(entry.paths[0] if entry is not None else locate(source, pull))
    sha256 = entry.files[0].sha256 if entry is not None else source.sha256
    header = read_header(path)
    return Inspected(source, path.name, header, size_of(path), path, sha256, header.get("general.license", str, ""))
