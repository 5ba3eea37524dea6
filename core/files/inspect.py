"""A model's header wherever the model is: on this machine, or over range requests on the hub. Loads no weights."""

from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import CannotPair
from ..headers.gguf import Header, read_header
from ..headers.head_kind import inside, inside_bytes
from ..headers.heads import require_inside
from .cache import find
from .listing import is_head
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
    heads: tuple[str, ...] = ()
    """Draft heads beside it, by their names: in its folder, or its repository. Each as it can be typed."""


def inspect_drafter(source: Source, expert: Inspected, pull: str = "") -> Inspected:
    """The header of a drafter, which may be the head in the file of an expert. Raises as `inspect`, and CannotPair
    where the expert's file holds none; the hint names those beside it."""
    if not source.head:
        return inspect(source, pull)
    try:
        require_inside(expert.header)
    except CannotPair as error:
        error.hint = f"name the head that lies beside it: {expert.heads[0]}" if expert.heads else error.hint
        raise
    name, header = f"the head in {expert.file}", inside(expert.header)
    return replace(expert, source=source, file=name, header=header, bytes=inside_bytes(expert.header))


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
        heads = tuple(f"hf:{remote.repo}:{path}" for path in remote.heads)
        return Inspected(source, first.path, remote_header(remote), total, None, first.sha256, remote.licence, heads)
    path = require_parts(entry.paths[0] if entry is not None else locate(source, pull))
    sha256 = entry.files[0].sha256 if entry is not None else source.sha256
    header = read_header(path)
    licence = header.get("general.license", str, "")
    return Inspected(source, path.name, header, size_of(path), path, sha256, licence, heads_beside(path))


def heads_beside(path: Path) -> tuple[str, ...]:
    """Draft heads in the folder of a file, and in a folder MTP there, by their names."""
    try:
        found = [each for each in (*path.parent.glob("*.gguf"), *path.parent.glob("MTP/*.gguf")) if each != path]
    except OSError:
        return ()
    return tuple(sorted(str(each) for each in found if is_head(each.name)))
