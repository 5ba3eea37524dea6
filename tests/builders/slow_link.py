"""A line between two machines, as a TCP proxy: late by a round trip, no faster than so many bytes a second, counted."""

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

PIECE = 1 << 16  # bytes read at once
MEGABIT = 1e6 / 8  # bytes a second

Pieces = queue.SimpleQueue[tuple[float, bytes]]


@dataclass
class SlowLink:
    """To `target`. `trip` in seconds, half of it each way; `rate` in bytes a second, of each way, None for no bound:
    both may change while it runs. `sent` and `received` are bytes to and from the target, `turns` how often it answered
    what it was sent: the round trips that somebody waited for."""

    target: str
    trip: float = 0.0
    rate: float | None = None
    sent: int = 0
    received: int = 0
    turns: int = 0
    address: str = ""
    _asked: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _links: list[socket.socket] = field(default_factory=list)

    def serve(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listening.accept()
                host, _, port = self.target.rpartition(":")
                try:
                    far = socket.create_connection((host, int(port)))
                except OSError:
                    near.close()
                    continue
                self._links += [near, far]
                for one, other, asks in ((near, far, True), (far, near, False)):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    pieces: Pieces = queue.SimpleQueue()
                    threading.Thread(target=self._take, args=(one, pieces, asks), daemon=True).start()
                    threading.Thread(target=self._give, args=(pieces, other), daemon=True).start()

    def _take(self, link: socket.socket, pieces: Pieces, asks: bool) -> None:
        data = b"-"
        while data:
            try:
                data = link.recv(PIECE)
            except OSError:
                data = b""
            if data:
                self._count(len(data), asks)
            pieces.put((time.monotonic(), data))

    def _count(self, size: int, asks: bool) -> None:
        with self._lock:
            if asks:
                self.sent += size
            else:
                self.received += size
                self.turns += self._asked
            self._asked = asks

    def _give(self, pieces: Pieces, link: socket.socket) -> None:
        free = 0.0  # when the line has room for the next piece
        while True:
            came, data = pieces.get()
            free = max(free, came) + (len(data) / self.rate if self.rate else 0.0)
            wait = free + self.trip / 2 - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            try:
                if not data:
                    link.shutdown(socket.SHUT_RDWR)
                    link.close()
                    return
                link.sendall(data)
            except OSError:
                with contextlib.suppress(OSError):
                    link.close()
                if not data:
                    return


@contextlib.contextmanager
def slow_link(target: str) -> Iterator[SlowLink]:
    """A line that is not slow yet."""
    link = SlowLink(target)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        link.address = f"127.0.0.1:{listening.getsockname()[1]}"
        thread = threading.Thread(target=link.serve, args=(listening,), daemon=True)
        thread.start()
        yield link
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        for each in link._links:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
