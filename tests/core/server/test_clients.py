"""Programs that people use, against the endpoint: `llm` with `extra-openai-models.yaml`, and langchain-openai."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.builders.served import Served

ASKED = "Name three primary colours."
GREEDY: Any = {"temperature": 0, "max_tokens": 8}


@pytest.fixture
def answer(served: Served) -> str:
    """What OpenAI's own client gets."""
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=served.url, api_key="any", max_retries=0) as client:
        messages = [{"role": "user", "content": ASKED}]
        found = client.chat.completions.create(model="tiny", messages=messages, **GREEDY)
        text: str = found.choices[0].message.content
        return text


@pytest.fixture
def llm_home(served: Served, tmp_path: Path) -> Path:
    """A folder of `llm` that knows the server."""
    known = f"- model_id: cascade\n  model_name: tiny\n  api_base: {served.url}\n"
    (tmp_path / "extra-openai-models.yaml").write_text(known)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("flags", [(), ("--no-stream",)])
def test_llm_as_a_command(llm_home: Path, clean: Mapping[str, str], answer: str, flags: tuple[str, ...]) -> None:
    pytest.importorskip("llm")
    options = [part for name, value in GREEDY.items() for part in ("-o", name, str(value))]
    done = subprocess.run(
        [sys.executable, "-m", "llm", "-m", "cascade", ASKED, *options, *flags, "--usage"],
        env={**clean, "LLM_USER_PATH": str(llm_home), "LLM_LOAD_PLUGINS": ""},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == answer + "\n"
    assert "Token usage: 35 input, 8 output" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("stream", [True, False])
def test_llm_as_a_library(llm_home: Path, answer: str, stream: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A conversation of two turns, with what it used."""
    llm = pytest.importorskip("llm")
    monkeypatch.setenv("LLM_USER_PATH", str(llm_home))
    monkeypatch.setenv("LLM_LOAD_PLUGINS", "")
    model = llm.get_model("cascade")
    conversation = model.conversation()
    first = conversation.prompt(ASKED, stream=stream, key="any", **GREEDY)
    assert "".join(first) == answer
    usage = first.usage()
    assert (usage.input, usage.output) == (35, 8)
    second = conversation.prompt("And one more?", stream=stream, key="any", **GREEDY)
    assert second.text() and second.usage().details["prompt_tokens_details"]["cached_tokens"] > usage.input


@pytest.mark.slow
def test_langchain(served: Served, answer: str) -> None:
    """Whole, streamed with its usage, and four at once."""
    langchain = pytest.importorskip("langchain_openai")
    model = langchain.ChatOpenAI(base_url=served.url, api_key="any", model="tiny", stream_usage=True, **GREEDY)
    whole = model.invoke(ASKED)
    assert whole.content == answer and whole.response_metadata["finish_reason"] == "length"
    chunks = list(model.stream(ASKED))
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    assert total.content == answer and total.response_metadata["finish_reason"] == "length"
    for each in (whole, total):
        assert (each.usage_metadata["input_tokens"], each.usage_metadata["output_tokens"]) == (35, 8)
        assert each.usage_metadata["total_tokens"] == 43
    together = model.batch([ASKED, "Hi.", ASKED, "Hi."], config={"max_concurrency": 4})
    assert [each.content for each in together[::2]] == [answer] * 2
    assert together[1].content == together[3].content != answer
    text = langchain.OpenAI(base_url=served.url, api_key="any", model="tiny", **GREEDY)
    assert "four" in text.invoke("One, two, three,")
