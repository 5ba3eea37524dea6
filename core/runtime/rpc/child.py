"""The process that holds an expert whose layers are on workers: llama.cpp ends it where a worker goes away.

`python -m speccas.core.runtime.rpc.child` is started by `process.py`, hears one request after another on stdin, and
answers each on stdout. It ends when its parent does. What it computes with is what a local expert does: `LlamaWeights`
and its contexts.
"""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from ...decoding.snapshot import Snapshot
from ...errors import SpeccasError
from ...headers.gguf import read_header
from ..backend import Context, ModelFile
from ..llama import LlamaWeights
from ..stop import StopFlag
from .library import devices_of, own_memory, wait_for
from .pipe import Message, SharedMemory, receive, send

PART = 256  # tokens that are read together before they are waited for: whole chunks


class Holder:
    """The model, its caches by number, and copies of what they held."""

    def __init__(self, tell: Callable[[Message], None]) -> None:
        self.tell = tell
        self.weights: LlamaWeights | None = None
        self.stop = StopFlag()
        self.devices: list[int] = []
        self.contexts: dict[int, tuple[Context, SharedMemory, int]] = {}
        """With the memory for its rows, and their width."""
        self.copies: dict[int, Snapshot] = {}
        self.evaluated = 0
        """Tokens that the request at hand read."""
        self.done: Mapping[str, Callable[..., Message]] = {
            "load": self.load, "context": self.context, "extend": self.extend, "mark": self.mark,
            "use_threads": self.use_threads, "reach": self.reach, "snapshot_bytes": self.snapshot_bytes,
            "snapshot": self.snapshot, "put_back": self.put_back,
        }  # fmt: skip

    def load(self, path: str, workers: Sequence[str], layers: int, output_here: bool, flag: str) -> Message:
        shared = SharedMemory(flag)
        self.stop = StopFlag((ctypes.c_char * 2).from_buffer(shared.memory))
        file = ModelFile(Path(path), read_header(Path(path)), 0)
        self.devices = devices_of(workers)
        told = [-1]

        def loaded(share: float) -> None:
            if (percent := int(100 * share)) != told[0]:
                told[0] = percent
                self.tell({"loaded": share})

        output = own_memory() if output_here else None
        self.weights = LlamaWeights(file, layers, self.stop, loaded, elsewhere=self.devices, output=output)
        return {"size": self.weights.size, "limited": self.weights.limited}

    def context(self, number: int, length: int, rows: int, threads: int | None, path: str) -> Message:
        assert self.weights is not None
        made = self.weights.context(length, rows, threads)
        self.contexts[number] = made, SharedMemory(path), self.weights.size
        return {"threads": made.threads}

    def extend(self, number: int, ids: Sequence[int], rows: int) -> Message:
        """Rows go into the shared memory, before the answer that says that they are there. What gives no rows is waited
        for, in parts, so that its time is its own and a stop comes soon."""
        model, shared, width = self.contexts[number]
        before = model.evaluated
        try:
            if rows:
                shared.rows(width)[:rows] = model.extend(ids, rows)  # type: ignore[assignment]
            for at in range(0, 0 if rows else len(ids), PART):
                model.extend(ids[at : at + PART], 0)
                wait_for(self.devices)
        finally:
            self.evaluated = model.evaluated - before
        return {}

    def mark(self, number: int) -> Message:
        self.contexts[number][0].mark()
        return {}

    def use_threads(self, number: int, threads: int) -> Message:
        self.contexts[number][0].use_threads(threads)
        return {}

    def reach(self, number: int, length: int) -> Message:
        return {"reach": self.contexts[number][0].reach(length)}

    def snapshot_bytes(self, number: int) -> Message:
        return {"bytes": self.contexts[number][0].snapshot_bytes}

    def snapshot(self, number: int, copy: int) -> Message:
        made = self.copies[copy] = self.contexts[number][0].snapshot()
        return {"bytes": made.bytes, "places": made.places}

    def put_back(self, number: int, copy: int) -> Message:
        self.contexts[number][0].put_back(self.copies[copy])
        return {}

    def answer(self, request: Mapping[str, Any]) -> Message:
        """`do` and what it takes; `cut`: the length that its cache is cut to before, `drop`: copies nobody wants. The
        answer says how many tokens the cache holds, and how many were read."""
        wanted = dict(request)
        do, number = wanted.pop("do"), wanted.get("number")
        cut, self.evaluated = wanted.pop("cut", None), 0
        for each in wanted.pop("drop", ()):
            self.copies.pop(each, None)
        error: SpeccasError | None = None
        found: Message = {}
        try:
            if cut is not None:
                self.contexts[wanted["number"]][0].truncate(cut)
            found = self.done[do](**wanted)
        except SpeccasError as raised:
            error = raised
        told = None if error is None else [type(error).__name__, error.message, error.hint]
        length = len(self.contexts[number][0]) if number in self.contexts else 0
        return {**found, "error": told, "length": length, "evaluated": self.evaluated}


def listen(pipe: int, requests: "SimpleQueue[dict[str, Any]]") -> None:
    """With the parent this process ends, whatever a decode waits for."""
    with suppress(EOFError, OSError, ValueError):
        while True:
            requests.put(receive(pipe))
    os._exit(0)


def main() -> None:
    """Answer until stdin is closed. What llama.cpp prints goes to stderr: stdout is the parent's."""
    for each in (signal.SIGINT, signal.SIGTERM):  # a terminal tells them to all; the parent decides
        signal.signal(each, signal.SIG_IGN)
    pipe = os.dup(1)
    os.dup2(2, 1)
    requests: SimpleQueue[dict[str, Any]] = SimpleQueue()
    threading.Thread(target=listen, args=(sys.stdin.fileno(), requests), daemon=True).start()
    holder = Holder(lambda message: send(pipe, message))
    with suppress(OSError):  # the parent has gone
        while True:
            send(pipe, holder.answer(requests.get()))


if __name__ == "__main__":
    main()
