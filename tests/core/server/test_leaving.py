"""Clients that leave, by raw sockets: their answer ends or is never begun, and the next one is right."""

import contextlib
import json
from collections.abc import Mapping

import httpx

from tests.builders.served import ENDLESS, Served, all_of, client, serving

SOON = 12  # seconds; far less than ENDLESS takes


def answer(served: Served, text: str) -> str:
    body = {"messages": [{"role": "user", "content": text}], "max_tokens": 8, "temperature": 0}
    document = httpx.post(f"{served.url}/chat/completions", json=body, timeout=SOON).json()
    said: str = document["choices"][0]["message"]["content"]
    return said


def test_one_that_leaves_ends_its_answer(script: str, clean: Mapping[str, str]) -> None:
    """While it decodes; the caches stay right."""
    with serving(script, clean) as alone:
        before = answer(alone, "Name a colour.")
        with client(alone, "Count.", SOON, **ENDLESS) as leaving:
            assert leaving.recv(20).startswith(b"HTTP/1.1 200")
        assert answer(alone, "Name a colour.") == before


def test_one_that_leaves_ends_the_reading_of_its_prompt(script: str, clean: Mapping[str, str]) -> None:
    """What a long call read of a prefix rounds otherwise than a short one: the text is one of the two."""
    with serving(script, clean) as whole:
        short = answer(whole, "Name a colour.")
    with serving(script, clean) as whole:
        answer(whole, "one two " * 40)
        behind = answer(whole, "Name a colour.")
    with serving(script, clean) as alone:
        with client(alone, "one two " * 700, SOON, **ENDLESS):
            pass
        assert answer(alone, "Name a colour.") in (short, behind)


def test_those_that_wait_are_answered_in_the_order_of_their_coming(script: str, clean: Mapping[str, str]) -> None:
    with serving(script, clean, "--log-json") as alone, contextlib.ExitStack() as opened:
        running = opened.enter_context(client(alone, "Count.", **ENDLESS))
        assert running.recv(20).startswith(b"HTTP/1.1 200")
        waiting = []
        for count in (5, 3, 4, 2):
            waiting.append(opened.enter_context(client(alone, "Wait.", max_tokens=count, ignore_eos=True)))
            httpx.get(f"{alone.root}/health")  # behind it, so it has come in
        running.close()
        for each in waiting:
            assert all_of(each).startswith("HTTP/1.1 200")
        assert alone.end() == 143
        lines = [json.loads(line) for line in alone.log.read_text().splitlines() if line.startswith("{")]
    assert [line["tokens"] for line in lines if line["finish"] == "length"] == [5, 3, 4, 2]


def test_a_full_line_turns_away_until_one_leaves_it(served: Served) -> None:
    """The server takes what comes in the order of its coming, so a request that is answered shows that those before
    it have come in."""
    with client(served, "Count.", **ENDLESS) as running:
        assert running.recv(20).startswith(b"HTTP/1.1 200")
        waiting = [client(served, "Wait.", **ENDLESS) for _ in range(4)]
        sockets = [each.__enter__() for each in waiting]
        with client(served, "Hi.") as refused:
            said = all_of(refused)
        assert said.startswith("HTTP/1.1 503") and "retry-after: 2" in said.lower() and "4 requests wait" in said
        for each in sockets:
            each.close()
        httpx.get(f"{served.root}/health")
        with client(served, "Hi.", max_tokens=1, temperature=0) as taken:
            httpx.get(f"{served.root}/health")
            assert running.recv(1)
            running.close()
            assert all_of(taken).startswith("HTTP/1.1 200")
