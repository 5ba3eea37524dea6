"""The process that owns a pair: its one thread answers question after question, and a second one hears what to leave.

A process of its own, because native code may end it: the server goes on, and starts another.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from ..calibration.calibrate import ALONE_STEPS, alone_speed
from ..calibration.planner import Planner
from ..decoding.events import Drafted, Event, Finish, Finished, Judged, Started, Token
from ..decoding.sampling import Sampling
from ..errors import ContextFull, SpeccasError, Stopped, UsageError
from ..files.profiles import Profile
from ..record.manifest import manifest
from ..runtime.backend import LoadOptions
from ..runtime.generate import PromptRead, generate
from ..runtime.pair import Pair, load_pair
from ..runtime.prefixes import PrefixCache
from ..runtime.prompt import Prompt, prompt_of, require_room
from ..runtime.stop import StopFlag
from ..session import kept_ids
from .answer_ids import AnswerIds
from .asked import Question
from .translate import translate


@dataclass(frozen=True, slots=True)
class Loading:
    """How much of a model is loaded."""

    role: str
    share: float


@dataclass(frozen=True, slots=True)
class Ready:
    """The pair is loaded. `context` in tokens; `manifest`: what its runs are measured on, as in a trace."""

    context: int
    manifest: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The question of this number is to be left, if it is the one that is being answered."""

    number: int


@dataclass(frozen=True, slots=True)
class Taken:
    """Its turn has come."""


@dataclass(frozen=True, slots=True)
class Begun:
    """The prompt is read: so many of its tokens were in the cache already."""

    prompt_tokens: int
    cached: int


@dataclass(frozen=True, slots=True)
class Ended:
    """No more is to come; `error` says why where it did not go well. `prompt_tokens`: where they were counted;
    `alone`: tokens a second of the expert alone, where they were measured."""

    error: SpeccasError | None = None
    prompt_tokens: int | None = None
    alone: float | None = None


Reply = Taken | PromptRead | Begun | Event | Ended


@dataclass
class AtHand:
    """Which question is being answered, for two threads. A word to leave may come before the question is begun."""

    stop: StopFlag
    number: int = 0
    left: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, number: int) -> None:
        with self.lock:
            self.number = number
            self.stop.clear()
            if self.left == number:
                self.stop.set()

    def end(self) -> None:
        """From here on nothing stops what the thread does."""
        with self.lock:
            self.number = 0
            self.stop.clear()

    def leave(self, number: int) -> None:
        with self.lock:
            self.left = number
            if self.number == number:
                self.stop.set()


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is left of requests that were answered."""

    prefixes: PrefixCache
    written: AnswerIds = field(default_factory=AnswerIds)

    def behind(self, pair: Pair) -> None:
        """An answer has ended: a later prompt may go on from here."""
        for model in (pair.expert, pair.drafter):
            with contextlib.suppress(Stopped, ContextFull):
                model.mark()


def work(
    connection: Connection,
    words: Connection,
    profile: Profile,
    options: LoadOptions,
    curves: Path | None,
    command: str,
    cache_bytes: int,
) -> None:
    """Load the pair and answer until the other end is closed: the process's main function. Sends Loading, then Ready
    or a SpeccasError, then (number, Reply) for each (number, Question) that it is sent. `cache_bytes`: of the
    PrefixCache; `words`: what `translate` answers."""
    for each in (signal.SIGINT, signal.SIGTERM):  # a terminal tells them to all; the parent decides
        signal.signal(each, signal.SIG_IGN)
    stop = StopFlag()
    at_hand, asked = AtHand(stop), SimpleQueue[tuple[int, Question]]()
    threading.Thread(target=listen, args=(connection, asked, at_hand), name="listen", daemon=True).start()
    try:
        pair = load_pair(profile, options, stop, lambda role, share: connection.send(Loading(role, share)))
    except SpeccasError as error:
        connection.send(error)
        return
    with pair, contextlib.suppress(BrokenPipeError):
        planner = Planner(pair, curves)
        connection.send(Ready(pair.context, manifest(pair, "auto", "auto", Sampling(), command).as_json()))
        threading.Thread(target=translate, args=(words, pair), name="translate", daemon=True).start()
        alone: float | None = None
        remembered = Remembered(PrefixCache(cache_bytes))
        while True:
            number, question = asked.get()
            at_hand.begin(number)
            for reply in replies(pair, planner, remembered, question, alone):
                connection.send((number, reply))
            at_hand.end()
            remembered.behind(pair)
            planner.save()
            if alone is None and len(pair.expert):  # behind an answer, so that no client waits for it
                alone = alone_speed(pair, ALONE_STEPS) or None


def listen(connection: Connection, asked: "SimpleQueue[tuple[int, Question]]", at_hand: AtHand) -> None:
    """Take what comes from the other end; with its end the process ends, whatever it does."""
    try:
        while True:
            told = connection.recv()
            if isinstance(told, GiveUp):
                at_hand.leave(told.number)
            else:
                asked.put(told)
    except (EOFError, OSError):
        os._exit(0)


def replies(
    pair: Pair, planner: Planner, remembered: Remembered, question: Question, alone: float | None
) -> Iterator[Reply]:
    """The answer to a question as it comes; Ended is the last, and hands on `alone`."""
    count = None
    try:
        prompt = prompt_for(pair, question, remembered.written)
        count = len(prompt.ids)
        require_room(pair, prompt)
        remembered.prefixes.route(pair, prompt.ids)
        tokens: list[Token] = []
        before, read = pair.expert.evaluated, 0
        drafting = planner.drafting(question.wanted)
        how = (question.arm, question.sampling, question.length, drafting)
        events = generate(pair, prompt, *how, detail=question.detail, numbers=question.numbers, best=question.best)
        with contextlib.closing(events):
            for event in events:
                if isinstance(event, PromptRead):
                    read = pair.expert.evaluated - before
                elif isinstance(event, Started):
                    yield Begun(count, count - 1 - read)
                elif isinstance(event, Judged):
                    tokens += event.tokens
                elif isinstance(event, Finished):
                    note(remembered.written, question, tokens, event)
                if not isinstance(event, Drafted):
                    yield event
    except SpeccasError as error:
        yield Ended(error, count, alone)
    else:
        yield Ended(None, count, alone)


def note(written: AnswerIds, question: Question, tokens: Sequence[Token], end: Finished) -> None:
    """Remember of which tokens an answer is, where it may come back in a conversation."""
    text = "".join(token.text for token in tokens) + end.tail
    ids = kept_ids(tokens, text, end.finish)
    if not question.raw and end.finish is not Finish.INTERRUPTED and ids:
        written.note(question.messages, text, ids)


def prompt_for(pair: Pair, question: Question, written: AnswerIds) -> Prompt:
    """Raises UsageError as `prompt_of`, and for ids that are no tokens."""
    if question.ids:
        if max(question.ids) >= len(pair.tokens):
            raise UsageError(f"{max(question.ids)} is no token: there are {len(pair.tokens)}", "count from 0")
        return Prompt(question.ids)
    known = {} if question.raw else written.known(question.messages)
    return prompt_of(pair, question.messages, known, question.raw, question.think)
