"""A conversation as values: its turns, the ids they were written in, and a file to keep them.

What was generated is never tokenised again.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..atomic import atomic_write
from ..errors import NotASession, UsageError
from .template import Message

SCHEMA = 1
MAX_FILE = 64 << 20  # bytes
TITLE = 72  # characters
ABOUT = ("pair", "drafter", "expert", "began")
"""Of a conversation: what a file of an earlier version does not hold."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What was asked and answered. `ids` are the answer's tokens, its end token left out; None when they were written
    with another vocabulary. A turn that was interrupted stays in the file and is no part of what the models see; so do
    the turns before `first`, the oldest one that they saw for this answer."""

    user: str
    answer: str
    ids: tuple[int, ...] | None
    rule: str
    finish: str
    figures: dict[str, Any] = field(default_factory=dict)
    first: int = 0
    again: int = 0
    """How often the message had been asked before: every time draws anew."""

    @property
    def seen(self) -> bool:
        return self.finish != "interrupted"


@dataclass(frozen=True, slots=True)
class Conversation:
    """A system message and turns. `vocabulary` is the fingerprint of the tokens that the ids belong to; `pair`,
    `drafter` and `expert` name the pair that answered last and its files, and `began` is when the first question was
    asked (ISO 8601): each "" where a file of an earlier version does not say it."""

    system: str = ""
    turns: tuple[Turn, ...] = ()
    vocabulary: str = ""
    pair: str = ""
    drafter: str = ""
    expert: str = ""
    began: str = ""

    @property
    def title(self) -> str:
        """Its first question on one line, cut to some words."""
        asked = " ".join(self.turns[0].user.split()) if self.turns else ""
        return asked if len(asked) <= TITLE else asked[: TITLE - 1].rstrip() + "…"

    @property
    def first(self) -> int:
        """The oldest turn that the models see: as the last answer left it, whatever was undone or stopped since."""
        return next((turn.first for turn in reversed(self.turns) if turn.seen), 0)

    def messages(
        self, user: str | None = None, first: int | None = None
    ) -> tuple[list[Message], dict[int, tuple[int, ...]]]:
        """The messages for a template from the turn `first` on, with a further user message, and the known ids of
        messages by index."""
        messages = [Message("system", self.system)] if self.system else []
        known: dict[int, tuple[int, ...]] = {}
        for turn in self.turns[self.first if first is None else first :]:
            if not turn.seen:
                continue
            if turn.ids is not None:
                known[len(messages) + 1] = turn.ids
            messages += [Message("user", turn.user), Message("assistant", turn.answer)]
        if user is not None:
            messages.append(Message("user", user))
        return messages, known

    def then(self, turn: Turn) -> "Conversation":
        return replace(self, turns=(*self.turns, turn))

    def undo(self) -> "Conversation":
        """Without the last turn. Raises UsageError when there is none."""
        if not self.turns:
            raise UsageError("there is no turn to undo", "say something first")
        return replace(self, turns=self.turns[:-1])

    def within(self, length: Callable[[int], int], most: int, wanted: int) -> int:
        """The oldest turn that may still be seen: the one that is, or where `length` from there on is more than `most`
        tokens a later one, down to `wanted` where that can be reached. The system message always stays."""
        first = self.first
        if length(first) > most:
            while first < len(self.turns) and length(first) > wanted:
                first += 1
        return first


def fingerprint(texts: Sequence[bytes]) -> str:
    """SHA-256 over a vocabulary: ids mean the same only where this is the same."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(len(text).to_bytes(4, "little") + text)
    return digest.hexdigest()


def save(conversation: Conversation, path: Path) -> None:
    """Write the file whole or not at all, for its owner alone. Raises UsageError."""
    document = {"schema": SCHEMA, "type": "speccas-session", "title": conversation.title, **asdict(conversation)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, json.dumps(document, ensure_ascii=False, indent=1), private=True)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", "give a file in a directory of yours") from None


def load(path: Path) -> Conversation:
    """A saved conversation. Raises UsageError for a missing file, IntegrityError for one that is none of ours."""
    try:
        if not path.is_file():
            raise UsageError(f"no such file: {path}", "check the path")
        if path.stat().st_size > MAX_FILE:
            raise NotASession(f"{path} is too large for a saved session")
        document = json.loads(path.read_bytes())
        if document["type"] != "speccas-session" or document["schema"] != SCHEMA:
            raise ValueError(f"schema {document['schema']}")
        turns = tuple(_turn(turn) for turn in document["turns"])
        about = {name: str(document.get(name, "")) for name in ABOUT}
        return Conversation(str(document["system"]), turns, str(document["vocabulary"]), **about)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", "check the path") from None
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError):
        raise NotASession(f"{path} is no saved session of speccas") from None


def _turn(turn: dict[str, Any]) -> Turn:
    ids = turn["ids"]
    known = None if ids is None else tuple(int(token) for token in ids)
    first, again = int(turn["first"]), int(turn["again"])
    if first < 0 or again < 0:
        raise ValueError("a negative count")
    user, answer, rule, finish = (str(turn[name]) for name in ("user", "answer", "rule", "finish"))
    return Turn(user, answer, known, rule, finish, dict(turn["figures"]), first, again)


def for_vocabulary(conversation: Conversation, vocabulary: str) -> Conversation:
    """The conversation for models of another vocabulary: its texts stay, its ids do not."""
    if conversation.vocabulary == vocabulary:
        return conversation
    turns = tuple(replace(turn, ids=None) for turn in conversation.turns)
    return replace(conversation, turns=turns, vocabulary=vocabulary)


def as_markdown(conversation: Conversation, head: Sequence[str] = ()) -> str:
    """The conversation to read or to paste. `head`: lines of who answered, and how."""
    parts = ["".join(f"> {line.strip()}  \n" for line in head)] if head else []
    parts += [f"**System:** {conversation.system}\n"] if conversation.system else []
    for turn in conversation.turns:
        parts.append(f"**You:** {turn.user}\n\n**Model** ({turn.rule}): {turn.answer}\n")
    return "\n".join(parts)
