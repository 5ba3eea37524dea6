"""Many clients at once, and ones that behave badly, by raw sockets: every answer comes whole, and memory stays flat."""

import contextlib
import json
import signal
import socket
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.builders.served import ENDLESS, PATIENCE, Served, all_of, client, serving

CLIENTS, REQUESTS, TOKENS = 32, 3, 4
TEXTS = ("Name a colour.", "Name a fish.", "Count to three.", "What is the sea?")
GROWTH = 16 << 20
"""Bytes that a process may have grown by, whatever Python and libc kept for the next time."""
LONG = 5 * PATIENCE


def streamed(served: Served, text: str) -> str:
    """An answer from its chunks. Fails where it is not whole."""
    with client(served, text, LONG, max_tokens=TOKENS, ignore_eos=True, temperature=0, stream=True) as asking:
        said = all_of(asking)
    assert said.startswith("HTTP/1.1 200"), said
    *chunks, done = [line[6:].strip() for line in said.splitlines() if line.startswith("data: ")]
    found = [json.loads(each) for each in chunks]
    assert done == "[DONE]" and found[-1]["timings"]["predicted_n"] == TOKENS
    return "".join(each["choices"][0]["delta"].get("content") or "" for each in found)


def resident(process: int) -> int:
    """Bytes of memory that a process has."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) << 10


@pytest.mark.slow
def test_every_client_gets_its_own_answer_whole(script: str, clean: Mapping[str, str]) -> None:
    with serving(script, clean, "--queue", str(CLIENTS), "--cache-ram", "4") as served:
        expected = [streamed(served, text) for text in TEXTS]
        assert len(set(expected)) > 1

        def ask(number: int) -> list[str]:
            return [streamed(served, TEXTS[(number + i) % len(TEXTS)]) for i in range(REQUESTS)]

        ask(0)
        linux = sys.platform == "linux"
        processes = (served.process.pid, served.worker) if linux else ()
        before = [resident(each) for each in processes]
        with ThreadPoolExecutor(CLIENTS) as pool:
            found = list(pool.map(ask, range(CLIENTS)))
        assert found == [[expected[(n + i) % len(TEXTS)] for i in range(REQUESTS)] for n in range(CLIENTS)]
        grown = [resident(each) - was for each, was in zip(processes, before, strict=True)]
        assert max(grown, default=0) < GROWTH


@pytest.mark.slow
def test_a_signal_under_load_is_told_to_all(script: str, clean: Mapping[str, str]) -> None:
    """One that is answered is cut, those that wait are turned away, and nobody is left hanging."""
    with serving(script, clean, "--queue", str(CLIENTS), "--grace", "0.2") as served, contextlib.ExitStack() as open_:
        asking = [open_.enter_context(client(served, f"Count to {i}.", **ENDLESS)) for i in range(CLIENTS)]
        assert asking[0].recv(20).startswith(b"HTTP/1.1 200")
        with client(served, "Hi.", max_tokens="wrong") as later:  # those before it have come in
            assert all_of(later).startswith("HTTP/1.1 400")
        served.process.send_signal(signal.SIGTERM)
        told = [all_of(each) for each in asking]
        assert "the answer was cut off" in told[0]
        assert all("is shutting down" in each and "[DONE]" not in each for each in told[1:])
        assert served.process.wait(PATIENCE) == 143


def test_one_that_does_not_read_holds_nobody_up(served: Served) -> None:
    with client(served, "Count.", **ENDLESS | {"max_tokens": 60}) as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        assert streamed(served, TEXTS[0])
        assert "[DONE]" in all_of(lazy)


@pytest.mark.parametrize("sent", ["", "POST /v1/chat/completions HTTP/1.1\r\nHost: loc", "half a body", "all"])
def test_half_closed_connections(served: Served, sent: str) -> None:
    """Nothing more can come from such a client; the server is there for the next one."""
    data = json.dumps({"messages": [{"role": "user", "content": "Hi."}], "max_tokens": 3000})
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(data)}\r\nConnection: close\r\n\r\n{data}"
    text = {"half a body": request[:-20], "all": request}.get(sent, sent)
    with socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE) as half:
        half.sendall(text.encode())
        half.shutdown(socket.SHUT_WR)
        assert b"HTTP/1.1 5" not in half.recv(1 << 16)
    assert streamed(served, TEXTS[0])


def test_a_hundred_connections(served: Served) -> None:
    """Held open while another asks; then each is answered."""
    with contextlib.ExitStack() as stack:
        address = "127.0.0.1", served.port
        held = [stack.enter_context(socket.create_connection(address, timeout=PATIENCE)) for _ in range(100)]
        assert streamed(served, TEXTS[0])
        for each in held:
            each.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert all(all_of(each).startswith("HTTP/1.1 200") for each in held)
