"""One request and its answer: waits in line, tells what comes, and leaves when the client does."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from ..decoding.events import Event, Finish, Finished, Judged
from ..errors import SpeccasError, Stopped
from ..runtime.generate import PromptRead
from .access import Receive, Scope, Send, refuse
from .answers import AnswerForm
from .api_error import ApiError, of_speccas, unavailable
from .asked import Question
from .handled import Handled
from .line import RETRY, Dismissed, Line
from .worker import Begun, Ended, Reply, Taken

PING = 10.0  # seconds of silence after which a stream gets a comment
HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]


@dataclass
class Exchange:
    """An ASGI application for one request, whose body was read. `ping`: as PING; `clock`: that of `handled`."""

    line: Line
    question: Question
    form: AnswerForm
    handled: Handled
    clock: Callable[[], float] = time.monotonic
    ping: float = PING
    _heard: "asyncio.Queue[Reply]" = field(default_factory=asyncio.Queue)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()

        def hear(reply: Reply) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the server has ended
                loop.call_soon_threadsafe(self._heard.put_nowait, reply)

        try:
            place = self.line.enter(self.question, hear)
        except ApiError as error:
            await self._refuse(error, send)
            return
        telling = asyncio.create_task(self._tell(send))
        leaving = asyncio.create_task(gone(receive))
        try:
            await asyncio.wait({telling, leaving}, return_when=asyncio.FIRST_COMPLETED)
            self.handled.left = not telling.done()
        finally:
            self.line.leave(place)
            for task in (telling, leaving):
                if not task.done():
                    task.cancel()
            await asyncio.gather(telling, leaving, return_exceptions=True)
        failed = None if telling.cancelled() else telling.exception()
        if failed is not None and not isinstance(failed, OSError):  # which says that the client is gone
            raise failed

    async def _tell(self, send: Send) -> None:
        stream = self.form.telling.stream
        try:
            silent = await self._until_begun(stream)
        except ApiError as error:
            await self._refuse(error, send)
            return
        if stream:
            await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            async for data in self._stream(silent):
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
            return
        try:
            async for _ in self._replies():
                pass
            await send_json(self._whole(), send)
        except ApiError as error:
            await self._refuse(error, send)

    async def _refuse(self, error: ApiError, send: Send) -> None:
        self.handled.error = str(error)
        await refuse(error, send)

    async def _until_begun(self, impatient: bool) -> bool:
        """Wait for the answer to begin; what fails until then has a status of its own. True: it has not begun, and the
        client has waited long enough to be told."""
        while self.handled.begun is None:
            reply = await self._next(self.ping if impatient else None)
            if reply is None:
                return True
            self._take(reply)
        return False

    async def _next(self, seconds: float | None) -> Reply | None:
        """The next reply; None after so long a silence."""
        with contextlib.suppress(asyncio.QueueEmpty):  # one that waits already needs no timer
            return self._heard.get_nowait()
        try:
            return await asyncio.wait_for(self._heard.get(), seconds)
        except TimeoutError:
            return None

    def _take(self, reply: Reply) -> Event | None:
        """Note what a reply says; the event where it is one. Raises ApiError where it is an error."""
        handled = self.handled
        if isinstance(reply, Taken):
            handled.waited = self.clock() - handled.began
        elif isinstance(reply, Begun):
            handled.begun = reply
        elif isinstance(reply, Ended):
            handled.alone = reply.alone
            if reply.error is not None:
                raise self._error(reply.error, reply.prompt_tokens)
        elif not isinstance(reply, PromptRead):
            handled.fold(reply)
            if handled.first is None and handled.fold.tokens:
                handled.first = self.clock() - handled.began
            return reply
        return None

    def _error(self, error: SpeccasError, count: int | None) -> ApiError:
        if isinstance(error, Dismissed):
            return unavailable(error.message, RETRY)
        return of_speccas(error, count, self.line.worker.context)

    async def _replies(self, seconds: float | None = None) -> AsyncIterator[Reply | None]:
        """All that is to come; None after each silence of so many seconds. Raises ApiError."""
        while True:
            reply = await self._next(seconds)
            if reply is not None:
                self._take(reply)
            yield reply
            if isinstance(reply, Ended):
                break
        end = self.handled.fold.finished
        if end is not None and end.finish is Finish.INTERRUPTED:
            raise self._error(Stopped("stopped"), None)

    async def _stream(self, silent: bool) -> AsyncIterator[bytes]:
        """Server-sent events; a late error is one of them."""
        if silent:
            yield b": waiting\n\n"
        for chunk in self.form.first():
            yield as_event(chunk)
        try:
            async for reply in self._replies(self.ping):
                if reply is None:
                    yield b": waiting\n\n"
                elif isinstance(reply, PromptRead):
                    yield f": reading the prompt ({reply.role}), {reply.done} of {reply.total}\n\n".encode()
                elif isinstance(reply, Judged):
                    for chunk in self.form.part("".join(token.text for token in reply.tokens), (reply,)):
                        yield as_event(chunk)
                elif isinstance(reply, Finished) and reply.tail:
                    for chunk in self.form.part(reply.tail, ()):
                        yield as_event(chunk)
        except ApiError as error:
            self.handled.error = str(error)
            yield as_event(error.body)
            return
        handled = self.handled
        assert handled.begun is not None
        for chunk in self.form.last(handled.fold.figures(), handled.begun):
            yield as_event(chunk)
        yield b"data: [DONE]\n\n"

    def _whole(self) -> dict[str, Any]:
        handled = self.handled
        assert handled.begun is not None
        return self.form.whole(handled.fold.rounds, handled.fold.figures(), handled.begun)


async def gone(receive: Receive) -> None:
    """Until the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


def as_json(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def as_event(document: object) -> bytes:
    return b"data: " + as_json(document) + b"\n\n"


async def send_json(document: object, send: Send) -> None:
    data = as_json(document)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": data})
