"""The published document of the endpoint: it is OpenAPI, names every path, and says what is accepted and answered."""

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from speccas.core.calibration.planner import Wanted
from speccas.core.decoding.sampling import Sampling
from speccas.core.runtime.generate import Length
from speccas.core.server.access import Access
from speccas.core.server.api_error import ApiError
from speccas.core.server.app import Service, make_app, routes_of
from speccas.core.server.asked import Defaults, read
from speccas.core.server.catalogue import Catalogue
from speccas.core.server.openapi import document
from speccas.core.server.translate import to_text, to_tokens, with_pieces
from tests.builders.schemas import closed
from tests.builders.served import Served
from tests.core.server.test_waiting import idle_line

CATALOGUE, DEFAULTS = Catalogue("tiny", 0), Defaults(Sampling(), Length(), Wanted())
HI: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi."}]}
GO: dict[str, Any] = {"prompt": "Hi."}
NUMBERS = [
    *(-(1 << 64), -(1 << 63) - 1, -(1 << 63), -2, -1, -0.5, 0, 0.005, 0.01, 1, 1.0, 1.5, 2, 3, 4, 16, 17, 20, 21),
    *(99, 100, 100.5, 1 << 31, (1 << 31) + 1, (1 << 63) - 1, 1 << 63, 1e300, 10**400),
]
WORDS = ["", "x", "auto", "on", "none", "text", "exact", "token:0.3", "exact:1", "nonsense", "tiny", "null"]
LISTS = [
    [],
    [1],
    [2.0],
    [1, -1],
    ["x"],
    ["x", ""],
    ["x"] * 16,
    ["x"] * 17,
    [[]],
    [[1]],
    [["x"]],
    ["x", "y"],
    ["text"],
    [None],
]
TABLES: list[Any] = [{}, {"type": "text"}, {"type": "json_schema"}, {"type": 1}, {"include_usage": 1}, {"x": True}]
VALUES: list[Any] = [None, True, False, *NUMBERS, *WORDS, *LISTS, *TABLES]


class Listening(dict[str, Any]):
    """A body that notes which of its fields are looked for; `found` has them by their path."""

    def __init__(self, found: set[str], head: str, given: dict[str, Any]) -> None:
        for name, value in given.items():
            self[name] = Listening(found, f"{head}{name}.", value) if isinstance(value, dict) else value
        self.found, self.head = found, head

    def get(self, key: str, default: Any = None) -> Any:
        self.found.add(self.head + key)
        return super().get(key, default)


def is_accepted(body: dict[str, Any], chat: bool) -> bool:
    """Whether it is a question; a model that is not there is no fault of the body."""
    try:
        read(body, chat, CATALOGUE, DEFAULTS, lambda: 1)
    except ApiError as error:
        return error.status == 404
    return True


def schema_of(chat: bool) -> dict[str, Any]:
    found: dict[str, Any] = document("tiny", False)["components"]["schemas"]["Chat" if chat else "Completion"]
    return found


def named(schema: dict[str, Any], head: str = "") -> Iterator[str]:
    for name, node in schema["properties"].items():
        yield head + name
        if node.get("type") == ["object", "null"]:
            yield from named(node, f"{head}{name}.")


@pytest.mark.parametrize(
    ("name", "reader"), [("Tokenize", to_tokens), ("Tokenize", with_pieces), ("Detokenize", to_text)]
)
def test_it_accepts_what_is_translated(name: str, reader: Callable[[dict[str, Any]], object]) -> None:
    schema = document("tiny", False)["components"]["schemas"][name]
    found: set[str] = set()
    to_tokens(Listening(found, "", {"content": "x"})), with_pieces(Listening(found, "", {}))
    assert name != "Tokenize" or found == set(named(schema))
    fields = [field for field in named(schema) if (field == "with_pieces") is (reader is with_pieces)]
    for body in [{"content": "x", field: value} for field in fields for value in VALUES] + [{}, {"prompt": ""}]:
        try:
            reader(body)
        except ApiError:
            accepted = False
        else:
            accepted = True
        assert (reader is with_pieces and not body) or accepted == Draft202012Validator(schema).is_valid(body), body


def with_one(whole: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A body with one field more."""
    head, dot, tail = path.partition(".")
    return {**whole, head: {tail: value} if dot else value}


def chats() -> Iterator[dict[str, Any]]:
    """Messages of all kinds, and fields that go together."""
    roles = ("system", "developer", "user", "assistant", "tool", "function", "", None, 1)
    parts: tuple[Any, ...] = ({"type": "text", "text": "x"}, {"type": "text"}, {"type": "image_url"}, {}, "x")
    contents: tuple[Any, ...] = ("", None, 1, [], *([part] for part in parts))
    yield from ({"messages": [{"role": role, "content": text}]} for role in roles for text in contents)
    yield from ({"messages": [{"role": "user", "content": "x", "tool_calls": value}]} for value in VALUES)
    yield from ({**HI, "logprobs": asked, "top_logprobs": n} for asked in (None, True, False) for n in (None, 0, 2))
    yield from ({**HI, "max_completion_tokens": 3, "max_tokens": value} for value in VALUES)
    yield from ({"messages": [{}]}, {"messages": [{"content": "x"}]})


@pytest.mark.parametrize("chat", [True, False])
def test_it_names_the_fields_that_are_read(chat: bool) -> None:
    found: set[str] = set()
    tables = {name: {"x": 1} for name in ("speccas", "stream_options", "chat_template_kwargs")}
    read(Listening(found, "", {**(HI if chat else GO), **tables}), chat, CATALOGUE, DEFAULTS, lambda: 1)
    assert found == set(named(schema_of(chat)))


@pytest.mark.parametrize("chat", [True, False])
def test_it_accepts_what_is_accepted(chat: bool) -> None:
    """Every field with every value, and some together."""
    whole, schema = HI if chat else GO, Draft202012Validator(schema_of(chat))
    bodies = [with_one(whole, path, value) for path in named(schema_of(chat)) for value in VALUES]
    for body in [*bodies, *(chats() if chat else ()), {}, {**whole, "a_field_of_next_year": 1}]:
        assert schema.is_valid(body) == is_accepted(body, chat), body


@pytest.mark.parametrize("key", ["", "secret"])
def test_it_is_openapi_and_names_every_path(key: str) -> None:
    service = Service(idle_line(), CATALOGUE, DEFAULTS, lambda: 1)
    found = document("tiny", bool(key))
    pytest.importorskip("openapi_spec_validator").validate(found)
    routes = routes_of(service, Access(key, frozenset()))
    there = {(route.path.replace(":path", ""), method.lower()) for route in routes for method in route.methods or ()}
    nodes = [(path, method, node) for path, each in found["paths"].items() for method, node in each.items()]
    assert {each for each in there if each[1] != "head"} == {(path, method) for path, method, _ in nodes}
    assert all(("403" in node["responses"]) is not bool(key) for _, _, node in nodes)


def test_it_says_what_the_key_guards() -> None:
    async def unknown() -> None:
        app: Any = make_app(Service(idle_line(), CATALOGUE, DEFAULTS, lambda: 1), Access("secret", frozenset()))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as asking:
            for path, each in document("tiny", True)["paths"].items():
                for method, node in each.items():
                    found = await asking.request(method, path)
                    assert (found.status_code == 401) is ("401" in node["responses"]) is ("security" in node), path

    asyncio.run(unknown())


ANSWERED: list[tuple[str, str, Any, dict[str, str], int]] = [
    ("get", "/", None, {}, 200),
    ("get", "/v1/models", None, {}, 200),
    ("get", "/v1/models", None, {"Host": "evil.example"}, 403),
    ("get", "/v1/models/{name}", "tiny:token:0.3", {}, 200),
    ("get", "/v1/models/{name}", "gpt-4", {}, 404),
    ("get", "/v1/speccas/trace/{id}", "chatcmpl-none", {}, 404),
    ("get", "/health", None, {}, 200),
    ("get", "/metrics", None, {}, 200),
    ("get", "/openapi.json", None, {}, 200),
    ("post", "/v1/chat/completions", HI, {}, 200),
    ("post", "/v1/chat/completions", {**HI, "logprobs": True, "top_logprobs": 2}, {}, 200),
    ("post", "/v1/chat/completions", {**HI, "speccas": {"statuses": True}}, {}, 200),
    ("post", "/v1/chat/completions", {**HI, "model": "tiny:expert", "logprobs": True}, {}, 200),
    ("post", "/v1/chat/completions", {**HI, "stream": True}, {}, 200),
    ("post", "/v1/chat/completions", {"messages": [{"role": "user", "content": "one two " * 3000}]}, {}, 400),
    ("post", "/v1/chat/completions", {**HI, "n": 2}, {}, 400),
    ("post", "/v1/chat/completions", {**HI, "model": "gpt-4"}, {}, 404),
    ("post", "/v1/chat/completions", {"messages": [{"role": "user", "content": "x" * 10_000_000}]}, {}, 413),
    ("post", "/v1/chat/completions", HI, {"Content-Type": "text/plain"}, 415),
    ("post", "/v1/completions", GO, {}, 200),
    ("post", "/v1/completions", {**GO, "logprobs": 2}, {}, 200),
    ("post", "/v1/completions", {**GO, "stream": True, "logprobs": 0}, {}, 200),
    ("post", "/v1/completions", {"prompt": 7}, {}, 400),
    ("post", "/tokenize", {"content": "Hi."}, {}, 200),
    ("post", "/tokenize", {"content": "\U0001f9ff", "with_pieces": True}, {}, 200),
    ("post", "/tokenize", {"content": 7}, {}, 400),
    ("post", "/detokenize", {"tokens": [28, 29]}, {}, 200),
    ("post", "/detokenize", {"tokens": [1 << 40]}, {}, 400),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "asked", "headers", "status"), ANSWERED)
def test_it_says_what_is_answered(
    served: Served, method: str, path: str, asked: Any, headers: dict[str, str], status: int
) -> None:
    url = served.root + (path.partition("{")[0] + asked if isinstance(asked, str) else path)
    body = {"max_tokens": 4, "temperature": 0, **asked} if isinstance(asked, dict) else None
    response = httpx.request(
        method,
        url,
        content=body and json.dumps(body),
        headers={"Content-Type": "application/json", **headers},
        timeout=60,
    )
    assert response.status_code == status
    published = httpx.get(f"{served.root}/openapi.json").json()
    assert published == document("tiny", False)
    told = published["paths"][path][method]["responses"][str(status)]
    content = told["content"][response.headers["content-type"].partition(";")[0]]
    if response.headers["content-type"] == "application/json":
        schema = {**content["schema"], "components": closed(published["components"])}
        Draft202012Validator(schema).validate(response.json())


def test_what_is_no_http_is_a_400_in_text(served: Served) -> None:
    """As the document says; it never reaches the application."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as found:
        found.sendall(b"GET /health HTTP/1.1\r\nHost\r\n\r\n")
        head = found.makefile("rb").read().decode().lower()
    assert head.startswith("http/1.1 400") and "content-type: text/plain" in head
