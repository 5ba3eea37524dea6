"""A server that speaks SGLang's and vLLM's JSON over a table or a model of llama.cpp, prefix cache and faults included.

Formats as the docstrings of core/runtime/served_expert/sglang.py and vllm.py have them. It is written from the servers'
sources, not from the client.
"""

import contextlib
import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

import httpx
import numpy as np
from numpy.typing import ArrayLike, NDArray

from speccas.core.decoding.sampling import Floats
from speccas.core.runtime.llama import LlamaWeights

BLOCK = 16  # tokens that vLLM caches together
GARBAGE = -0.25
"""ln p of every token in rows that vLLM took from its cache and did not compute: memory that nobody wrote."""


class Brain(Protocol):
    """What a server serves."""

    name: str
    size: int
    context: int

    def rows(self, ids: Sequence[int], count: int) -> NDArray[np.float64]:
        """ln p of every token behind the last `count` tokens."""

    def tokenize(self, text: str) -> list[int]: ...

    def piece(self, token: int) -> bytes: ...


def log_softmax(logits: ArrayLike) -> NDArray[np.float64]:
    row = np.asarray(logits, dtype=np.float64)
    return np.asarray(row - row.max() - np.log(np.exp(row - row.max()).sum()))


class TableBrain:
    """Logits by the last tokens, as `TableModel` has them."""

    name, context = "toy/table", 4096

    def __init__(self, row: Callable[[tuple[int, ...]], ArrayLike], size: int) -> None:
        self.row = row
        self.size = size
        self.known: dict[tuple[int, ...], NDArray[np.float64]] = {}

    @classmethod
    def of(cls, table: Floats, order: int) -> "TableBrain":
        return cls(lambda last: table[(0,) * (order - len(last[-order:])) + last[-order:]], table.shape[-1])

    def rows(self, ids: Sequence[int], count: int) -> NDArray[np.float64]:
        return np.stack([log_softmax(self.row(tuple(ids[:end]))) for end in range(len(ids) - count + 1, len(ids) + 1)])

    def tokenize(self, text: str) -> list[int]:
        return list(text.encode())

    def piece(self, token: int) -> bytes:
        return bytes([token]) if token < 256 else b""


class ModelBrain:
    """A model of llama.cpp."""

    def __init__(self, weights: LlamaWeights, context: int = 2048) -> None:
        self.name, self.context, self.size = "org/tiny-expert", context, weights.size
        self.weights = weights
        self.model = weights.context(context, 33, 1)
        self.ids: list[int] = []

    def rows(self, ids: Sequence[int], count: int) -> NDArray[np.float64]:
        same = next((i for i, (a, b) in enumerate(zip(self.ids, ids, strict=False)) if a != b), len(self.ids))
        self.model.truncate(min(same, len(ids) - count))
        unread = list(ids[len(self.model) :])
        if len(unread) > count:
            self.model.extend(unread[:-count], rows=0)
        logits = np.array(self.model.extend(unread[-count:], rows=count))
        self.ids = list(ids)
        return np.stack([log_softmax(row) for row in logits])

    def tokenize(self, text: str) -> list[int]:
        return self.weights.tokenize(text, special=False)

    def piece(self, token: int) -> bytes:
        return self.weights.piece(token)


@dataclass
class Fault:
    """What goes wrong with one answer: seconds before it, a status in its place, another body, or none at all."""

    delay: float = 0.0
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    words: str = ""
    mangle: Callable[[Any], Any] | None = None
    body: bytes | None = None
    cut: int = 0
    """Bytes at the end that are not sent, though they were announced."""
    drop: bool = False
    """The connection is closed without a word."""


@dataclass
class Answered:
    status: int
    headers: dict[str, str]
    data: bytes
    fault: Fault


class ExpertServer:
    """Both kinds at once: SGLang's paths and vLLM's."""

    def __init__(
        self, brain: Brain, most: int = 20, key: str = "", caching: bool = True, details: bool = True, seed: int = 0
    ) -> None:
        """`most`: tokens of a row that are told (vLLM's max_logprobs; SGLang's has no bound, this one has). `details`:
        whether vLLM's tells how much was cached."""
        self.brain = brain
        self.most = most
        self.key = key
        self.caching = caching
        self.details = details
        self.random = np.random.default_rng(seed)
        self.faults: deque[Fault] = deque()
        """Of the next answers that a model gives."""
        self.asked: list[tuple[str, Any]] = []
        """Paths and bodies."""
        self.keys: list[str] = []
        """What was sent as authorization."""
        self.computed = 0
        """Tokens that were read, not taken from the cache."""
        self.lock = threading.Lock()
        self._blocks: set[tuple[str, tuple[int, ...]]] = set()
        self._tree: dict[int, Any] = {}

    def handle(self, method: str, path: str, authorization: str, body: bytes) -> Answered:
        with self.lock:
            self.keys.append(authorization)
            data = json.loads(body) if body else None
            self.asked.append((path, data))
            model = path in ("/generate", "/inference/v1/generate")
            fault = self.faults.popleft() if model and self.faults else Fault()
            if self.key and authorization != f"Bearer {self.key}":
                return answered(401, {"error": "Unauthorized"}, fault)
            if fault.status:
                words = {"error": {"message": fault.words or f"no: {authorization}"}}
                return answered(fault.status, words, fault, dict(fault.headers))
            status, found = self.answer(method, path, data)
            if fault.mangle is not None:
                found = fault.mangle(found)
            return answered(status, found, fault)

    def answer(self, method: str, path: str, data: Any) -> tuple[int, Any]:
        brain = self.brain
        if path == "/v1/models":
            return 200, {"object": "list", "data": [{"id": brain.name, "max_model_len": brain.context}]}
        if path == "/tokenize":
            ids = brain.tokenize(data["prompt"])
            return 200, {"tokens": ids, "count": len(ids), "max_model_len": brain.context}
        if path == "/detokenize":
            text = b"".join(map(brain.piece, data["tokens"])).decode("utf-8", "replace")
            return 200, {"text": text, "prompt": text}
        if path == "/generate":
            return self.sglang(data)
        if path == "/inference/v1/generate":
            return self.vllm(data)
        return 404, {"detail": "Not Found"}

    def sglang(self, data: Any) -> tuple[int, Any]:
        ids, how = data["input_ids"], data["sampling_params"]
        count, start, n = data.get("top_logprobs_num", 0), data["logprob_start_len"], how.get("n", 1)
        if count > self.most:
            return 400, {"error": {"message": f"{count} is greater than max allowed: {self.most}"}}
        if len(ids) >= self.brain.context:
            return 400, {"error": {"message": f"Input length ({len(ids)} tokens) exceeds the maximum"}}
        start = len(ids) if start == -1 else start
        cached = min(self._prefix(ids), start, len(ids) - 1) if self.caching else 0
        self.computed += len(ids) - cached
        found = self.brain.rows(ids, max(1, len(ids) - start))
        meta: dict[str, Any] = {"id": "r", "prompt_tokens": len(ids), "cached_tokens": cached, "completion_tokens": 1}
        if start < len(ids):
            follow = list(zip(found[:-1], ids[start + 1 :], strict=True))
            behind: list[Any] = [[float(row[token]), token, None] for row, token in follow]
            rows: list[Any] = [[[log_p, token, None] for token, log_p in best(row, count)] for row in found[:-1]]
            meta["input_token_logprobs"] = [[None, ids[start], None], *behind]
            meta["input_top_logprobs"] = [None, *rows]
        answers = []
        for _ in range(n):
            drawn, row = self._draw(found[-1], how), found[-1]
            last: dict[str, Any] = {"output_token_logprobs": [[float(row[drawn]), drawn, None]]}
            if count:
                last["output_top_logprobs"] = [[[log_p, token, None] for token, log_p in best(row, count)]]
            answers.append({"text": "", "output_ids": [drawn], "meta_info": meta | last})
        return 200, answers if n > 1 else answers[0]

    def vllm(self, data: Any) -> tuple[int, Any]:
        ids, how, salt = data["token_ids"], data["sampling_params"], data.get("cache_salt") or ""
        prompt, count = how.get("prompt_logprobs"), how["logprobs"]
        for name, wanted in (("prompt", prompt or 0), ("sample", count)):
            if wanted > self.most:
                words = f"Requested {name} logprobs of {wanted}, which is greater than max allowed: {self.most}"
                return 400, {"error": {"message": words, "type": "BadRequestError", "code": 400}}
        if len(ids) >= self.brain.context:
            return 400, {"error": {"message": "maximum context length exceeded", "code": 400}}
        if prompt is not None and how.get("detokenize", True):
            return 500, {"error": {"message": "number too small to fit in target type", "code": 500}}  # it ends there
        skip = how.get("skip_reading_prefix_cache", prompt is not None) or not self.caching
        blocks = [(salt, tuple(ids[:end])) for end in range(BLOCK, len(ids) + 1, BLOCK)]
        cached = max((len(b[1]) for b in blocks if b in self._blocks and len(b[1]) < len(ids)), default=0)
        cached = 0 if skip else cached
        self._blocks |= set(blocks)
        self.computed += len(ids) - cached
        answer: dict[str, Any] = {"request_id": "r", "model": self.brain.name, "output_mode": "tokens"}
        found = self.brain.rows(ids, min(len(ids) - cached, 33) if prompt is not None else 1)
        if prompt is not None:
            answer["prompt_logprobs"] = [None, *self._told(ids, found, prompt)]
        choices = []
        for index in range(how.get("n", 1)):
            drawn, row = self._draw(found[-1], how), found[-1]
            top = {drawn: float(row[drawn]), **dict(best(row, count))}
            content = {
                **told(drawn, float(row[drawn])),
                "top_logprobs": [told(token, log_p) for token, log_p in top.items()],
            }
            choices.append(
                {"index": index, "token_ids": [drawn], "finish_reason": "length", "logprobs": {"content": [content]}}
            )
        usage: dict[str, Any] = {"prompt_tokens": len(ids), "completion_tokens": 1}
        if self.details:
            usage["prompt_tokens_details"] = {"cached_tokens": cached}
        return 200, {**answer, "usage": usage, "choices": choices}

    def _told(self, ids: Sequence[int], found: NDArray[np.float64], count: int) -> Iterator[Any]:
        """Of tokens 1 and on; what stands behind cached tokens was never computed. Only the last rows are right here
        as well: nobody asks for the others."""
        first = len(ids) - len(found)
        garbage = dict.fromkeys(range(count), GARBAGE)
        for i, token in enumerate(ids[1:]):
            if i < first:
                line = {token: GARBAGE, **garbage}
            else:
                row = found[i - first]
                line = {token: float(row[token]), **dict(best(row, count))}
            yield {str(each): {"logprob": log_p, "rank": rank} for rank, (each, log_p) in enumerate(line.items())}

    def _draw(self, row: NDArray[np.float64], how: Any) -> int:
        assert how["temperature"] == 1 and how["top_p"] == 1 and how["min_p"] == 0
        sums = np.exp(row).cumsum()
        return int(min(np.searchsorted(sums, self.random.random() * sums[-1], side="right"), len(row) - 1))

    def _prefix(self, ids: Sequence[int]) -> int:
        """How much of a text was read before; from now on all of it was."""
        node, known = self._tree, 0
        for i, token in enumerate(ids):
            if token in node and known == i:
                known = i + 1
            node = node.setdefault(token, {})
        return known


def best(row: NDArray[np.float64], count: int) -> list[tuple[int, float]]:
    """The most likely tokens, the first of equals first."""
    few = np.flatnonzero(row >= np.partition(row, -count)[-count]) if 0 < count < len(row) else np.arange(len(row))
    order = few[np.argsort(-row[few], kind="stable")][:count]
    return [(int(token), float(row[token])) for token in order]


def told(token: int, log_p: float) -> dict[str, Any]:
    return {"token_id": token, "logprob": log_p, "rank": 1}


def answered(status: int, found: Any, fault: Fault, headers: dict[str, str] | None = None) -> Answered:
    data = json.dumps(found).encode() if fault.body is None else fault.body
    return Answered(status, {"Content-Type": "application/json", **(headers or {})}, data, fault)


class Carried(httpx.BaseTransport):  # type: ignore[misc]
    """Requests go to the server in this process, without a network."""

    def __init__(self, server: ExpertServer) -> None:
        self.server = server

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        found = self.server.handle(
            request.method, request.url.path, request.headers.get("authorization", ""), request.read()
        )
        if found.fault.drop:
            raise httpx.ReadError("dropped")
        return httpx.Response(found.status, headers=found.headers, content=found.data)


@contextlib.contextmanager
def listening(server: ExpertServer, port: int = 0) -> Iterator[str]:
    """The server on a port of this machine; its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            self.respond(b"")

        def do_POST(self) -> None:
            self.respond(self.rfile.read(int(self.headers["Content-Length"])))

        def respond(self, body: bytes) -> None:
            found = server.handle(self.command, self.path, self.headers.get("Authorization", ""), body)
            fault = found.fault
            time.sleep(fault.delay)
            if fault.drop:
                with contextlib.suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            with contextlib.suppress(OSError):
                self.send_response(found.status)
                for name, value in found.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(found.data)))
                self.end_headers()
                self.wfile.write(found.data[: len(found.data) - fault.cut])
            if fault.cut:
                with contextlib.suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True

    class Listening(ThreadingHTTPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Listening(("127.0.0.1", port), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.server_address[1]}"
        finally:
            listener.shutdown()
            thread.join()


class Direct:
    """Stands for a connection: its JSON goes to the server and back without HTTP, for tests of many answers."""

    def __init__(self, server: ExpertServer) -> None:
        self.server = server

    def post(self, path: str, body: Mapping[str, Any], patient: bool = True) -> Any:
        found = self.server.handle("POST", path, "", json.dumps(body).encode())
        assert found.status == 200, found.data
        return json.loads(found.data)
