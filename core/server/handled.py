"""What became of a request: filled in while it is handled, and told when it is over."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ..record.metrics import Figures, Fold
from .access import Application, Receive, Scope, Send
from .asked import Question
from .worker import Begun

LEFT = "left"
"""How an answer ended whose client did not wait for it."""


@dataclass
class Handled:
    """A request and its answer. Times in seconds since it came; None where it never got so far."""

    method: str
    path: str
    began: float
    """On the clock of the server."""
    status: int = 0
    error: str = ""
    """What was wrong, in the words that the client was told."""
    seconds: float = 0.0
    id: str = ""
    """Of the answer, as the client knows it; "" for a request that asks the pair nothing."""
    model: str = ""
    question: Question | None = None
    fold: Fold = field(default_factory=Fold)
    waited: float | None = None
    """Until its turn came."""
    first: float | None = None
    """Until its first token was there."""
    begun: Begun | None = None
    left: bool = False
    """Whether the client went away before the end."""
    alone: float | None = None
    """Tokens a second of the expert alone, as measured in the process that answered."""

    @property
    def figures(self) -> Figures | None:
        """Of what was written; None where nothing was begun."""
        return None if self.fold.started is None else self.fold.figures()

    @property
    def finish(self) -> str:
        """How it ended, in a word: as `finish` of an answer, `left`, or `error`."""
        if self.left:
            return LEFT
        if self.error or self.fold.started is None:
            return "error"
        return self.fold.figures().finish


def watched(inner: Application, tell: Iterable[Callable[[Handled], None]], clock: Callable[[], float]) -> Application:
    """The application, of which each of `tell` hears what became of every request. The record stands in the scope
    as `handled`."""
    listeners = tuple(tell)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await inner(scope, receive, send)
            return
        handled = scope["handled"] = Handled(scope["method"], scope["path"], clock())

        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                handled.status = message["status"]
            await send(message)

        try:
            await inner(scope, receive, sending)
        finally:
            handled.seconds = clock() - handled.began
            for each in listeners:
                each(handled)

    return application
