"""What was typed in chats, kept in a file where that can be."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from prompt_toolkit.history import FileHistory


class KeptHistory(FileHistory):
    """History in a file of its owner's; in memory alone where that cannot be read or written."""

    def __init__(self, path: Path) -> None:
        self.unkept: OSError | None = None
        """Why there is no file."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        except OSError as error:
            self.unkept = error
        super().__init__(str(path))

    def load_history_strings(self) -> Iterable[str]:
        try:
            return super().load_history_strings()
        except OSError:
            return []

    def store_string(self, string: str) -> None:
        with contextlib.suppress(OSError):
            super().store_string(string)
