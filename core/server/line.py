"""Questions wait in line for the one process that answers; one may leave it at any time, without touching another."""

import multiprocessing
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ..errors import NativeError, SpeccasError
from ..files.profiles import Profile
from ..runtime.backend import LoadOptions
from .api_error import unavailable
from .asked import Question
from .translate import Pieces, ToText, ToTokens
from .worker import Ended, GiveUp, Loading, Ready, Reply, Taken, work

RETRY = 2  # seconds after which a client may ask again


class Worker:
    """The process that owns the pair, from outside. Its methods are called by one thread, but for `leave`."""

    def __init__(
        self,
        profile: Profile,
        options: LoadOptions,
        curves: Path | None = None,
        command: str = "",
        cache_bytes: int = 0,
    ) -> None:
        """`command`: what stands in manifests as the command that was typed; `cache_bytes`: how much of other
        conversations' caches is kept."""
        self.told = (profile, options, curves, command, cache_bytes)
        self.context = 0
        self.manifest: Mapping[str, Any] = {}
        self._process: Any = None
        self._connection: Connection | None = None
        self._words: Connection | None = None
        self._lock = threading.Lock()  # two threads send
        self._translating = threading.Lock()

    def start(self, tell: Callable[[Loading], None] = lambda loading: None) -> None:
        """Wait until the pair is loaded; `tell` hears how far it is. Raises what `load_pair` does, NativeError where
        the process ended."""
        own, theirs = multiprocessing.Pipe()
        words, their_words = multiprocessing.Pipe()
        spawning = multiprocessing.get_context("spawn")
        process = spawning.Process(target=work, args=(theirs, their_words, *self.told), name="worker", daemon=True)
        process.start()
        self._process = process
        theirs.close()
        their_words.close()
        with self._lock:
            self._connection, self._words = own, words
        try:
            while not isinstance(said := own.recv(), Ready):
                if isinstance(said, SpeccasError):
                    raise said
                tell(said)
        except (EOFError, OSError):
            raise NativeError("the process that loads the pair ended") from None
        self.context, self.manifest = said.context, said.manifest

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    def send(self, told: object) -> None:
        """Raises OSError where the process is gone."""
        with self._lock:
            assert self._connection is not None
            self._connection.send(told)

    def receive(self) -> tuple[int, Reply]:
        """Wait for the next word of the process. Raises EOFError or OSError where it is gone."""
        assert self._connection is not None
        found: tuple[int, Reply] = self._connection.recv()
        return found

    def translate(self, asked: ToTokens | ToText) -> Pieces:
        """The tokens of a text or of ids, from any thread, whatever is being answered. Raises SpeccasError as they do
        there, EOFError or OSError where the process is gone."""
        words = self._words
        assert words is not None
        with self._translating:
            words.send(asked)
            found: Pieces | SpeccasError = words.recv()
        if isinstance(found, SpeccasError):
            raise found
        return found

    def close(self) -> None:
        """End the process, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.join()


@dataclass(eq=False)
class Place:
    """A question's place in the line. `tell` hears every reply, from another thread."""

    number: int
    question: Question
    tell: Callable[[Reply], None]


@dataclass
class Line:
    """At most `most` questions wait behind the one that is being answered. `run` is the thread that asks the worker;
    the other methods may be called from any other."""

    worker: Worker
    most: int
    waiting: deque[Place] = field(default_factory=deque)
    current: Place | None = None
    closed: bool = False
    loading: bool = False
    """Whether the pair is being loaded again."""
    failed: SpeccasError | None = None
    """Why the pair could not be loaded again."""
    _last: int = 0
    _news: threading.Condition = field(default_factory=threading.Condition)

    def enter(self, question: Question, tell: Callable[[Reply], None]) -> Place:
        """Take the last place. Raises ApiError (503) where the line is full or closed."""
        with self._news:
            if self.closed:
                raise unavailable("the server is shutting down", RETRY)
            if len(self.waiting) >= self.most + (self.current is None):
                raise unavailable(f"{len(self.waiting)} requests wait already, ask again later", RETRY)
            self._last += 1
            place = Place(self._last, question, tell)
            self.waiting.append(place)
            self._news.notify()
            return place

    def leave(self, place: Place) -> None:
        """Nobody listens any more: it is not asked, or what is answered ends soon. Harmless when it is over."""
        with self._news:
            if place in self.waiting:
                self.waiting.remove(place)
            if place is not self.current:
                return
        try:
            self.worker.send(GiveUp(place.number))
        except OSError:
            return  # the worker is gone, and with it the answer

    def close(self) -> None:
        """No more questions; those that wait are told so."""
        with self._news:
            self.closed = True
            waiting, self.waiting = list(self.waiting), deque()
            self._news.notify()
        dismiss(waiting, "the server is shutting down")

    def cut(self) -> None:
        """End the answer that is being written, if there is one."""
        current = self.current
        if current is not None:
            self.leave(current)

    def run(self) -> None:
        """Ask question after question until the line is closed, or the pair cannot be loaded again."""
        while (place := self._next()) is not None:
            place.tell(Taken())
            try:
                self.worker.send((place.number, place.question))
                while True:
                    _, reply = self.worker.receive()
                    place.tell(reply)
                    if isinstance(reply, Ended):
                        break
            except (EOFError, OSError):
                self._restart(place)
            with self._news:
                self.current = None

    def _next(self) -> Place | None:
        with self._news:
            while not self.waiting and not self.closed:
                self._news.wait()
            self.current = self.waiting.popleft() if self.waiting else None
            return self.current

    def _restart(self, place: Place) -> None:
        """The process ended in the middle of an answer: say so to all, and start another."""
        with self._news:
            waiting, self.waiting = list(self.waiting), deque()
            self.current = None
            self.loading = True
        place.tell(Ended(NativeError("the process that owns the pair ended in the middle of the answer")))
        dismiss(waiting, "the process that owns the pair ended, and another one is being started")
        self.worker.close()
        try:
            self.worker.start()
            self.loading = False
        except SpeccasError as error:
            self.failed = error
            self.close()


def dismiss(places: list[Place], why: str) -> None:
    for place in places:
        place.tell(Ended(Dismissed(why)))


class Dismissed(SpeccasError):
    """A question that waited will not be asked; the same may be answered later."""
