"""This machine as a worker: llama.cpp's own RPC server, in a thread, with word of who comes and goes."""

import os
import socket
import threading
from collections.abc import Callable, Sequence

from ...errors import UsageError
from .library import serve

CAME, WENT = "Accepted client", "Client connection closed"  # what llama.cpp prints
STAYS = 1.0  # seconds from which on a client is told of: while it loads, llama.cpp comes and goes many times


def place(host: str, port: int) -> str:
    """HOST:PORT as llama.cpp takes it, a number of IPv4, where nothing listens yet. Raises UsageError."""
    try:
        number = socket.gethostbyname(host)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((number, port))
            tried.listen()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"cannot listen at {host} port {port}: {reason}", "take another port, or an IPv4 address of this machine"
        ) from None
    return f"{number}:{port}"


def lend(address: str, threads: int, devices: Sequence[int], tell: Callable[[bool], None]) -> threading.Event:
    """Serve from now on; `tell` hears whether a client is there. The event is set where it could not listen. Nothing
    else may be written to the stdout of this process: llama.cpp writes there."""
    reader, writer = os.pipe()
    os.dup2(writer, 1)
    ended = threading.Event()

    def listen() -> None:
        with os.fdopen(reader, encoding="utf-8", errors="replace") as said:
            soon = threading.Timer(STAYS, tell, [True])
            for line in said:
                if line.startswith(CAME):
                    soon = threading.Timer(STAYS, tell, [True])
                    soon.start()
                elif line.startswith(WENT):
                    told = soon.finished.is_set()
                    soon.cancel()
                    if told:
                        tell(False)

    def work() -> None:
        serve(address, threads, devices)
        ended.set()

    for each in (listen, work):
        threading.Thread(target=each, name=each.__name__, daemon=True).start()
    return ended
