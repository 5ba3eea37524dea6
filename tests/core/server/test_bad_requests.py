"""What is wrong with a request is said in OpenAI's error shape, and the next request is answered."""

import json
from typing import Any

import httpx
import pytest

from tests.builders.served import Served

HI = [{"role": "user", "content": "Hi."}]
DEEP = '{"messages":' + "[" * 100_000


def post(served: Served, body: Any, path: str = "chat/completions", **headers: str) -> httpx.Response:
    data = body if isinstance(body, str | bytes) else json.dumps(body)
    return httpx.post(
        f"{served.url}/{path}", content=data, headers={"Content-Type": "application/json", **headers}, timeout=60
    )


def error_in(response: httpx.Response) -> dict[str, Any]:
    document = response.json()
    assert set(document) == {"error"}
    error: dict[str, Any] = document["error"]
    assert {"message", "type", "param", "code"} <= set(error) and "Traceback" not in response.text
    return error


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ("", 400, None),
        ("{", 400, None),
        ("[]", 400, None),
        ('{"temperature": NaN}', 400, None),
        (b"\xff\xfe", 400, None),
        (DEEP, 400, None),
        ({}, 400, "messages"),
        ({"messages": []}, 400, "messages"),
        ({"messages": "Hi."}, 400, "messages"),
        ({"messages": ["Hi."]}, 400, "messages[0]"),
        ({"messages": [{"role": "user"}]}, 400, "messages[0].content"),
        ({"messages": [{"role": "pope", "content": "Hi."}]}, 400, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": "Hi."}]}, 400, "messages[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "messages[0].content[0]"),
        ('{"messages": [{"role": "user", "content": "\\ud800"}]}', 400, "messages[0].content"),
        ({"messages": HI, "temperature": -1}, 400, "temperature"),
        ({"messages": HI, "temperature": True}, 400, "temperature"),
        ({"messages": HI, "top_p": 0}, 400, "top_p"),
        ({"messages": HI, "max_tokens": "many"}, 400, "max_tokens"),
        ({"messages": HI, "seed": 1.5}, 400, "seed"),
        ({"messages": HI, "stop": [1]}, 400, "stop"),
        ({"messages": HI, "stream": "yes"}, 400, "stream"),
        ({"messages": HI, "n": 2}, 400, "n"),
        ({"messages": HI, "tools": [{"type": "function"}]}, 400, "tools"),
        ({"messages": HI, "response_format": {"type": "json_schema"}}, 400, "response_format"),
        ({"messages": HI, "logit_bias": {"1": 2}}, 400, "logit_bias"),
        ({"messages": HI, "continue_final_message": True}, 400, "continue_final_message"),
        ({"messages": HI, "top_logprobs": 2}, 400, "top_logprobs"),
        ({"messages": HI, "logprobs": True, "top_logprobs": 30}, 400, "top_logprobs"),
        ({"messages": HI, "speccas": {"rule": "nonsense"}}, 400, "speccas.rule"),
        ({"messages": HI, "speccas": {"k": 99}}, 400, "k"),
        ({"messages": HI, "model": "gpt-4"}, 404, "model"),
        ({"messages": HI, "model": "tiny:token:7"}, 404, "model"),
        ({"messages": HI, "model": "tiny:drafter", "logprobs": True}, 400, "logprobs"),
    ],
)
def test_a_wrong_body_is_told_by_its_field(served: Served, body: Any, status: int, param: str | None) -> None:
    response = post(served, body)
    assert response.status_code == status
    assert error_in(response)["param"] == param


def test_what_asks_for_nothing_passes(served: Served) -> None:
    nothing = {"tools": [], "n": 1, "response_format": {"type": "text"}, "presence_penalty": 0, "logit_bias": {}}
    body = {"messages": HI, "max_tokens": 1, **nothing, "a_field_of_next_year": [1], "user": "me", "max_tokens ": -7}
    assert post(served, body).json()["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_beyond_the_context(served: Served, stream: bool) -> None:
    response = post(served, {"messages": [{"role": "user", "content": "one two " * 3000}], "stream": stream})
    assert response.status_code == 400
    error = error_in(response)
    assert error["type"] == "exceed_context_size_error" and error["n_prompt_tokens"] > error["n_ctx"] > 0
    assert "exceeds the available context size" in error["message"]  # what clients look for


def test_a_body_of_ten_megabytes(served: Served) -> None:
    response = post(served, {"messages": [{"role": "user", "content": "x" * 10_000_000}]})
    assert response.status_code == 413 and "MB" in error_in(response)["message"]


def test_ids_that_are_no_tokens(served: Served) -> None:
    assert post(served, {"prompt": [1, 1 << 40]}, "completions").status_code == 400
    assert post(served, {"prompt": ["one", "two"]}, "completions").status_code == 400
    assert post(served, {"prompt": [1.5]}, "completions").status_code == 400
    assert post(served, {"prompt": [[28, 29.0]], "max_tokens": 1}, "completions").status_code == 200


@pytest.mark.parametrize("prompt", ["", [""], [], [[]], None])
def test_a_prompt_that_is_empty(served: Served, prompt: Any) -> None:
    response = post(served, {"prompt": prompt}, "completions")
    assert response.status_code == 400 and error_in(response)["param"] == "prompt"


def test_no_page_of_a_stranger_gets_in(served: Served) -> None:
    """A form cannot send JSON's content type, and a name that somebody points here is none of ours."""
    plain = httpx.post(f"{served.url}/chat/completions", content=json.dumps({"messages": HI}))
    assert plain.status_code == 415 and "Content-Type" in error_in(plain)["message"]
    strange = httpx.get(f"{served.url}/models", headers={"Host": "evil.example:8080"})
    assert strange.status_code == 403 and "evil.example" in error_in(strange)["message"]
    for name in ("localhost", "127.0.0.1:1", "[::1]:80", "app.localhost", "192.168.1.7:8080"):
        assert httpx.get(f"{served.url}/models", headers={"Host": name}).status_code == 200
    asking = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    preflight = httpx.options(f"{served.url}/chat/completions", headers=asking)
    assert "access-control-allow-origin" not in preflight.headers


def test_paths_and_methods_that_are_not_there(served: Served) -> None:
    found = httpx.get(f"{served.root}/chat/completions")
    assert found.status_code == 404 and "/v1" in error_in(found)["message"]
    assert httpx.get(f"{served.url}/chat/completions").status_code == 405
    assert httpx.get(f"{served.root}/health").json() == {"status": "ok"}
