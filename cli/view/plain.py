"""What is written as it is: an answer, a path. Off a terminal its very bytes; to a terminal through the gate."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .safe import one_line, visible
from .terminal import is_terminal

if TYPE_CHECKING:
    from speccas.core.decoding.events import Event


def write_event(event: "Event") -> None:
    """A sink: the answer as text, as it settles; never a mark."""
    from speccas.core.decoding.events import Finished, Judged

    if isinstance(event, Judged):
        write("".join(token.text for token in event.tokens))
    elif isinstance(event, Finished):
        write(event.tail + "\n")


def write(text: str) -> None:
    """Text of an answer on stdout, at once."""
    sys.stdout.write(visible(text) if is_terminal(sys.stdout) else text)
    sys.stdout.flush()


def write_path(path: Path) -> None:
    """A line with a path on stdout, for `$(...)`: whatever bytes its name has."""
    if is_terminal(sys.stdout):
        print(one_line(str(path)))
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(os.fsencode(path) + b"\n")
