"""`speccas worker`: this machine computes for a speccas elsewhere, which has its expert here."""

import os
import signal
import sys
from typing import Annotated, NoReturn

import typer

from speccas.core.files.workers import PORT

PULSE = 0.2  # seconds between two looks whether it still listens


def worker(
    host: Annotated[
        str, typer.Option(metavar="HOST", help="Where to listen: this machine alone, unless told otherwise.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", help="Another one for each worker.", min=1, max=65535)] = PORT,
    threads: Annotated[
        int | None, typer.Option(metavar="N", help="Threads that it computes with (default: physical cores).", min=1)
    ] = None,
) -> None:
    """Hold layers of an expert for a speccas on another machine, which names this one with --expert-rpc. It needs no
    model file: the weights come from there. One client at a time.

    It is llama.cpp's own RPC server, which has no password and no encryption: leave it at 127.0.0.1, and reach it
    through a tunnel of SSH.
    """
    from speccas.core.runtime.llama import physical_cores
    from speccas.core.runtime.rpc.lending import lend, place
    from speccas.core.runtime.rpc.library import own_devices, version
    from speccas.core.runtime.rpc.wire import written

    from ..view.theme import STYLES, make_console

    devices = own_devices()
    address = place(host, port)
    count = threads or physical_cores()
    aside = make_console(stderr=True)

    def say(text: str, status: str = "") -> None:
        aside.print(text, style=STYLES[status], soft_wrap=True, highlight=False, markup=False)

    def tell(here: bool) -> None:
        say("a client is here" if here else "the client has gone")

    say(f"worker at {address}, RPC {written(version())}, {count} threads; Ctrl-C ends it")
    for _, name, free, total in devices:
        say(f"{name.strip() or 'processor'}: {total / 1e9:.1f} GB, {free / 1e9:.1f} GB free")
    if not address.startswith("127."):
        say(f"warning: everybody who reaches {host} can use this worker, read what it holds and crash it: RPC has no "
            "password and no encryption", "warning")  # fmt: skip
    say(f"from another machine: ssh -N -L {port}:127.0.0.1:{port} {os.environ.get('USER', 'user')}@this-machine, "
        f"then --expert-rpc 127.0.0.1:{port} there")  # fmt: skip
    numbers: list[int] = []
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda number, _: numbers.append(number))
    ended = lend(address, count, [device for device, *_ in devices], tell)
    while not numbers and not ended.is_set():
        ended.wait(PULSE)
    if not numbers:
        say(f"error: llama.cpp cannot listen at {address}", "error")
    end(128 + numbers[0] if numbers else 1)


def end(code: int) -> NoReturn:
    """At once: a thread in native code is let go of only with the process."""
    sys.stderr.flush()
    os._exit(code)
