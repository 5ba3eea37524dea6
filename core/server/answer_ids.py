"""Token ids of answers that were given, so that a conversation that comes back is read as it was written.

Tokenizing its text anew may split it otherwise, and what follows would be in no cache.
"""

import hashlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..conversation.template import Message

MOST = 1 << 20  # tokens that are remembered


@dataclass
class AnswerIds:
    """At most `most` tokens; the answers that were not asked for longest go first."""

    most: int = MOST
    _ids: dict[bytes, "array[int]"] = field(default_factory=dict)
    _tokens: int = 0

    def note(self, messages: Sequence[Message], text: str, ids: Sequence[int]) -> None:
        """`text`, of these tokens, was the answer to these messages."""
        *_, key = keys([*messages, Message("assistant", text)])
        self._tokens += len(ids) - len(self._ids.pop(key, ()))
        self._ids[key] = array("i", ids)
        while self._tokens > self.most:
            self._tokens -= len(self._ids.pop(next(iter(self._ids))))

    def known(self, messages: Sequence[Message]) -> Mapping[int, Sequence[int]]:
        """By the index of a message: its ids, where it was an answer to what stands before it."""
        found: dict[int, Sequence[int]] = {}
        for i, key in enumerate(keys(messages)):
            if messages[i].role == "assistant" and (ids := self._ids.pop(key, None)) is not None:
                self._ids[key] = ids
                found[i] = ids.tolist()
        return found


def keys(messages: Sequence[Message]) -> Iterator[bytes]:
    """For each message a hash of it and of all before it."""
    hashed = hashlib.sha256()
    for message in messages:
        for text in (message.role, message.content):
            data = text.encode("utf-8", "surrogatepass")
            hashed.update(len(data).to_bytes(8, "little") + data)
        yield hashed.digest()
