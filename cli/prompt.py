"""The prompt of a command: what was typed, the files that were named, and what was piped in beside them.

Whatever stdin holds is used or refused, never dropped. A pipe that says nothing (ssh without -n, a parent that never
closes it) cannot be told from a slow one, so it is waited for, said so, and refused in the end.
"""

import io
import os
import select
import sys
from codecs import BOM_UTF8
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from speccas.core.errors import UsageError

from .view.told import told

TOLD_AFTER = 3.0  # seconds of silence on stdin: the user sees a note of what is waited for
WAIT = 60.0  # seconds for the first byte, where the prompt was typed and stdin need hold nothing
MOST = 64 << 20  # bytes, more than the longest context can hold
CHUNK = 1 << 16
NOTHING = "where nothing is piped in, start it with < /dev/null (ssh: -n)"


def read_prompt(given: str | None, files: Sequence[Path] = ()) -> str:
    """The prompt: as typed, with the text of each file and piped text behind it, a blank line between them; from stdin
    alone where it is `-` (or nothing is given, and stdin is no terminal). Raises UsageError."""
    nothing = given is None and not files
    if nothing and (sys.stdin is None or sys.stdin.isatty()):
        raise UsageError("the prompt is missing", "give one in quotes, or - to read it from a pipe")
    typed = "" if given is None or given == "-" else as_text("the prompt", given)
    texts = [read_file(path) for path in files]
    if nothing or given == "-":
        piped = read_text(sys.stdin, None)
    else:
        piped = "" if sys.stdin is None or sys.stdin.isatty() else read_text(sys.stdin)
    prompt = "\n\n".join(part for part in (typed, *texts, piped) if part.strip())
    if not prompt:
        raise UsageError("the prompt is empty", "give some text")
    return prompt


def read_file(path: Path) -> str:
    """The text of a file, as a pipe would have it. Raises UsageError: it cannot be read, is too long or not UTF-8."""
    name = os.fsencode(path).decode("utf-8", "replace")
    hint = "piped text is read without a flag" if name == "-" else "check the path"
    try:
        with path.open("rb") as file:
            data = file.read(MOST + 1)
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {(error.strerror or str(error)).lower()}", hint) from None
    except ValueError:  # a zero byte in its name
        raise UsageError(f"{name!r} is no name of a file", hint) from None
    if len(data) > MOST:
        raise UsageError(f"{name} holds more than {MOST >> 20} MiB: too long for any context", "give it less text")
    return one_text(name, data)


def read_text(stream: TextIO | None, wait: float | None = WAIT, told_after: float = TOLD_AFTER) -> str:
    """All that stdin holds, without its last line break and a byte order mark. `wait`: seconds for the first byte, None
    without end. Raises UsageError: nothing came, too much did, it cannot be read or is not UTF-8."""
    if stream is None:
        return ""
    try:
        data = _read(stream, wait, told_after)
    except OSError as error:
        raise UsageError(f"stdin cannot be read: {error.strerror or error}", NOTHING) from None
    if len(data) > MOST:
        raise UsageError(f"stdin holds more than {MOST >> 20} MiB: too long for any context", "give it less text")
    return one_text("the text on stdin", data)


def one_text(what: str, data: bytes) -> str:
    """Bytes as a text, without its last line break and a byte order mark. Raises UsageError."""
    return utf_8(what, data.removeprefix(BOM_UTF8)).removesuffix("\n").removesuffix("\r")


def as_text(what: str, typed: str) -> str:
    """What was typed, where a shell may have given bytes that are no text. Raises UsageError."""
    return utf_8(what, typed.encode("utf-8", "surrogateescape"))


def utf_8(what: str, data: bytes) -> str:
    """The text of these bytes. Raises UsageError with the first byte that is none."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        raise UsageError(
            f"{what} is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}",
            f"convert it first, for example with iconv {'-f utf-16 ' if wide else ''}-t utf-8",
        ) from None


def _read(stream: TextIO, wait: float | None, told_after: float) -> bytes:
    """Up to MOST bytes and one."""
    try:
        number = stream.fileno()
    except (io.UnsupportedOperation, AttributeError, ValueError):  # a stream of Python's own
        return stream.buffer.read(MOST + 1)
    if wait is not None:
        _wait(number, wait, told_after)
    found = bytearray()
    while len(found) <= MOST:
        try:
            chunk = os.read(number, CHUNK)
        except BlockingIOError:  # its other end was made not to block
            _ready(number, None)
            continue
        if not chunk:
            break
        found += chunk
    return bytes(found)


def _wait(number: int, wait: float, told_after: float) -> None:
    """Until there is something to read, or the end. Raises UsageError after `wait` seconds."""
    if os.name == "nt" or _ready(number, min(told_after, wait)):
        return  # Windows can wait for sockets only
    sys.stderr.write(told(f"note: waiting for text on stdin; {NOTHING}", sys.stderr) + "\n")
    sys.stderr.flush()
    if not _ready(number, max(0.0, wait - told_after)):
        raise UsageError(f"nothing came on stdin in {wait:g} seconds, and nobody closed it", NOTHING)


def _ready(number: int, seconds: float | None) -> bool:
    return bool(select.select([number], [], [], seconds)[0])
