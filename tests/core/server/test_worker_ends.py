"""The process that owns the pair is killed: what is at hand gets an error, and the pair is loaded again."""

import os
import signal

import httpx

from speccas.core.errors import NativeError, WorkerLost
from speccas.core.server.api_error import WORKER_RETRY, of_speccas
from tests.builders.served import ENDLESS, Served, all_of, client


def test_a_pair_that_is_killed_is_loaded_again(served: Served) -> None:
    """The stream gets an error as its last event, what waits a status; who asks then is answered as before."""
    asked = {"max_tokens": 8, "temperature": 0, "stream": True}
    with client(served, "Name a colour.", **asked) as first:
        before = events(all_of(first))
    with client(served, "Count.", **ENDLESS) as running:
        assert running.recv(20).startswith(b"HTTP/1.1 200")
        with client(served, "Wait.", **ENDLESS) as stream, client(served, "Wait.") as whole:
            with client(served, "Hi.", max_tokens="wrong") as later:  # those before it have come in
                assert all_of(later).startswith("HTTP/1.1 400")
            os.kill(served.worker, signal.SIGKILL)
            assert "ended in the middle of the answer" in events(all_of(running))[-1]
            for each in (stream, whole):
                said = all_of(each)
                assert said.startswith("HTTP/1.1 503") and "retry-after: 2" in said.lower()
                assert "another one is being started" in said
            asking = httpx.post(f"{served.root}/tokenize", json={"content": "Hi."}, timeout=60)
            assert asking.status_code == 503 and asking.headers["retry-after"] == "2"
    with client(served, "Name a colour.", **asked) as again:
        after = events(all_of(again))
    assert [text_of(each) for each in after[:-2]] == [text_of(each) for each in before[:-2]] and after[-1] == "[DONE]"
    assert httpx.post(f"{served.root}/tokenize", json={"content": "Hi."}, timeout=60).json()["count"] == 2


def events(response: str) -> list[str]:
    return [line.removeprefix("data: ").strip() for line in response.splitlines() if line.startswith("data: ")]


def text_of(event: str) -> str:
    """A chunk without what differs between two answers."""
    return event.partition('"choices"')[2]


def test_an_expert_whose_worker_is_gone_may_be_asked_again() -> None:
    told = of_speccas(WorkerLost("the worker at box:1 is gone", "ask again"), 7, 512)
    assert (told.status, told.retry) == (503, WORKER_RETRY)
    assert "the worker at box:1 is gone: ask again" in str(told)
    assert of_speccas(NativeError("no"), 7, 512).status == 500
