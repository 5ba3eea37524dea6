"""--trace: a file that is written while a run goes on. The format is core/record/trace.py's."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from speccas.core.errors import UsageError
from speccas.core.record.trace import TraceWriter
from speccas.core.runtime.pair import Pair

from .play import manifest_of
from .settings import Settings


@contextlib.contextmanager
def recording(path: Path | None, pair: Pair, settings: Settings, prompt: str) -> Iterator[TraceWriter | None]:
    """A trace writer for the file, readable by its owner alone; None where no file was named. Raises UsageError."""
    if path is None:
        yield None
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise UsageError(
            f"cannot write the trace {path}: {error.strerror}", "give a file in a directory of yours"
        ) from None
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
        yield TraceWriter(file, manifest_of(pair, settings).as_json(), prompt)
