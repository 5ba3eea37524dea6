"""Texts to tokens and back over the endpoint, while an answer is being written too."""

from typing import Any

import httpx

from tests.builders.served import ENDLESS, Served, client

TEXT = "<|im_start|>Grüße \U0001f9ff"


def post(served: Served, path: str, **body: Any) -> dict[str, Any]:
    found: dict[str, Any] = httpx.post(f"{served.root}/{path}", json=body, timeout=60).json()
    return found


def test_tokens_there_and_back(served: Served) -> None:
    found = post(served, "tokenize", content=TEXT)
    assert found["count"] == len(found["tokens"]) and found["max_model_len"] > 1000
    assert post(served, "detokenize", tokens=found["tokens"]) == {"content": TEXT}
    spelled = post(served, "tokenize", content=TEXT, parse_special=False)["tokens"]
    assert len(spelled) > len(found["tokens"]) and post(served, "detokenize", tokens=spelled) == {"content": TEXT}
    pieces = post(served, "tokenize", content=TEXT, with_pieces=True)["tokens"]
    assert [each["id"] for each in pieces] == found["tokens"] and pieces[0]["piece"] == "<|im_start|>"
    parts = [each["piece"].encode() if isinstance(each["piece"], str) else bytes(each["piece"]) for each in pieces]
    assert b"".join(parts).decode() == TEXT and any(isinstance(each["piece"], list) for each in pieces)
    assert post(served, "tokenize", prompt="", add_special_tokens=False)["tokens"] == []
    assert post(served, "detokenize", tokens=[]) == {"content": ""}


def test_the_tokens_are_those_that_a_completion_reads(served: Served) -> None:
    count = post(served, "tokenize", prompt="One, two, three")["count"]
    answer = post(served, "v1/completions", prompt="One, two, three", max_tokens=1)
    assert answer["usage"]["prompt_tokens"] == count


def test_an_answer_that_is_being_written_holds_nothing_up(served: Served) -> None:
    with client(served, "Count.", **ENDLESS) as running:
        assert running.recv(20).startswith(b"HTTP/1.1 200")
        assert post(served, "tokenize", content="Hi.")["count"] > 0
        page = httpx.get(f"{served.root}/metrics").text
        assert "speccas_requests_running 1.0" in page
