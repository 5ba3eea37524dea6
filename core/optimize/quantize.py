"""A file of one tensor type, made by llama.cpp's quantiser in a child process, whole or not at all."""

import contextlib
import errno
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, NoReturn

from ..errors import DiskFull, IntegrityError, NativeError, Stopped, UsageError
from ..headers.gguf import read_header
from ..runtime.stop import StopFlag
from .candidates import FileCandidate, against, quantised_bytes, require_whole

CHILD = (sys.executable, "-P", "-m", "speccas.core.runtime.quantizer")
TICK = 0.1  # seconds between two looks at the stop flag
SPARE = 1.02  # of the estimate: the file system's own blocks
MOST_WORDS = 400  # characters of llama.cpp's words in an error
PREFIX = "llama_model_quantize: failed to quantize: "
DAMAGED = ("has invalid data", "is not within the file bounds", "corrupted")
"""Words of llama.cpp's about a file that is damaged behind its header."""

Tell = Callable[[int, int], None]
"""Hears how many tensors are begun, and of how many."""


def quantize(source: Path, target: Path, candidate: FileCandidate, *, threads: int, tell: Tell, stop: StopFlag) -> None:
    """Make `source` into `target`. Tensors of the wanted type already are copied. `target` appears when it is whole;
    whatever happens, nothing unfinished stays behind.

    Raises UsageError (no such file, one of several parts, cannot be that type, the folder cannot be written),
    CannotPair (a mixture of experts), IntegrityError (damaged), DiskFull, NativeError (llama.cpp's own words) and
    Stopped.
    """
    header = read_header(source)
    require_whole(header)
    for reason in against(header, candidate):
        raise UsageError(f"{source.name} is not made into {candidate.name}: {reason}")
    need = int(quantised_bytes(header, candidate) * SPARE)
    require_disk(target.parent, need, target.name)
    part = target.with_name(f"{target.name}.{os.urandom(4).hex()}.part")
    words = (str(source), str(part), str(candidate.ftype), str(candidate.type), str(threads))
    try:
        part.open("xb").close()
        code, said = _run((*CHILD, *words), tell, stop)
        if code:
            _failed(source, target, need, code, said)
        read_header(part)
        _settle(part, target)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskFull(f"the disk became full while {target.name} was made", "free some space on it") from None
        raise UsageError(f"cannot write {target}: {error.strerror}", "choose a folder that you can write to") from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def require_disk(folder: Path, need: int, what: str) -> None:
    """Raises DiskFull where `need` bytes have no room in a folder (or in the nearest that is there), and UsageError
    where it cannot be asked."""
    there = next((each for each in (folder, *folder.parents) if each.is_dir()), folder)
    try:
        free = shutil.disk_usage(there).free
    except OSError as error:
        raise UsageError(f"{there}: {error.strerror}") from None
    if free < need:
        raise DiskFull(
            f"{what} needs {need / 1e9:.2f} GB in {folder}, and {free / 1e9:.2f} GB are free",
            "free some space on that disk",
        )


def _run(command: Sequence[str], tell: Tell, stop: StopFlag) -> tuple[int, str]:
    """The exit code of the child and what it wrote on stderr. It is killed on any way out, and sees by its stdin where
    this process is. Raises Stopped."""
    environment = {**os.environ, "GGML_NO_BACKTRACE": "1"}  # a debugger would be started beside a crash
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=said, env=environment) as child,
    ):
        try:
            assert child.stdout is not None
            lines: queue.Queue[bytes] = queue.Queue()
            reader = threading.Thread(target=_read, args=(child.stdout, lines), daemon=True)
            reader.start()
            while line := _next(lines, stop):
                done, _, total = line.partition(b" ")
                tell(int(done), int(total))
            code = child.wait()
        finally:
            child.kill()  # where it has ended, nothing happens
            reader.join()  # else its pipe would be closed under it
        said.seek(0)
        return code, " ".join(said.read().decode("utf-8", "replace").split())


def _read(pipe: IO[bytes], lines: "queue.Queue[bytes]") -> None:
    for line in pipe:
        lines.put(line)
    lines.put(b"")


def _next(lines: "queue.Queue[bytes]", stop: StopFlag) -> bytes:
    """The next line, empty at the end."""
    while not stop:
        with contextlib.suppress(queue.Empty):
            return lines.get(timeout=TICK)
    raise Stopped("stopped while a file was made")


def _failed(source: Path, target: Path, need: int, code: int, said: str) -> NoReturn:
    """Raise what a child's end means."""
    words = said.replace(PREFIX, "")[-MOST_WORDS:]
    if any(each in said for each in DAMAGED):
        raise IntegrityError(f"{source} is damaged: {words}", "get it again")
    if "iostream" in said:  # all that C++ says of a write that failed
        require_disk(target.parent, need, target.name)
        raise DiskFull(f"{target.name} could not be written: most likely the disk was full", "free some space on it")
    if code < 0:
        name = signal.Signals(-code).name
        why = "most likely for lack of memory" if name == "SIGKILL" else words or "without a word"
        raise NativeError(f"llama.cpp's quantiser ended with {name} on {source.name}: {why}")
    raise NativeError(f"llama.cpp cannot quantise {source.name}: {words or 'no reason given'}")


def _settle(part: Path, target: Path) -> None:
    """Onto the disk, and into place."""
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    part.replace(target)
