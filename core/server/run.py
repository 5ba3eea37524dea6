"""Listens, and serves until a signal says that it is enough."""

import asyncio
import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

import uvicorn

from ..errors import UsageError
from .access import Access, Application
from .app import Service, make_app
from .handled import Handled

BACKLOG = 128
CUT = 5.0  # seconds that answers have to say that they were cut


def open_socket(host: str, port: int) -> socket.socket:
    """Listen at once: a port that is taken is told before a pair is loaded. Raises UsageError."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        named = isinstance(error, socket.gaierror) or error.errno is None
        reason = error.strerror or str(error) if named else os.strerror(error.errno or 0)
        raise UsageError(
            f"cannot listen at {host} port {port}: {reason}", "take another port; 0 is any free one"
        ) from None


def address_of(listening: socket.socket) -> str:
    """The base URL, as clients want it."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"


@dataclass
class Ending:
    """Which signal ended it; 0 where the pair could not be loaded again."""

    number: int = 0


def serve(
    service: Service,
    access: Access,
    origins: tuple[str, ...],
    listening: socket.socket,
    grace: float,
    tell: Callable[[Handled], None],
) -> int:
    """Serve until SIGINT or SIGTERM, or until the pair cannot be loaded again; the number of the signal, or 0. The
    answer that is being written has `grace` seconds to end. `tell` hears what became of each request."""
    return asyncio.run(_serve(service, make_app(service, access, origins, tell), listening, grace))


async def _serve(service: Service, application: Application, listening: socket.socket, grace: float) -> int:
    config = uvicorn.Config(
        application,
        lifespan="off",
        log_level="error",
        access_log=False,
        server_header=False,
        h11_max_incomplete_event_size=1 << 16,
        http="h11",
        timeout_graceful_shutdown=int(grace + CUT) + 1,
    )
    server, ending, loop, line = uvicorn.Server(config), Ending(), asyncio.get_running_loop(), service.line

    def end(number: int) -> None:
        """A second signal is an echo of the first, or somebody in a hurry: the answer is cut now."""
        after = grace if not ending.number else 0.0
        ending.number = ending.number or number
        line.close()
        loop.call_later(after, line.cut)
        server.should_exit = True

    def ask() -> None:
        line.run()
        with contextlib.suppress(RuntimeError):  # the loop has ended, and the server with it
            loop.call_soon_threadsafe(setattr, server, "should_exit", True)

    asking = threading.Thread(target=ask, name="ask", daemon=True)
    asking.start()
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    for each in (signal.SIGINT, signal.SIGTERM):  # in place of uvicorn's, which ends at once on a second one
        loop.add_signal_handler(each, end, each)
    await serving
    line.close()
    line.cut()
    return ending.number
