"""stdout and stderr as every command finds them, whatever was closed, is full, or speaks another encoding.

Off a terminal both are UTF-8, whatever the locale says: no letter of an answer, a table or a document is lost. A
terminal keeps its own encoding, and a letter that it lacks is spelled. Imports nothing heavy.
"""

import codecs
import contextlib
import errno
import io
import os
import sys
from typing import Any, TextIO

SPELLED = "speccas.spelled"
LIKE = {"─": "-", "·": "-", "‹": "<", "›": ">", "…": "...", "“": '"', "”": '"'}
"""What our own marks look like where there is only ASCII."""


class StdoutFailed(Exception):
    """What was to be written on stdout did not get there. No OSError: nothing on the way may take it for another."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error.strerror)
        self.number = error.errno
        self.reason = "it is closed" if error.errno == errno.EBADF else str(error.strerror or error)

    @property
    def left(self) -> bool:
        """Whether the reader has left: a quiet end."""
        return self.number == errno.EPIPE


class StdoutBytes(io.FileIO):
    """Says by an exception of its own that stdout failed."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise StdoutFailed(error) from None


class StderrBytes(io.FileIO):
    """Goes on where stderr fails: an answer and an exit code are worth more than what is said beside them."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def spelled(error: UnicodeError) -> tuple[str, int]:
    """An error handler of codecs: a look-alike in ASCII, or the letter's number as Python and JSON write it."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(LIKE.get(each) or ascii(each)[1:-1] for each in letters), error.end


def open_streams() -> None:
    """Replace sys.stdout and sys.stderr; call it before anything is written."""
    _fill_closed()
    codecs.register_error(SPELLED, spelled)
    before = sys.stdout, sys.stderr
    sys.stdout = _text(StdoutBytes(1, "w", closefd=False), before[0])
    sys.stderr = _text(StderrBytes(2, "w", closefd=False), before[1], always=True)


def drop_stdout() -> None:
    """Let what is still held back for a stdout that failed go nowhere, so that the interpreter ends quietly."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    with contextlib.suppress(StdoutFailed):
        sys.stdout.flush()


def _fill_closed() -> None:
    """A stream that the caller closed gets its number back, else the next file we open would have it: stdin is empty,
    stdout can still not be written to, stderr goes nowhere."""
    for number, mode in enumerate((os.O_RDWR, os.O_RDONLY, os.O_RDWR)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)


def _text(raw: io.FileIO, before: TextIO | None, always: bool = False) -> TextIO:
    """`always`: written line by line off a terminal too."""
    terminal = raw.isatty()
    encoding = before.encoding if terminal and before is not None else "utf-8"
    lines = terminal or always or (isinstance(before, io.TextIOWrapper) and before.write_through)  # python -u
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, SPELLED, line_buffering=lines)
