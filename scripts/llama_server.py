#!/usr/bin/env python
"""`speccas serve` in the place of llama-server, for llama.cpp's own server tests (docs/serve.md says which pass).

They start a server with the flags of llama-server, and many ask at llama.cpp's own paths: this starts `speccas serve`
on another port, and passes on what comes. What is mapped: the flags below; paths without /v1; `/completion`, whose
answers have other names for the same things; `/slots`, told from what `/metrics` counts; and the name of a model, which
llama-server ignores. Nothing is made up: what `speccas serve` does not tell is not in the answer.

    pip download llama-cpp-python==VERSION --no-binary llama-cpp-python --no-deps   # and unpack it
    cd llama_cpp_python-*/vendor/llama.cpp/tools/server/tests
    pip install filelock wget requests pytest openai
    LLAMA_SERVER_BIN_PATH=.../scripts/llama_server.py pytest unit/test_chat_completion.py
"""

import argparse
import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

PASSED = ("authorization", "x-api-key", "content-type", "host", "origin")
RENAMED = {"/chat/completions": "/v1/chat/completions", "/models": "/v1/models"}
NATIVE = ("/completion", "/completions")
METHODS = ["GET", "POST", "DELETE", "OPTIONS"]


def flags() -> argparse.Namespace:
    """Those that mean something to us; the others are ignored."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--temp", default="0.8")
    parser.add_argument("--seed")
    parser.add_argument("--ctx-size", type=int)
    parser.add_argument("--parallel", type=int, default=1)
    parser.add_argument("--n-predict", type=int)
    parser.add_argument("--api-key")
    parser.add_argument("--slots", action="store_true")
    return parser.parse_known_args()[0]


def command(asked: argparse.Namespace) -> list[str]:
    """llama-server's slots share its context: each of ours has one slot's. Fixed drafts: a seed means one text."""
    found = [str(Path(sys.executable).with_name("speccas")), "serve", "--port", "0", "-k", "4", "--lookup", "off"]
    found += ["--grace", "0", "--queue", "64", "--temperature", asked.temp]
    if asked.seed is not None:
        found += ["--seed", asked.seed]
    if asked.ctx_size:
        found += ["--ctx", str(asked.ctx_size // asked.parallel)]
    if asked.n_predict and asked.n_predict > 0:
        found += ["-n", str(asked.n_predict)]
    return found + (["--api-key", asked.api_key] if asked.api_key else [])


@dataclass
class Shim:
    """Passes requests on to `client`."""

    client: httpx.AsyncClient
    slots: int
    key: str | None

    async def __call__(self, request: Request) -> Response:
        path, native = request.url.path, request.url.path in NATIVE
        if path == "/slots":
            return await self.told_slots()
        data = await request.body()
        asked = read(data)
        if isinstance(asked, dict):
            asked.pop("model", None)
            data = json.dumps(asked).encode()
        headers = {name: value for name, value in request.headers.items() if name in PASSED}
        to = "/v1/completions" if native else RENAMED.get(path, path)
        sent = self.client.build_request(request.method, to, content=data, headers=headers)
        waiting = asyncio.create_task(self.client.send(sent, stream=True))
        while not waiting.done():
            await asyncio.wait({waiting}, timeout=0.05)
            if await request.is_disconnected():
                waiting.cancel()
                return Response(status_code=499)
        return await passed_on(waiting.result(), native)

    async def told_slots(self) -> Response:
        """Off unless asked for, as there."""
        if not self.slots:
            return JSONResponse({"error": {"code": 501, "message": "off", "type": "not_supported_error"}}, 501)
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        told = (await self.client.get("/metrics", headers=headers)).text
        running = re.search(r"^speccas_requests_running ([\d.]+)", told, re.MULTILINE)
        return JSONResponse([{"id": 0, "is_processing": running is None or float(running[1]) > 0}])


def read(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None


async def passed_on(response: httpx.Response, native: bool) -> Response:
    kept = ("content-type", "retry-after")
    headers = {name: value for name, value in response.headers.items() if name in kept or name.startswith("access-")}
    if not response.headers.get("content-type", "").startswith("text/event-stream"):
        data = await response.aread()
        if native and response.status_code == 200:
            return JSONResponse(as_native(json.loads(data)))
        return Response(data, response.status_code, headers)
    return StreamingResponse(events(response, native), response.status_code, headers)


async def events(response: httpx.Response, native: bool) -> AsyncIterator[bytes]:
    try:
        async for line in response.aiter_lines():
            told = read(line.removeprefix("data: ").encode()) if native and line.startswith("data: ") else None
            text = line if told is None or "error" in told else f"data: {json.dumps(as_native(told))}"
            yield text.encode() + b"\n"
    finally:
        await response.aclose()


def as_native(told: dict[str, Any]) -> dict[str, Any]:
    """An answer of /v1/completions by llama.cpp's names."""
    choice = told["choices"][0]
    ended = choice["finish_reason"]
    found = {"content": choice["text"], "stop": ended is not None}
    if ended is not None:
        found["stop_type"] = "limit" if ended == "length" else "eos"
    if "timings" in told:
        found |= {"timings": told["timings"], "truncated": told["speccas"]["finish"] == "context"}
    return found


def leave(number: int, frame: object) -> None:
    """uvicorn hears a signal, ends, and sends it once more: it must not end us before the child."""
    raise SystemExit(128 + number)


def main() -> int:
    asked = flags()
    signal.signal(signal.SIGTERM, leave)
    child = subprocess.Popen(command(asked), stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    try:
        for line in child.stderr:
            print(line, end="", file=sys.stderr, flush=True)
            if found := re.search(r"at (http://\S+)/v1", line):
                break
        else:
            return child.wait()
        client = httpx.AsyncClient(base_url=found[1], timeout=None, limits=httpx.Limits(max_connections=None))
        shim = Shim(client, asked.slots, asked.api_key)
        app = Starlette(routes=[Route("/{rest:path}", shim.__call__, methods=METHODS)])
        uvicorn.run(app, host=asked.host, port=asked.port, log_level="error", timeout_graceful_shutdown=1)
        return 0
    finally:
        child.terminate()
        child.wait()


if __name__ == "__main__":
    raise SystemExit(main())
