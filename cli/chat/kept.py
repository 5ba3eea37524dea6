"""What a chat leaves on this machine: the file of its conversation, and what was typed."""

import itertools
import os
from datetime import datetime
from pathlib import Path

from platformdirs import user_state_path


def state_dir() -> Path:
    """Where both are; it may not be there yet."""
    return user_state_path("speccas")


def session_file() -> Path:
    """A new file for a conversation; two of the same second get two."""
    folder, name = state_dir() / "sessions", f"{datetime.now():%Y-%m-%d-%H%M%S}-{os.getpid()}"
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(path for each in names if not (path := folder / f"{each}.json").exists())
