"""Files that are written whole or not at all, and changed by one process at a time."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO


@contextmanager
def atomic_file(path: Path, private: bool = False) -> Iterator[BinaryIO]:
    """A file to write in; it takes the place of `path` when the block ends, and goes where the block raises.

    A kill leaves the old file or the new one. `private`: readable by its owner alone. Raises OSError.
    """
    part = path.with_name(f"{path.name}.{os.urandom(4).hex()}.part")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(part, flags, 0o600 if private else 0o666), "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def atomic_write(path: Path, content: str | bytes, private: bool = False) -> None:
    """Write a whole file. Text is written as UTF-8, with `?` for half of a surrogate pair. Raises OSError."""
    with atomic_file(path, private) as file:
        file.write(content.encode("utf-8", "replace") if isinstance(content, str) else content)


def take_lock(file: IO[Any], wait: bool) -> bool:
    """Lock an open file against other processes until it is closed; False where another one holds it.

    `wait` for that one to let go. A file system that knows no locks is used without them.
    """
    if sys.platform == "win32":
        import msvcrt

        file.seek(1 << 30)  # locked bytes cannot be read there, so lock one that no file of ours reaches
        try:
            while True:
                try:
                    msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
                    return True
                except OSError:  # LK_LOCK gives up after ten seconds
                    if not wait:
                        return False
        finally:
            file.seek(0, os.SEEK_END)
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, made where there is none: one process at a time. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        take_lock(file, wait=True)
        yield


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; {} where there is none, or where it cannot be read."""
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def update_json(path: Path, change: Callable[[dict[str, Any]], None], private: bool = True) -> None:
    """Read the object in a JSON file, let `change` change it, and write it, while no other process does so.

    The lock file stands beside it, with the ending .lock. Raises OSError.
    """
    with locked(path.with_suffix(".lock")):
        data = read_json(path)
        change(data)
        atomic_write(path, json.dumps(data), private)
