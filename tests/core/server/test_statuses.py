"""Where each token came from, as a client that asks for statuses gets it."""

import json
import math
from typing import Any

import httpx
import pytest

from tests.builders.served import Served

ASKED: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Name three primary colours."}],
    "max_tokens": 24,
    "temperature": 0,
    "speccas": {"statuses": True, "rule": "token:0.5"},
}


def streamed(served: Served, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The tokens of all chunks; each chunk's text is that of its tokens."""
    found: list[dict[str, Any]] = []
    with httpx.stream("POST", f"{served.url}/chat/completions", json={**body, "stream": True}, timeout=60) as response:
        for line in response.iter_lines():
            if line.startswith("data: {") and "tokens" in (chunk := json.loads(line[6:])).get("speccas", {}):
                told = chunk["speccas"]["tokens"]
                assert "".join(token["text"] for token in told) == chunk["choices"][0]["delta"]["content"]
                found += told
    return found


@pytest.fixture(scope="module")
def tokens(served: Served) -> list[dict[str, Any]]:
    return streamed(served, ASKED)


def test_streamed_and_whole_they_are_the_same(served: Served, tokens: list[dict[str, Any]]) -> None:
    whole = httpx.post(f"{served.url}/chat/completions", json=ASKED, timeout=60).json()
    own = whole["speccas"]
    assert own["tokens"] == tokens
    names = ("agreed", "kept", "deferred", "bonus")
    counted = {name: sum(token["status"] == name for token in own["tokens"]) for name in names}
    assert counted == {name: own[name] for name in counted} and all(counted.values())
    assert "".join(token["text"] for token in own["tokens"]) == whole["choices"][0]["message"]["content"]


def test_they_have_q_and_p_and_what_was_turned_down(tokens: list[dict[str, Any]]) -> None:
    """q is 0 of what the drafter does not know; it is asked behind a draft as well where the rule reads it."""
    assert sum(token["q"] > 0.01 for token in tokens) > 10
    for token in tokens:
        assert token["p"] == pytest.approx(math.exp(token["log_p"])) and 0 <= token["q"] <= 1
        assert token["source"] == "drafter"
        down = token["turned_down"]
        assert (down is not None) == (token["status"] == "deferred")
        if down is not None:
            assert down["p"] < token["p"] and down["q"] >= token["q"]


def test_what_was_looked_up_has_no_q(served: Served) -> None:
    text = "Say this once more: one two three four five six seven eight nine ten eleven twelve."
    asked = {**ASKED, "messages": [{"role": "user", "content": text}], "speccas": {"statuses": True, "lookup": "on"}}
    copied = [token for token in streamed(served, asked) if token["source"] == "lookup" and token["status"] == "agreed"]
    assert copied and all(token["q"] is None and token["p"] > 0 for token in copied)


def test_they_change_nothing_that_is_written(served: Served) -> None:
    plain = {**ASKED, "max_tokens": 12, "temperature": 1, "seed": 5, "speccas": {"rule": "token:0.5"}}
    texts = [
        httpx.post(f"{served.url}/chat/completions", json=body, timeout=60).json()["choices"][0]["message"]["content"]
        for body in (plain, {**plain, "speccas": ASKED["speccas"]})
    ]
    assert texts[0] == texts[1]
