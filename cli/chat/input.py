"""Reading a message: line editing, history, several lines, an editor, completion. All of it is prompt_toolkit's."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.history import FileHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import DummyOutput, Output, create_output

from ..view.terminal import is_terminal
from .complete import ChatCompleter

FENCE = '"""'


class Leave(Exception):
    """Ctrl-D on an empty line."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def unfinished(text: str) -> bool:
    """Whether a message opened with three quotes is still open."""
    return text.lstrip().startswith(FENCE) and (text.count(FENCE) < 2 or not text.rstrip().endswith(FENCE))


def unquoted(text: str) -> str:
    """A fenced message without its fence."""
    stripped = text.strip()
    if stripped.startswith(FENCE) and stripped.endswith(FENCE) and len(stripped) >= 2 * len(FENCE):
        return stripped[len(FENCE) : -len(FENCE)].strip("\n")
    return text


def screen() -> Output:
    """Where the prompt is drawn: on the stream that is a terminal, never into a file."""
    terminal = any(map(is_terminal, (sys.stdout, sys.stderr)))
    return create_output(always_prefer_tty=True) if terminal else DummyOutput()


class Input:
    """Call it for the next message, as typed. Enter sends; Alt-Enter, a paste and three quotes make lines; Ctrl-G opens
    $EDITOR. Raises Leave and KeyboardInterrupt. `echo` tells whether a signal is but the echo of an earlier one."""

    def __init__(self, commands: Sequence[str], history: Path, echo: Callable[[], bool]) -> None:
        keys = KeyBindings()

        @keys.add("<sigint>")
        def _(event: KeyPressEvent) -> None:
            if not echo():
                event.app.exit(exception=KeyboardInterrupt)

        @keys.add("enter")
        def _(event: KeyPressEvent) -> None:
            buffer: Buffer = event.current_buffer
            if unfinished(buffer.text):
                buffer.insert_text("\n")
            else:
                buffer.validate_and_handle()

        @keys.add("escape", "enter")
        def _(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text("\n")

        @keys.add("c-x", "c-e")
        @keys.add("c-g")
        def _(event: KeyPressEvent) -> None:
            event.current_buffer.open_in_editor()

        os.close(os.open(history, os.O_CREAT | os.O_WRONLY, 0o600))
        self.session: PromptSession[str] = PromptSession(
            history=FileHistory(str(history)),
            multiline=True,
            key_bindings=keys,
            completer=ChatCompleter(commands),
            complete_while_typing=False,
            prompt_continuation="",
            output=screen(),
        )

    def __call__(self) -> str:
        try:
            return self.session.prompt("> ")
        except EOFError:
            raise Leave(0) from None
