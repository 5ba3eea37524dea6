"""Conversations that take turns on a server, with what a chat program asks between (a title): what is read anew."""

from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from tests.builders.served import PATIENCE, Served, serving

pytestmark = pytest.mark.slow
LONG = "The sea is wide, and the harbour is full of boats that come and go with the tide. " * 4
TITLE = [{"role": "user", "content": "Write a short title for a chat about this, in a few words: " + "the sea, " * 20}]
TALKS = {"boats": LONG + "Which boats?", "fish": "Name a fish. " + LONG}
Talk = list[dict[str, str]]


@pytest.fixture(scope="module")
def forgetful(script: str, clean: Mapping[str, str]) -> Iterator[Served]:
    with serving(script, clean, "--cache-ram", "0") as found:
        yield found


def asked(served: Served, talk: Talk, **fields: Any) -> tuple[str, int, int]:
    """The answer, how many tokens its prompt had, and how many of them were in the cache."""
    body = {"messages": talk, "max_tokens": 8, "temperature": 0} | fields
    document = httpx.post(f"{served.url}/chat/completions", json=body, timeout=5 * PATIENCE).json()
    usage, timings = document["usage"], document["timings"]
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    assert (timings["cache_n"], timings["prompt_n"]) == (cached, usage["prompt_tokens"] - cached)
    return document["choices"][0]["message"]["content"], usage["prompt_tokens"], cached


def turns(served: Served) -> Iterator[tuple[str, int, int, int]]:
    """Of two conversations' second turns: the text, tokens of the first prompt, of the second, and those cached."""
    talks: dict[str, Talk] = {name: [{"role": "user", "content": text}] for name, text in TALKS.items()}
    before = {}
    for name, talk in talks.items():
        text, before[name], _ = asked(served, talk)
        talk += [{"role": "assistant", "content": text}, {"role": "user", "content": "Say more."}]
        asked(served, TITLE)
    for name, talk in talks.items():
        text, whole, cached = asked(served, talk)
        yield text, before[name], whole, cached


def test_the_second_turn_of_each_reads_only_what_is_new(served: Served, forgetful: Served) -> None:
    """A server that keeps no caches of others reads all of it, and writes the same."""
    for (text, first, whole, cached), (plain, _, _, few) in zip(turns(served), turns(forgetful), strict=True):
        assert first < cached < whole <= cached + 20
        assert few < first / 2
        assert text == plain


def test_an_answer_is_read_again_as_it_was_written(served: Served, forgetful: Served) -> None:
    """Far from what the expert would say, its text would be split into other tokens than those it was written in."""
    talk: Talk = [{"role": "user", "content": "Name three primary colours."}]
    text, first, _ = asked(served, talk, temperature=3, min_p=0, seed=3, max_tokens=24, ignore_eos=True)
    talk += [{"role": "assistant", "content": text}, {"role": "user", "content": "Say more."}]
    _, whole, cached = asked(served, talk)
    _, anew, _ = asked(forgetful, talk)
    assert anew != whole
    assert first + 20 < cached < whole <= cached + 20
