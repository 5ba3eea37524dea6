"""The OpenAPI document of the endpoint: what each path takes and answers, and every status that can come.

Limits and names are those of the modules that check them; a test holds it against what `asked.read` accepts.
"""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from .openapi_answers import ANSWERS, ref
from .openapi_asked import CHAT, COMPLETION, DETOKENIZE, TOKENIZE

Node = dict[str, Any]
WRONG = "What was asked is wrong: `error.param` names the field. Sent as text where it is no HTTP."
BAD_HTTP = "What was sent is no HTTP."
STATUSES: Mapping[int, str] = {
    401: "The API key is missing or wrong.",
    403: "The Host header is no name of this server.",
    404: "There is no such model, or it is not kept any more.",
    413: "The body is too large.",
    415: "The body is not sent as application/json.",
    500: "The pair failed in the middle of the answer.",
    503: "Not now: the queue is full, the server ends, or the pair is loaded again. Ask again after Retry-After.",
}
RETRY_AFTER: Node = {"description": "Seconds.", "required": True, "schema": {"type": "integer", "minimum": 1}}
TEXT: Node = {"schema": {"type": "string"}}


def document(pair: str, keyed: bool) -> Node:
    """OpenAPI 3.1. `pair`: the plain model's name; `keyed`: whether an API key is asked for, which then stands in place
    of the Host header."""
    about = "A pair of models behind OpenAI's API: one writes ahead, the other judges."
    found: Node = {
        "openapi": "3.1.0",
        "info": {"title": "speccas", "version": version("speccas"), "description": about},
        "servers": [{"url": "/"}],
        "paths": paths(pair, keyed),
        "components": {
            "schemas": {
                "Chat": CHAT,
                "Completion": COMPLETION,
                "Tokenize": TOKENIZE,
                "Detokenize": DETOKENIZE,
                **ANSWERS,
            }
        },
    }
    if keyed:
        found["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "header": {"type": "apiKey", "in": "header", "name": "x-api-key"},
        }
    return found


def paths(pair: str, keyed: bool) -> Node:
    """Every path of the application."""
    name: Node = {**parameter("name"), "examples": {"plain": {"value": pair}, "rule": {"value": f"{pair}:token:0.5"}}}
    question = {**json_of("Answer"), "text/event-stream": TEXT}
    go_on = {**json_of("TextAnswer"), "text/event-stream": TEXT}

    def get(summary: str, content: Node, *statuses: int, free: bool = False, **more: Any) -> Node:
        return {"get": operation(keyed, summary, content, *statuses, free=free, **more)}

    def post(summary: str, content: Node, asked: str, *statuses: int) -> Node:
        body = {"required": True, "content": json_of(asked)}
        return {"post": operation(keyed, summary, content, 413, 415, *statuses, requestBody=body)}

    return {
        "/": get("A page to chat in", {"text/html": TEXT}, free=True),
        "/v1/models": get("The names there are, and which are lossless", json_of("Models")),
        "/v1/models/{name}": get("One of them", json_of("Model"), 404, parameters=[name]),
        "/v1/chat/completions": post("An answer in the chat template", question, "Chat", 404, 500, 503),
        "/v1/completions": post("Go on with a text or with token ids", go_on, "Completion", 404, 500, 503),
        "/tokenize": post("The tokens of a text", json_of("Tokens"), "Tokenize", 503),
        "/detokenize": post("The text of tokens", json_of("Detokenized"), "Detokenize", 503),
        "/v1/speccas/trace/{id}": get(
            "One of the last answers as a trace, JSON lines",
            {"application/jsonl": TEXT},
            404,
            parameters=[parameter("id")],
        ),
        "/health": get("Whether it can answer", json_of("Health"), 503, free=True),
        "/metrics": get("Figures for Prometheus", {"text/plain": TEXT}),
        "/openapi.json": get("This document", {"application/json": {"schema": {"type": "object"}}}, free=True),
    }


def operation(keyed: bool, summary: str, content: Node, *statuses: int, free: bool = False, **more: Any) -> Node:
    """`free`: it needs no key. `statuses`: those that not every path has."""
    guarded = keyed and not free
    every = [*statuses, *([401] if guarded else []), *([] if keyed else [403])]
    wrong = {**json_of("Error"), "text/plain": TEXT} if "requestBody" in more else {"text/plain": TEXT}
    answers: Node = {
        "200": {"description": "As asked.", "content": content},
        "400": {"description": WRONG if "requestBody" in more else BAD_HTTP, "content": wrong},
    }
    for status in sorted(every):
        headers = {"headers": {"Retry-After": RETRY_AFTER}} if status == 503 else {}
        answers[str(status)] = {"description": STATUSES[status], "content": json_of("Error"), **headers}
    security: Node = {"security": [{"bearer": []}, {"header": []}]} if guarded else {}
    return {"summary": summary, **more, "responses": answers, **security}


def parameter(name: str) -> Node:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def json_of(name: str) -> Node:
    return {"application/json": {"schema": ref(name)}}
