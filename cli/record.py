"""--trace: a file that is written while a run goes on. The format is core/record/trace.py's."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from speccas.core.record.trace import TraceWriter
from speccas.core.runtime.pair import Pair

from .outputs import open_new
from .play import manifest_of
from .settings import Settings


@contextlib.contextmanager
def recording(
    path: Path | None, force: bool, pair: Pair, settings: Settings, prompt: str
) -> Iterator[TraceWriter | None]:
    """A trace writer for the file, readable by its owner alone; None where no file was named. `force`: over one that
    exists. Raises UsageError."""
    if path is None:
        yield None
        return
    with os.fdopen(open_new(path, force), "w", encoding="utf-8", errors="replace") as file:
        yield TraceWriter(file, manifest_of(pair, settings).as_json(), prompt)
