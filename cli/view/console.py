"""Rich's console on one of our two streams: what may be written there is terminal.py's to say, not Rich's."""

import os
import sys
from typing import Any

from rich.console import Console, ConsoleDimensions
from rich.text import Text

from .terminal import size, surface
from .told import told


class StreamConsole(Console):
    """A console that never interprets what it is given (no markup, no emoji codes, no guessed highlights), and believes
    its stream, not the environment, about what it is (terminal.py). `is_interactive`: whether it may be redrawn."""

    def __init__(self, *, stderr: bool = False, width: int | None = None) -> None:
        stream = sys.stderr if stderr else sys.stdout
        can = surface(stream)
        super().__init__(
            file=stream,
            markup=False,
            emoji=False,
            highlight=False,
            width=width or 1,  # any number keeps Rich from reading COLUMNS and LINES; `size` says what holds
            height=1,
            force_terminal=can.terminal,
            force_interactive=can.redraws,
            force_jupyter=False,
            color_system="auto" if os.name == "nt" and can.redraws and can.colours else can.colours,
            no_color=False,  # the colours are None where it is set
        )
        self._fixed = width

    def print(self, *objects: Any, **options: Any) -> None:
        """As Rich's; what is to stay one line (`soft_wrap`) is broken between words on a terminal."""
        if options.get("soft_wrap") and self.is_terminal:
            objects = tuple(map(self._broken, objects))
        super().print(*objects, **options)

    def _broken(self, text: Any) -> Any:
        if isinstance(text, str):
            return told(text, self.file)
        if isinstance(text, Text) and not text.spans:
            return Text(told(text.plain, self.file), style=text.style)
        return text

    @property
    def size(self) -> ConsoleDimensions:
        """Of the stream as it is now."""
        columns, lines = size(self.file)
        return ConsoleDimensions(self._fixed or columns, lines)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._fixed = new_size[0]
