"""Every answer, chunk and error is what OpenAI's own types say it is, strictly."""

import asyncio
import json
from typing import Any

import httpx
import openai
import pytest

from tests.builders.openai_types import (
    valid_chat,
    valid_chat_chunk,
    valid_completion,
    valid_completion_chunk,
    valid_error,
    valid_models,
)
from tests.builders.served import Served

HI = [{"role": "user", "content": "Hi."}]
CHATS: list[dict[str, Any]] = [
    {},
    {"temperature": 1.3, "seed": 3},
    {"logprobs": True, "top_logprobs": 2},
    {"logprobs": True},
    {"speccas": {"statuses": True}},
    {"model": "tiny:token:0.3", "stop": ["\n"]},
    {"max_tokens": 0},
]
TEXTS: list[dict[str, Any]] = [{}, {"logprobs": 2}, {"logprobs": 0}, {"max_tokens": 0}]


def events(served: Served, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    with httpx.stream("POST", f"{served.url}/{path}", json={**body, "stream": True}, timeout=60) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = [line.removeprefix("data: ") for line in response.iter_lines() if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("asked", CHATS)
def test_chats(served: Served, asked: dict[str, Any]) -> None:
    """Whole; streamed with its usage and without: the chunks of one answer share what identifies it."""
    body = {"messages": HI, "max_tokens": 5, "temperature": 0, **asked}
    whole = valid_chat(httpx.post(f"{served.url}/chat/completions", json=body, timeout=60).json())
    assert whole.usage is not None
    for usage in (True, False):
        found = events(served, "chat/completions", {**body, "stream_options": {"include_usage": usage}})
        chunks = [valid_chat_chunk(each) for each in found]
        assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
        told = [chunk.usage for chunk in chunks if chunk.usage is not None]
        assert [each.completion_tokens for each in told] == [whole.usage.completion_tokens] * usage
        assert ["usage" in each for each in found] == [usage] * len(found)


@pytest.mark.parametrize("asked", TEXTS)
def test_completions(served: Served, asked: dict[str, Any]) -> None:
    body = {"prompt": "One, two,", "max_tokens": 5, "temperature": 0, **asked}
    whole = valid_completion(httpx.post(f"{served.url}/completions", json=body, timeout=60).json())
    chunks = [valid_completion_chunk(each) for each in events(served, "completions", body)]
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    ended = events(served, "completions", {**body, "stream_options": {"include_usage": True}})[-1]
    assert valid_completion_chunk(ended).usage is not None and ended["choices"] == []


def test_models(served: Served) -> None:
    found = valid_models(httpx.get(f"{served.url}/models").json())
    assert [each.id for each in found] == ["tiny", "tiny:token:0.3"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "chat/completions", {"messages": 1}, 400),
        ("POST", "chat/completions", {"messages": [{"role": "user", "content": "one two " * 3000}]}, 400),
        ("POST", "chat/completions", {"messages": HI, "model": "gpt-4"}, 404),
        ("POST", "completions", {"prompt": [1 << 40]}, 400),
        ("GET", "models/gpt-4", None, 404),
        ("GET", "responses", None, 404),
        ("DELETE", "models", None, 405),
    ],
)
def test_errors(served: Served, method: str, path: str, body: Any, status: int) -> None:
    response = httpx.request(method, f"{served.url}/{path}", json=body, timeout=60)
    assert response.status_code == status and valid_error(response.json()).message


def test_the_asynchronous_client_gets_answers_and_errors(served: Served) -> None:
    """Whole, and streamed by its helper, which puts the chunks together with its own rules."""

    async def ask() -> tuple[str, str]:
        async with openai.AsyncOpenAI(base_url=served.url, api_key="any", max_retries=0) as client:
            body: Any = {"model": "tiny", "messages": HI, "max_tokens": 30, "temperature": 0, "stop": " to"}
            whole = await client.chat.completions.create(**body)
            async with client.chat.completions.stream(**body) as stream:  # which takes "length" for an error
                final = await stream.get_final_completion()
            assert final.choices[0].finish_reason == whole.choices[0].finish_reason == "stop"
            with pytest.raises(openai.BadRequestError, match="temperature"):
                await client.chat.completions.create(**{**body, "temperature": -1})
            return whole.choices[0].message.content or "", final.choices[0].message.content or ""

    whole, streamed = asyncio.run(ask())
    assert whole == streamed != ""


def test_the_helper_of_the_client_puts_a_stream_together(served: Served) -> None:
    """Its events are those of a client that knows only OpenAI."""
    with openai.OpenAI(base_url=served.url, api_key="any", max_retries=0) as client:
        body: Any = {"model": "tiny", "messages": HI, "max_tokens": 30, "temperature": 0, "stop": " to"}
        options: Any = {"include_usage": True}
        with client.chat.completions.stream(**body, logprobs=True, stream_options=options) as stream:
            kinds = {event.type for event in stream}
            final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done", "logprobs.content.delta"} <= kinds
    logprobs = final.choices[0].logprobs
    assert final.usage is not None and logprobs is not None and logprobs.content is not None
    assert 0 < len(logprobs.content) <= final.usage.completion_tokens
