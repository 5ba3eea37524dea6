"""The routes of the endpoint, as an ASGI application of Starlette."""

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from ..errors import SpeccasError
from .access import Access, Application, guarded
from .answers import AnswerForm
from .api_error import ApiError, of_speccas, unavailable
from .asked import Defaults, read
from .catalogue import Catalogue
from .exchange import Exchange
from .handled import Handled, watched
from .line import RETRY, Line
from .metrics import Metrics
from .openapi import document, paths
from .page import chat_page
from .traces import Traces
from .translate import Pieces, ToText, ToTokens, text_told, to_text, to_tokens, tokens_told, with_pieces

MOST_BYTES = 8 << 20
"""Of a body: many times what any context holds."""
GONE = 499  # nginx's status for a client that left; nobody reads it


@dataclass(frozen=True)
class Service:
    """What the routes need. `draw` gives seeds."""

    line: Line
    catalogue: Catalogue
    defaults: Defaults
    draw: Callable[[], int]
    clock: Callable[[], float] = time.time
    """Unix seconds."""
    traces: Traces = field(default_factory=Traces)

    async def models(self, request: Request) -> Response:
        return JSONResponse(self.catalogue.listing())

    async def model(self, request: Request) -> Response:
        return JSONResponse(self.catalogue.entry(request.path_params["name"]))

    async def health(self, request: Request) -> Response:
        if self.line.loading:
            raise unavailable("the pair is being loaded", RETRY)
        return JSONResponse({"status": "ok"})

    @cached_property
    def counted(self) -> Metrics:
        return Metrics(self.line, (path for path in paths(self.catalogue.pair, False) if "{" not in path))

    async def metrics(self, request: Request) -> Response:
        return Response(self.counted.page(), media_type=CONTENT_TYPE_LATEST)

    async def trace(self, request: Request) -> Response:
        text = self.traces.text(request.path_params["id"], self.line.worker.manifest)
        return Response(text, media_type="application/jsonl")

    async def tokenize(self, request: Request) -> Response:
        body = await body_of(request)
        asked, shown = to_tokens(body), with_pieces(body)
        return JSONResponse(tokens_told(await self._translated(asked), shown, self.line.worker.context))

    async def detokenize(self, request: Request) -> Response:
        return JSONResponse(text_told(await self._translated(to_text(await body_of(request)))))

    async def _translated(self, asked: ToTokens | ToText) -> Pieces:
        if self.line.loading:
            raise unavailable("the pair is being loaded", RETRY)
        try:
            found: Pieces = await run_in_threadpool(self.line.worker.translate, asked)
        except SpeccasError as error:
            raise of_speccas(error, None, self.line.worker.context) from None
        except (EOFError, OSError):
            raise unavailable("the process that owns the pair ended, and another one is being started", RETRY) from None
        return found

    async def chat(self, request: Request) -> Any:
        return await self._answer(request, chat=True)

    async def text(self, request: Request) -> Any:
        return await self._answer(request, chat=False)

    async def _answer(self, request: Request, chat: bool) -> Any:
        body = await body_of(request)
        question, telling = read(body, chat, self.catalogue, self.defaults, self.draw)
        name = ("chatcmpl-" if chat else "cmpl-") + secrets.token_hex(12)
        handled: Handled = request.scope["handled"]
        handled.id, handled.model, handled.question = name, telling.model, question
        return Exchange(
            self.line, question, AnswerForm(name, int(self.clock()), telling, question.sampling.seed), handled
        )


def make_app(
    service: Service,
    access: Access,
    origins: tuple[str, ...] = (),
    tell: Callable[[Handled], None] = lambda handled: None,
) -> Application:
    """The whole application. `origins`: whose pages may ask ("*": any); none by default. `tell` hears what became of
    each request."""
    routes = routes_of(service, access)
    handlers: Any = {ApiError: told, HTTPException: unknown, ClientDisconnect: left}
    inner: Application = guarded(Starlette(routes=routes, exception_handlers=handlers), access)
    if origins:  # outside the guard, so that a page that may ask can read what it is refused
        inner = CORSMiddleware(inner, origins, allow_methods=["GET", "POST"], allow_headers=["*"])
    return watched(inner, (service.traces.note, service.counted.note, tell), time.monotonic)


def routes_of(service: Service, access: Access) -> list[Route]:
    """Every path that there is; openapi.py says what each takes and answers."""
    described = document(service.catalogue.pair, bool(access.key))

    async def openapi(request: Request) -> Response:
        return JSONResponse(described)

    return [
        Route("/", page),
        Route("/v1/models", service.models),
        Route("/v1/models/{name:path}", service.model),
        Route("/v1/chat/completions", service.chat, methods=["POST"]),
        Route("/v1/completions", service.text, methods=["POST"]),
        Route("/v1/speccas/trace/{id}", service.trace),
        Route("/tokenize", service.tokenize, methods=["POST"]),
        Route("/detokenize", service.detokenize, methods=["POST"]),
        Route("/health", service.health),
        Route("/metrics", service.metrics),
        Route("/openapi.json", openapi),
    ]


async def page(request: Request) -> Response:
    """A chat, for a browser."""
    found = chat_page()
    return HTMLResponse(found.text, headers=found.headers)


async def body_of(request: Request) -> dict[str, Any]:
    """The JSON object of a body. Raises ApiError."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MOST_BYTES:
            raise ApiError(413, f"the body is over {MOST_BYTES >> 20} MB")
    try:
        body = json.loads(bytes(data), parse_constant=no_number)
    except RecursionError:
        raise ApiError(400, "the body is no JSON that can be read: it nests too deep") from None
    except ValueError as error:
        raise ApiError(400, f"the body is no JSON: {error}") from None
    if not isinstance(body, dict):
        raise ApiError(400, "the body must be a JSON object")
    return body


def no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


async def told(request: Request, error: Any) -> Response:
    request.scope["handled"].error = str(error)
    return JSONResponse(error.body, error.status, error.headers)


async def unknown(request: Request, error: Any) -> Response:
    """No such path or method."""
    message = {404: f"there is no {request.url.path} here; the API begins with /v1", 405: "another method is needed"}
    found = ApiError(error.status_code, message.get(error.status_code, str(error.detail)))
    request.scope["handled"].error = str(found)
    return JSONResponse(found.body, error.status_code, error.headers)


async def left(request: Request, error: Any) -> Response:
    return Response(status_code=GONE)
