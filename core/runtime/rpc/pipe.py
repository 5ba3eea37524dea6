"""How the process of a remote expert and its parent talk: frames of JSON through a pipe, and rows of numbers through
memory that both have mapped, so that a distribution is copied once and never written as text.
"""

import json
import mmap
import os
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ...decoding.sampling import Floats

LENGTH = 4  # bytes before a frame: how long it is
SHARED = Path("/dev/shm")
FLOAT = 4  # bytes

Message = Mapping[str, Any]


def send(pipe: int, message: Message) -> None:
    """Raises OSError where nobody reads any more."""
    data = json.dumps(message).encode()
    left = memoryview(len(data).to_bytes(LENGTH, "little") + data)
    while left:
        left = left[os.write(pipe, left) :]


def receive(pipe: int) -> dict[str, Any]:
    """Raises EOFError where nobody writes any more."""
    size = int.from_bytes(_exactly(pipe, LENGTH), "little")
    found: dict[str, Any] = json.loads(_exactly(pipe, size))
    return found


def _exactly(pipe: int, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        more = os.read(pipe, size - len(data))
        if not more:
            raise EOFError("the other end is closed")
        data += more
    return bytes(data)


class SharedMemory:
    """Bytes that two processes have mapped. Whoever makes it gives its path to the other one, which takes its name away
    at once where the system allows that: nothing is left of it when both have ended, however they do."""

    def __init__(self, path: str = "", size: int = 0) -> None:
        """Make so many bytes, or open what is at `path`."""
        if path:
            with Path(path).open("r+b") as file:
                self.memory = mmap.mmap(file.fileno(), 0)
            self.path = path
            self.unlink()
            return
        folder = SHARED if os.access(SHARED, os.W_OK) else None  # what is on a disk would be written there now and then
        number, self.path = tempfile.mkstemp(prefix="speccas-", dir=folder)
        try:
            os.ftruncate(number, size)
            self.memory = mmap.mmap(number, size)
        except BaseException:
            self.unlink()
            raise
        finally:
            os.close(number)

    def rows(self, width: int) -> Floats:
        """All of it as rows of so many numbers."""
        found: Floats = np.frombuffer(self.memory, dtype=np.float32).reshape(-1, width)
        return found

    def unlink(self) -> None:
        """Take its name away; where a file that is open cannot be removed, that is tried again at the end."""
        with suppress(OSError):
            Path(self.path).unlink()

    def close(self) -> None:
        """Its name and, unless somebody still looks at it, its memory."""
        self.unlink()
        with suppress(BufferError):
            self.memory.close()


def polled() -> bool:
    """Whether one can wait for a pipe only for a while; on Windows one can not."""
    return sys.platform != "win32"
