"""The stages of a long command as they go: a bar on a terminal, a line a stage elsewhere."""

import time
from types import TracebackType

from rich.console import Console
from rich.text import Text

from .progress import Waiting
from .safe import one_line


class Stages:
    """Tells what is being done. `quiet`: nothing."""

    def __init__(self, console: Console, quiet: bool) -> None:
        self.console = console
        self.quiet = quiet
        self._waiting = Waiting(console)
        self._stage = ""
        self._began = time.monotonic()

    def __enter__(self) -> "Stages":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._waiting.close()

    def tell(self, stage: str, share: float) -> None:
        if self.quiet:
            return
        if stage != self._stage:
            self._stage = stage
            self._waiting.close()
            if not self.console.is_interactive:
                self.say(stage)
        self._waiting.tell(stage, share)

    def say(self, line: str) -> None:
        """A line with the seconds so far, above the bar."""
        if not self.quiet:
            spent = time.monotonic() - self._began
            self.console.print(Text(f"{spent:5.0f} s  {one_line(line)}"), soft_wrap=True)
