"""OpenAI's own client against the endpoint: its types validate every answer."""

import asyncio
import subprocess
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
import openai
import pytest
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.builders.served import FIXED, Served, serving

ASKED: Any = [{"role": "user", "content": "Name three primary colours."}]


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=served.url, api_key="any", max_retries=0) as found:
        yield found


@pytest.fixture(scope="module")
def fresh(script: str, clean: Mapping[str, str]) -> Iterator[openai.OpenAI]:
    """To a server that only these tests ask."""
    with serving(script, clean) as served, openai.OpenAI(base_url=served.url, api_key="any", max_retries=0) as found:
        yield found


def test_models_say_which_are_lossless(client: openai.OpenAI) -> None:
    found = {model.id: model.to_dict()["speccas"] for model in client.models.list()}
    assert found == {
        "tiny": {"rule": "exact", "lossless": True},
        "tiny:token:0.3": {"rule": "token:0.3", "lossless": False},
    }
    assert client.models.retrieve("tiny:top-k:3").id == "tiny:top-k:3"
    with pytest.raises(openai.NotFoundError, match=r"tiny:token:0\.3"):
        client.models.retrieve("gpt-4")


@pytest.mark.parametrize(
    ("rule", "asked"),
    [
        ("exact", {"temperature": 0}),
        ("exact", {"temperature": 0.9, "seed": 7}),
        ("token:0.3", {"temperature": 1.2, "seed": 8, "top_p": 0.9}),
    ],
)
def test_an_answer_is_the_one_of_run(
    fresh: openai.OpenAI, speccas: Callable[..., "subprocess.CompletedProcess[str]"], rule: str, asked: dict[str, Any]
) -> None:
    """Whole and streamed: same seed, same text, as `speccas run` writes it. No long prompt was read before: a prefix
    that came in a call of 64 tokens or more rounds otherwise."""
    flags = [part for name, value in asked.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    text = ASKED[0]["content"]
    min_p = [] if asked["temperature"] == 0 else ["--min-p", "0.05"]
    alone = speccas("run", text, "-q", "-n", "24", "--rule", rule, *FIXED, *flags, *min_p).stdout
    model = "tiny" if rule == "exact" else f"tiny:{rule}"
    whole = fresh.chat.completions.create(model=model, messages=ASKED, max_tokens=24, **asked)
    assert whole.choices[0].message.content == alone.removesuffix("\n")
    assert whole.model == model
    streamed = fresh.chat.completions.create(model=model, messages=ASKED, max_tokens=24, stream=True, **asked)
    chunks = list(streamed)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == [
        whole.choices[0].finish_reason
    ]


def test_an_answer_is_valid_and_counts(served: Served) -> None:
    body = {"model": "tiny", "messages": ASKED, "max_completion_tokens": 12, "temperature": 0}
    document = httpx.post(f"{served.url}/chat/completions", json=body, timeout=60).json()
    found = ChatCompletion.model_validate(document, strict=True)
    assert found.usage is not None and found.usage.completion_tokens == 12
    assert found.usage.total_tokens == found.usage.prompt_tokens + 12
    again = httpx.post(f"{served.url}/chat/completions", json=body, timeout=60).json()
    cached = again["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert cached == found.usage.prompt_tokens - 1 == again["timings"]["cache_n"]
    own, timings = document["speccas"], document["timings"]
    assert own["agreed"] + own["deferred"] + own["bonus"] == 12
    assert (timings["draft_n"], timings["draft_n_accepted"]) == (own["drafted"], own["agreed"])
    assert timings["predicted_n"] == 12 and timings["predicted_per_second"] > 0


def test_a_stream_has_its_usage_when_asked(served: Served, client: openai.OpenAI) -> None:
    options: Any = {"include_usage": True}
    body: Any = {"model": "tiny", "messages": ASKED, "max_tokens": 8, "temperature": 0, "stream": True}
    chunks = list(client.chat.completions.create(**body, stream_options=options))
    assert chunks[0].choices[0].delta.to_dict() == {"role": "assistant", "content": None}
    assert chunks[-1].choices == [] and chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == 8
    assert all(chunk.usage is None for chunk in chunks[:-1])
    own = {"speccas": {"statuses": True}}
    with httpx.stream("POST", f"{served.url}/chat/completions", json={**body, **own}, timeout=60) as response:
        lines = [line.removeprefix("data: ") for line in response.iter_lines() if line and not line.startswith(":")]
    assert lines.pop() == "[DONE]"
    for line in lines:
        ChatCompletionChunk.model_validate_json(line, strict=True)
    assert '"status":"' in lines[1] and '"timings":' in lines[-1]


def test_completions_go_on_with_a_text(client: openai.OpenAI, served: Served) -> None:
    asked: Any = {"model": "tiny", "prompt": "One, two, three,", "max_tokens": 6, "temperature": 0}
    whole = client.completions.create(**asked, logprobs=2)
    assert "four" in whole.choices[0].text
    logprobs = whole.choices[0].logprobs
    assert logprobs is not None and logprobs.tokens is not None and "".join(logprobs.tokens) == whole.choices[0].text
    streamed = list(client.completions.create(**asked, stream=True))
    assert "".join(chunk.choices[0].text for chunk in streamed) == whole.choices[0].text
    document = httpx.post(f"{served.url}/completions", json=asked, timeout=60).json()
    Completion.model_validate(document, strict=True)


def test_log_probabilities_are_the_experts(client: openai.OpenAI) -> None:
    asked: Any = {"model": "tiny", "messages": ASKED, "max_tokens": 6, "temperature": 0}
    found = client.chat.completions.create(**asked, logprobs=True, top_logprobs=20).choices[0]
    assert found.logprobs is not None and found.logprobs.content is not None
    assert "".join(each.token for each in found.logprobs.content) == found.message.content
    for each in found.logprobs.content:
        assert each.logprob == pytest.approx(each.top_logprobs[0].logprob)  # greedy: the best
        assert len(each.top_logprobs) == 20 and each.bytes == list(each.token.encode())


def test_stops_and_parts(client: openai.OpenAI) -> None:
    parts: Any = [{"role": "developer", "content": "Be brief."}]
    parts += [
        {"role": "user", "content": [{"type": "text", "text": "Name three "}, {"type": "text", "text": "colours."}]}
    ]
    whole = client.chat.completions.create(model="tiny", messages=parts, max_tokens=30, temperature=0)
    text = whole.choices[0].message.content or ""
    word = text.split()[3]
    cut = client.chat.completions.create(model="tiny", messages=parts, max_tokens=30, temperature=0, stop=[word])
    assert cut.choices[0].message.content == text[: text.index(word)]
    assert cut.choices[0].finish_reason == "stop"


def test_many_at_once_each_get_their_own(served: Served) -> None:
    """Five that are asked together are answered one by one, each as if alone."""

    async def ask() -> list[str]:
        async with openai.AsyncOpenAI(base_url=served.url, api_key="any", max_retries=0) as client:

            async def one(number: int) -> str:
                messages: Any = [{"role": "user", "content": f"Count from {number} to ten."}]
                asked: Any = {"model": "tiny", "messages": messages, "max_tokens": 8, "temperature": 0}
                return "".join(
                    [
                        chunk.choices[0].delta.content or ""
                        async for chunk in await client.chat.completions.create(**asked, stream=True)
                    ]
                )

            together = await asyncio.gather(*map(one, range(5)))
            assert together == [await one(number) for number in range(5)]
            return together

    assert len(set(asyncio.run(ask()))) > 1
