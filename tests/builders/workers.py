"""Workers in processes of their own, and what may listen where a worker should: one that is busy, old, or none at all.

`worker()` is the real command in a process; the others speak just as much of llama.cpp's RPC as they are made to.
"""

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from speccas.core.errors import Unavailable
from speccas.core.runtime.rpc.wire import find_worker, listens

SCRIPT = Path(sys.executable).with_name("speccas")
HELLO, COUNT, MEMORY = 14, 15, 11
VERSION = 7, 0, 0
SOON = 30.0  # seconds; only against hanging


def free_port() -> int:
    """A port where nothing listens now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass
class Lent:
    """A worker of this machine. `started` anew on the same port where it was ended."""

    port: int
    child: "subprocess.Popen[bytes] | None" = None
    said: str = ""
    _words: IO[bytes] = field(default_factory=tempfile.TemporaryFile)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> "Lent":
        """Listen; comes back when it does."""
        if self._words.closed:
            self._words = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the child
        self.child = subprocess.Popen(
            [str(SCRIPT), "worker", "--port", str(self.port), "--threads", "1"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._words, start_new_session=True,
        )  # fmt: skip
        until = time.monotonic() + SOON
        while not listens(self.address):
            assert self.child.poll() is None and time.monotonic() < until, self._read()
            time.sleep(0.05)
        return self

    def _read(self) -> str:
        self._words.seek(0)
        return self._words.read().decode()

    def kill(self) -> None:
        """As kill -9 does, and wait until nothing listens any more."""
        assert self.child is not None
        self.child.kill()
        self.ended()
        until = time.monotonic() + SOON
        while listens(self.address):
            assert time.monotonic() < until
            time.sleep(0.02)

    def interrupt(self) -> int:
        """As Ctrl-C does; its exit code."""
        assert self.child is not None
        self.child.send_signal(signal.SIGINT)
        return self.ended()

    def ended(self) -> int:
        assert self.child is not None
        code = self.child.wait(SOON)
        self.said = self._read()
        self._words.close()
        self.child = None
        return code

    def idle(self) -> None:
        """Wait until it serves nobody: it hears of the end of a client a moment later."""
        until = time.monotonic() + SOON
        while True:
            try:
                find_worker(self.address, VERSION, pings=1)
                return
            except Unavailable:
                assert time.monotonic() < until


@contextlib.contextmanager
def worker() -> Iterator[Lent]:
    lent = Lent(free_port())
    try:
        yield lent.start()
    finally:
        if lent.child is not None:
            lent.kill()


@dataclass
class Pretender:
    """Answers HELLO with a version, or with `raw` bytes; then tells of devices with so much memory. `silent`: accepts,
    and says nothing."""

    version: tuple[int, int, int] = VERSION
    raw: bytes | None = None
    silent: bool = False
    memory: tuple[tuple[int, int], ...] = ((3 << 30, 4 << 30),)
    heard: list[int] = field(default_factory=list)
    """Every command, in order."""
    address: str = ""

    def serve(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                link, _ = listening.accept()
                threading.Thread(target=self._answer, args=(link,), daemon=True).start()

    def _answer(self, link: socket.socket) -> None:
        with link, contextlib.suppress(OSError, struct.error):
            while head := link.recv(9, socket.MSG_WAITALL):
                command, size = struct.unpack("<BQ", head)
                body = link.recv(size, socket.MSG_WAITALL) if size else b""
                self.heard.append(command)
                if self.silent:
                    continue
                if command == HELLO and self.raw is not None:
                    link.sendall(self.raw)
                    return
                reply = self._reply(command, body)
                link.sendall(struct.pack("<Q", len(reply)) + reply)

    def _reply(self, command: int, body: bytes) -> bytes:
        if command == HELLO:
            return struct.pack("<4B24x", *self.version, 0)
        if command == COUNT:
            return struct.pack("<I", len(self.memory))
        assert command == MEMORY, command
        return struct.pack("<QQ", *self.memory[struct.unpack("<I", body)[0]])


@contextlib.contextmanager
def pretending(pretender: Pretender) -> Iterator[Pretender]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        pretender.address = f"127.0.0.1:{listening.getsockname()[1]}"
        thread = threading.Thread(target=pretender.serve, args=(listening,), daemon=True)
        thread.start()
        yield pretender
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(SOON)


def children(process: int) -> list[int]:
    """Processes that a process has started, and those of these. Reads /proc, so Linux only."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == process:
                found += [int(folder.name), *children(int(folder.name))]
    return found


def kill(process: int) -> None:
    os.kill(process, signal.SIGKILL)
