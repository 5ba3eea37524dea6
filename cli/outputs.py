"""Files that a user names to be written. What is there already is never written over, unless that was said."""

import os
from pathlib import Path

from speccas.core.atomic import atomic_write
from speccas.core.errors import UsageError

FORCE = "give another name, or --force"
OURS = "give a file in a directory of yours"


def require_new(path: Path, force: bool, hint: str = FORCE) -> None:
    """Before anything is loaded: whether this file may be written. A pipe or a device may. Raises UsageError."""
    if path.is_file() and not force:
        raise UsageError(f"{path} exists", hint)
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a directory", OURS)
    if not path.absolute().parent.is_dir():
        raise UsageError(f"cannot write {path}: there is no directory {path.absolute().parent}", OURS)


def open_new(path: Path, force: bool, hint: str = FORCE) -> int:
    """A descriptor to write with, of a file that its owner alone may read. Raises UsageError."""
    require_new(path, force, hint)
    kind = os.O_TRUNC if force or path.exists() else os.O_EXCL
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | kind, 0o600)
    except FileExistsError:  # another process was quicker, or it is a link that leads nowhere
        raise UsageError(f"{path} exists", hint) from None
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", OURS) from None


def write_new(path: Path, text: str, force: bool, hint: str = FORCE) -> None:
    """Write a text file, whole or not at all. Raises UsageError."""
    require_new(path, force, hint)
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8", errors="replace")
        else:
            atomic_write(path.resolve(), text)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", OURS) from None
