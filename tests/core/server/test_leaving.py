"""Clients that leave, by raw sockets: their answer ends, and the next one is right."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.builders.served import Served

ENDLESS = {"max_tokens": 3000, "ignore_eos": True, "stream": True, "temperature": 0}
"""Takes far longer than SOON."""
SOON = 12  # seconds; only against hanging


def asked(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


@contextmanager
def client(served: Served, body: dict[str, Any]) -> Iterator[socket.socket]:
    data = json.dumps(body).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n"
    with socket.create_connection(("127.0.0.1", served.port), timeout=SOON) as found:
        found.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + data)
        yield found


def answer(served: Served, text: str) -> str:
    body = {"messages": asked(text), "max_tokens": 8, "temperature": 0}
    document = httpx.post(f"{served.url}/chat/completions", json=body, timeout=SOON).json()
    said: str = document["choices"][0]["message"]["content"]
    return said


@pytest.mark.parametrize("text", ["Count.", "one two " * 700])
def test_one_that_leaves_ends_its_answer(served: Served, text: str) -> None:
    """While it decodes, and most likely while the prompt is read; the caches stay right."""
    before = answer(served, "Name a colour.")
    with client(served, {"messages": asked(text), **ENDLESS}) as leaving:
        if len(text) < 100:
            assert leaving.recv(20).startswith(b"HTTP/1.1 200")
    assert answer(served, "Name a colour.") == before
