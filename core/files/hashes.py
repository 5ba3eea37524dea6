"""SHA-256 of model files, remembered: a file is read once, not for every run that names it.

A file with the same path, size and time of change is taken to be the same content.
"""

import re
import time
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from ..atomic import read_json, update_json
from . import local

MOST = 256  # files that are remembered; the oldest entry goes first
SETTLED = 2_000_000_000  # ns: what changed later may change again within one tick of the clock of files
SHA256 = re.compile("[0-9a-f]{64}")


def hashes_file() -> Path:
    """Where hashes are remembered."""
    return user_cache_path("speccas") / "hashes.json"


def remembered_hash(path: Path, memory: Path | None = None) -> str:
    """The SHA-256 of a file, from `memory` where that knows the file as it is now. Raises OSError where it cannot be
    read. A memory that is damaged, or cannot be written, costs time and nothing else."""
    memory = memory or hashes_file()
    path = path.resolve()
    before = _state(path)
    entry = read_json(memory).get(str(path))
    if isinstance(entry, dict) and entry == before | {"sha256": entry.get("sha256")}:
        known = entry["sha256"]
        if isinstance(known, str) and SHA256.fullmatch(known):
            return known
    found = local.hash_file(path)
    if _state(path) == before and before["mtime_ns"] < time.time_ns() - SETTLED:
        _remember(memory, str(path), {**before, "sha256": found})
    return found


def _state(path: Path) -> dict[str, Any]:
    stat = path.stat()
    return {"bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def _remember(memory: Path, name: str, entry: dict[str, Any]) -> None:
    def change(entries: dict[str, Any]) -> None:
        entries.pop(name, None)
        entries[name] = entry
        for old in list(entries)[:-MOST]:
            del entries[old]

    try:
        update_json(memory, change)
    except OSError:
        return  # a cache that cannot be written
