"""The user's editor: $VISUAL, else $EDITOR, else one that is there."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from speccas.core.errors import SpeccasError, UsageError

USUAL = ("nano", "vi", "notepad")


def edit_text(path: Path) -> None:
    """Open a file, and wait for the editor to end. Raises UsageError where there is none, SpeccasError where it
    fails."""
    told = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    command = shlex.split(told) if told else [name for name in USUAL if shutil.which(name)][:1]
    if not command:
        raise UsageError("there is no editor", "set EDITOR to one")
    try:
        code = subprocess.call([*command, str(path)])
    except OSError as error:
        raise UsageError(f"the editor {command[0]} cannot be started: {error.strerror}", "set EDITOR") from None
    if code:
        raise SpeccasError(f"the editor {command[0]} ended with {code}: nothing is changed", f"its file is {path}")
