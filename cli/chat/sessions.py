"""The conversations that chats saved: listed, opened by number, and gone on with in the same file."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_state_path

from speccas.core.conversation.saved import SavedSession, numbered, saved_sessions
from speccas.core.conversation.transcript import Conversation, load
from speccas.core.errors import SpeccasError, UsageError

from ..view.safe import one_line
from .kept import session_file

if TYPE_CHECKING:
    from speccas.core.runtime.pair import Pair
    from speccas.core.session import Session

    from .loop import Chat


def sessions_dir() -> Path:
    return user_state_path("speccas") / "sessions"


def dated(conversation: Conversation) -> Conversation:
    """A conversation that says when it began: now, where it does not say so."""
    began = conversation.began or datetime.now().astimezone().isoformat(timespec="seconds")
    return replace(conversation, began=began)


def session_lines(found: Sequence[SavedSession]) -> list[str]:
    """A line each: number, date, pair, turns, and the first question."""
    pairs = [one_line(each.conversation.pair) or "?" for each in found]
    width = max(map(len, pairs), default=0)
    return [
        f"{number:>3}  {each.changed:%Y-%m-%d %H:%M}  {pair:<{width}}  {turns(each.conversation):>9}  "
        f"{one_line(each.conversation.title)}"
        for number, (each, pair) in enumerate(zip(found, pairs, strict=True), 1)
    ]


def turns(conversation: Conversation) -> str:
    count = len(conversation.turns)
    return f"{count} turn{'s' * (count != 1)}"


def other_pair(conversation: Conversation, pair: "Pair") -> list[str]:
    """What is to be said of a conversation that another pair wrote."""
    ours = {role: file.path.name for role, file in pair.files.items()}
    made = {"drafter": conversation.drafter, "expert": conversation.expert}
    if not conversation.expert or made == ours:
        return []
    who = f"pair {conversation.pair}: {conversation.drafter} for {conversation.expert}"
    return [f"this conversation was made with another pair ({who}); {pair.name} goes on with it"]


def keep_apart(chat: "Chat") -> None:
    """Go on in a file of its own where somebody else wrote to that of this conversation since: both stay whole."""
    path = chat.session.path
    if path is None or not path.exists():
        return
    try:
        theirs: list[tuple[str, str]] | None = said(load(path))
    except SpeccasError:
        theirs = None
    ours = said(chat.session.conversation)
    if theirs is None or ours[: len(theirs)] != theirs:
        chat.session.path = session_file()
        chat.note(
            "another chat wrote to the file of this conversation: this one goes on in a file of its own", "warning"
        )


def said(conversation: Conversation) -> list[tuple[str, str]]:
    return [(turn.user, turn.answer) for turn in conversation.turns]


def from_shell(go_on: bool, number: int | None, file: Path | None) -> SavedSession | None:
    """The saved session that the flags of `chat` name. Raises UsageError."""
    if go_on + (number is not None) + (file is not None) > 1:
        raise UsageError("--continue, --open and --load each name a conversation", "give one of them")
    if not go_on and number is None:
        return None
    return numbered(saved_sessions(sessions_dir()), 1 if number is None else number)


def print_sessions() -> None:
    """The saved conversations, for who starts a chat."""
    found = saved_sessions(sessions_dir())
    for line in session_lines(found):
        print(line)
    if not found:
        print("there is no saved conversation")


def begin(session: "Session", path: Path) -> None:
    """What follows goes into a file of its own: what stands in the one before stays there."""
    session.path = path if session.path is not None else None


def show_sessions(chat: "Chat", rest: str) -> None:
    """The saved conversations but this one, the newest first."""
    found = saved_sessions(sessions_dir(), chat.session.path)
    for line in session_lines(found) or ["there is no other saved conversation"]:
        chat.say(line, "")


def open_session(chat: "Chat", rest: str) -> None:
    """Go on with a saved conversation, in its own file. Raises UsageError."""
    try:
        number = int(rest)
    except ValueError:
        raise UsageError(f"/open takes the number of a conversation, not {rest!r}", "/sessions lists them") from None
    saved = numbered(saved_sessions(sessions_dir(), chat.session.path), number)
    chat.require_said(saved.conversation.system)
    notes = other_pair(saved.conversation, chat.pair)
    chat.session.open(saved.conversation)
    if chat.session.path is not None:
        chat.session.path = saved.path
    chat.say(f"{turns(saved.conversation)} from {saved.changed:%Y-%m-%d %H:%M}: {saved.conversation.title}")
    for note in notes:
        chat.say(note, "warning")
