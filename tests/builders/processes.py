"""Commands on streams of every kind, and what the system says of a process."""

import contextlib
import fcntl
import os
import struct
import subprocess
import termios
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


def alive(process: int) -> bool:
    """Whether it runs; a zombie, or nothing, does not. Reads /proc, so Linux only."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


class Written(NamedTuple):
    """How a command ended, and every byte that it wrote on each stream."""

    code: int
    out: bytes
    err: bytes


def run_on(
    out: str,
    err: str,
    command: Sequence[str],
    env: Mapping[str, str],
    stdin: int = subprocess.DEVNULL,
    size: tuple[int, int] = (24, 80),
    patience: float = 180.0,
) -> Written:
    """Run a command with stdout and stderr each on what its name says: `tty`, `pipe` (a regular pipe), `closed`,
    `full` (a disk without space) or `left` (a pipe whose reader has gone). A stream that cannot be read is empty."""
    ends = {1: _end(out, size), 2: _end(err, size)}

    def place() -> None:
        for number, (_, writer) in ends.items():
            if writer is None:
                os.close(number)
            else:
                os.dup2(writer, number)

    with subprocess.Popen(command, stdin=stdin, env=dict(env), preexec_fn=place, start_new_session=True) as child:
        written: dict[int, bytes] = {1: b"", 2: b""}
        threads = []
        for number, (reader, writer) in ends.items():
            if writer is not None:
                os.close(writer)
            if reader is not None:
                threads.append(threading.Thread(target=_drain, args=(reader, number, written), daemon=True))
                threads[-1].start()
        code = child.wait(patience)
        for thread in threads:
            thread.join(patience)
    return Written(code, written[1], written[2])


def _end(kind: str, size: tuple[int, int]) -> tuple[int | None, int | None]:
    """What is read here and what the command writes to."""
    if kind == "tty":
        reader, writer = os.openpty()
        fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        return reader, writer
    if kind in ("pipe", "left"):
        reader, writer = os.pipe()
        if kind == "left":
            os.close(reader)
        return (None if kind == "left" else reader), writer
    return None, (os.open("/dev/full", os.O_WRONLY) if kind == "full" else None)


def _drain(reader: int, number: int, written: dict[int, bytes]) -> None:
    with contextlib.suppress(OSError):  # a terminal that nobody holds any more
        while data := os.read(reader, 1 << 16):
            written[number] += data
    os.close(reader)
