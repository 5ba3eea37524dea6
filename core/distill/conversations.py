"""One conversation as the expert writes it: which tokens are given, and which the expert draws at what temperature."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from random import Random
from typing import Protocol

from ..conversation.template import Message, render
from .openers import Opener

Encode = Callable[[str, bool], list[int]]
"""Ids of a text; whether spellings of control tokens in it are those tokens."""

TEMPERATURES = ((0.0, 7), (0.7, 2), (1.0, 1))  # of answers, with their weights: 0 is what most drafts are judged at


class Part(IntEnum):
    """Who wrote a token; only the expert's own are worth learning in full."""

    GIVEN = 0
    QUESTION = 1
    ANSWER = 2
    """At temperature 0."""
    SAMPLED = 3
    """An answer at a temperature above 0."""


@dataclass(frozen=True)
class Frame:
    """The ids that stand around turns: before the first request, behind a request, and between answer and request."""

    before: tuple[int, ...]
    answer: tuple[int, ...]
    again: tuple[int, ...]
    ends: frozenset[int]
    """Tokens that end a turn."""


def frame(template: str, encode: Encode, ends: frozenset[int], end: str) -> Frame:
    """The frame of a chat template. `end` is the text of the token that ends a turn; it opens `answer` and `again`."""
    left, right = "\ue000", "\ue001"
    messages = [Message("user", left), Message("assistant", right), Message("user", left)]
    text = render(template, messages, begin="", end=end)
    before, rest = text.split(left, 1)
    answer, rest = rest.split(right, 1)
    again = rest.split(left, 1)[0]
    ids = [tuple(encode(part, True)) for part in (before, answer, again)]
    return Frame(ids[0], ids[1], ids[2], ends)


class OpenerSource(Protocol):
    """Where requests come from: `Openers`."""

    def first(self) -> Opener: ...
    def next(self) -> Opener: ...


class Dialogue:
    """Gives a conversation's tokens one by one: `given` until it is None, then `take` what the expert drew."""

    def __init__(self, frame: Frame, openers: OpenerSource, encode: Encode, random: Random) -> None:
        self._frame, self._openers, self._encode, self._random = frame, openers, encode, random
        self._given: deque[int] = deque(frame.before)
        self._part = Part.QUESTION
        self._room = 0
        self.temperature = 1.0
        self._ask(openers.first())

    @property
    def given(self) -> int | None:
        """The next token where it does not depend on the expert."""
        return self._given[0] if self._given else None

    def give(self) -> tuple[int, Part]:
        """The next given token."""
        return self._given.popleft(), Part.GIVEN

    def take(self, token: int) -> tuple[int, Part]:
        """The expert drew `token` at `temperature`; the token that stands there now, and whose it is."""
        if self._part is Part.QUESTION:
            self._room -= 1
            if token in self._frame.ends or self._room < 0:
                self._answer()
                return self._given.popleft(), Part.GIVEN
            return token, Part.QUESTION
        part = self._part
        if token in self._frame.ends:
            self._given.extend(self._frame.again[1:])
            self._ask(self._openers.next())
            return self._frame.again[0], part
        return token, part

    def _ask(self, opener: Opener) -> None:
        self._given.extend(self._encode(opener.text, False))
        self._part, self._room, self.temperature = Part.QUESTION, opener.most, 1.0
        if opener.whole:
            self._answer()

    def _answer(self) -> None:
        self._given.extend(self._frame.answer)
        values: Sequence[float]
        values, weights = zip(*TEMPERATURES, strict=True)
        self.temperature = self._random.choices(values, weights)[0]
        self._part = Part.ANSWER if self.temperature == 0 else Part.SAMPLED
