"""The process of a remote expert, as its parent has it: started, asked, and ended."""

import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ... import errors
from ...errors import SpeccasError, Stopped
from ..stop import StopFlag
from .pipe import Message, SharedMemory, polled, receive, send

TICK = 0.05  # seconds between two looks at the stop flag
PATIENCE = 10.0  # seconds that a decode on a worker has to end in, once it was asked to stop
WORDS = 400  # characters of what it said last


class ProcessEnded(Exception):
    """The process is gone; what it said last."""


class ExpertProcess:
    """One child process. `stop` is the parent's flag; the child hears of it through shared memory, and its caches tell
    what they hold."""

    def __init__(self, stop: StopFlag) -> None:
        self.stop = stop
        self._flag = SharedMemory(size=2)
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-m", "speccas.core.runtime.rpc.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            env={**os.environ, "GGML_NO_BACKTRACE": "1"},
            start_new_session=True,  # a terminal's signals are the parent's
        )
        assert self._child.stdin is not None and self._child.stdout is not None
        self._in, self._out = self._child.stdin.fileno(), self._child.stdout.fileno()

    @property
    def process(self) -> int:
        """Its number."""
        return self._child.pid

    @property
    def flag(self) -> str:
        """Where the child finds the stop flag."""
        return self._flag.path

    @property
    def ended(self) -> bool:
        """Whether it is gone."""
        return self._child.poll() is not None

    def ask(self, message: Message, on_load: Callable[[float], None] | None = None) -> dict[str, Any]:
        """Its answer; `on_load` hears what it says before. Raises what the child did, with `length` and `evaluated`
        among the facts; Stopped where it did not stop in time, and ProcessEnded: the process is gone then."""
        try:
            self._tell_stop()
            send(self._in, message)
            while True:
                self._wait()
                found = receive(self._out)
                if "loaded" not in found:
                    break
                if on_load is not None:
                    on_load(float(found["loaded"]))
        except (OSError, EOFError):
            raise ProcessEnded(self.close()) from None
        except KeyboardInterrupt:  # its answer would be taken for that to the next request
            self.close()
            raise
        self._flag.unlink()
        if found["error"] is not None:
            raise _raised(found)
        return found

    def _tell_stop(self) -> None:
        self._flag.memory[0:2] = b"1\0" if self.stop else b"0\0"

    def _wait(self) -> None:
        """Until it says something. A worker hears of no stop, so what it computes is waited for, but not for ever."""
        if not polled():
            return
        until: float | None = None
        while not select.select([self._out], [], [], TICK)[0]:
            if self.stop and until is None:
                self._tell_stop()
                until = time.monotonic() + PATIENCE
            if until is not None and time.monotonic() > until:
                self.close()
                raise Stopped("stopped; the worker did not answer any more")

    def close(self) -> str:
        """End it, and say what it said last."""
        with suppress(OSError):
            self._child.kill()
        for pipe in (self._child.stdin, self._child.stdout):
            with suppress(OSError, AttributeError):
                pipe.close()  # type: ignore[union-attr]
        self._child.wait()
        self._flag.close()
        words = ""
        if not self._words.closed:
            self._words.seek(0)
            words = self._words.read().decode("utf-8", "replace").strip()
            self._words.close()
        return " ".join(words[-WORDS:].split())


def _raised(answer: Message) -> SpeccasError:
    """The error that the child met, as the same one here."""
    name, message, hint = answer["error"]
    kind = getattr(errors, name)
    made: SpeccasError = kind(message, hint, length=answer["length"], evaluated=answer["evaluated"])
    return made
