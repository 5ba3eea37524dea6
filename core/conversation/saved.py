"""The conversations that were saved in a folder, newest first: to be listed, and opened by number."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ..errors import SpeccasError, UsageError
from .transcript import Conversation, load

MOST = 100  # of the newest; older ones stay where they are


@dataclass(frozen=True, slots=True)
class SavedSession:
    """One file: `changed` is when it was last written."""

    path: Path
    conversation: Conversation
    changed: datetime


def saved_sessions(folder: Path, without: Path | None = None) -> list[SavedSession]:
    """The newest ones; `without` is left out, and so is what is damaged or none of ours."""
    try:
        dated = [(path.stat().st_mtime, path) for path in folder.glob("*.json") if path != without]
    except OSError:
        return []
    found = []
    for seconds, path in sorted(dated, reverse=True)[:MOST]:
        try:
            found.append(SavedSession(path, load(path), datetime.fromtimestamp(seconds)))
        except SpeccasError:
            continue
    return [each for each in found if each.conversation.turns]


def numbered(sessions: list[SavedSession], number: int) -> SavedSession:
    """The session of a number; 1 is the newest. Raises UsageError."""
    if not sessions:
        raise UsageError("there is no saved session", "every chat is saved after its first answer")
    if not 1 <= number <= len(sessions):
        raise UsageError(f"there is no session {number}", f"give a number from 1 to {len(sessions)}")
    return sessions[number - 1]
