"""A server of the tiny pair in a real process, as a user starts it."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE = 60  # seconds; only against hanging
ENDLESS = {"max_tokens": 3000, "ignore_eos": True, "stream": True, "temperature": 0}
"""What goes on until the context is full, token by token."""
FIXED = ("-k", "4", "--lookup", "off", "--threads", "1")


@dataclass(frozen=True)
class Served:
    """`url` ends in /v1; `log` is what it wrote on stderr."""

    url: str
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def port(self) -> int:
        return int(self.url.split(":")[2].split("/")[0])

    @property
    def root(self) -> str:
        return self.url.removesuffix("/v1")

    @property
    def worker(self) -> int:
        """The process that owns the pair. Reads /proc, so Linux only."""
        parents, spawned = {}, []
        for each in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has just ended
                parents[int(each.name)] = int((each / "stat").read_text().rpartition(")")[2].split()[1])
                if b"spawn_main" in (each / "cmdline").read_bytes():
                    spawned.append(int(each.name))
        (only,) = (each for each in spawned if parents.get(parents[each]) == self.process.pid)  # behind its guard
        return only

    def end(self, number: int = signal.SIGTERM) -> int:
        """Signal it, and wait for its exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@contextlib.contextmanager
def serving(script: str, clean: Mapping[str, str], *flags: str) -> Iterator[Served]:
    """`speccas serve` on a free port, ready to answer."""
    with tempfile.NamedTemporaryFile(suffix=".log") as log:
        command = [script, "serve", "--port", "0", *FIXED, *flags]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(clean))
        try:
            yield Served(url_in(Path(log.name), process), process, Path(log.name))
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
            process.kill()
            process.wait()


def url_in(log: Path, process: "subprocess.Popen[bytes]") -> str:
    """Where it says that it listens."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        if found := re.search(r"at (http://\S+/v1)", log.read_text()):
            return found[1]
        time.sleep(0.05)
    raise AssertionError(f"no server: {log.read_text()}")


@contextlib.contextmanager
def client(served: Served, text: str, patience: float = PATIENCE, **fields: Any) -> Iterator[socket.socket]:
    """A raw connection that has asked a chat's answer to a text."""
    data = json.dumps({"messages": [{"role": "user", "content": text}], **fields}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n"
    with socket.create_connection(("127.0.0.1", served.port), timeout=patience) as found:
        found.sendall(head.encode() + b"Connection: close\r\nContent-Type: application/json\r\n\r\n" + data)
        yield found


def all_of(found: socket.socket) -> str:
    """What comes until the server closes the connection: the head, and the chunks with their lengths."""
    with found.makefile("rb") as file:
        return file.read().decode()
