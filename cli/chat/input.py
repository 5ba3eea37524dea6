"""Reading a message: line editing, history, several lines, an editor, completion. All of it is prompt_toolkit's."""

import os
import select
import sys
from collections.abc import Callable, Sequence

from prompt_toolkit import PromptSession
from prompt_toolkit.application import create_app_session, run_in_terminal
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.filters import is_searching
from prompt_toolkit.history import History
from prompt_toolkit.key_binding import KeyBindings, KeyPress, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.output import DummyOutput, Output, create_output
from prompt_toolkit.output.plain_text import PlainTextOutput

from ..screen import stop_group
from ..view.terminal import DUMB, is_terminal, term
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
        return stripped[len(FENCE) : -len(FENCE)].removeprefix("\n").removesuffix("\n")
    return text


def fenced(text: str, commands: Sequence[str]) -> str:
    """A text that is to be sent as it is, as one would type it: in three quotes where it would be taken for a command,
    or lose quotes of its own."""
    begin = text.lstrip()
    command = begin.startswith("/") and "\n" not in begin.strip() and begin.split()[0] in commands
    return f"{FENCE}\n{text}\n{FENCE}" if begin.startswith((FENCE, "/")) and not command else text


def screen() -> Output | None:
    """Where the prompt is drawn: on the stream that is a terminal, never into a file. None: as prompt_toolkit does it
    on a terminal that obeys no codes."""
    if not any(map(is_terminal, (sys.stdout, sys.stderr))):
        return DummyOutput()
    return None if is_terminal(sys.stdout) and is_dumb() else create_output(always_prefer_tty=True)


def is_dumb() -> bool:
    return os.name != "nt" and term(os.environ) in DUMB


class Input:
    """Call it for the next message, as typed. Enter sends; Alt-Enter, a paste and three quotes make lines; Ctrl-G opens
    $EDITOR; Ctrl-Z stops the process. Raises Leave and KeyboardInterrupt. `echo` tells whether a signal is but the echo
    of an earlier one.

    What is pasted is sent as it is: its three quotes open nothing, and several lines are no command. In a terminal that
    does not tell a paste from keys, a line break with more behind it that is there already sends nothing.
    """

    def __init__(self, commands: Sequence[str], history: History, echo: Callable[[], bool]) -> None:
        if is_dumb():
            os.environ["TERM"] = "dumb"  # as we take a terminal that says nothing of itself
        self.commands = commands
        self._whole = False  # what stands there was pasted, so that Enter sends it
        drawn = None if screen() is not None else PlainTextOutput(sys.stdout)
        with create_app_session(output=drawn):
            self.session: PromptSession[str] = PromptSession(
                history=history,
                multiline=True,
                key_bindings=self._keys(echo),
                completer=ChatCompleter(commands),
                complete_while_typing=False,
                prompt_continuation="",
                enable_suspend=False,  # Ctrl-Z is ours
                output=screen(),
            )
        self.session.app.renderer.cpr_not_supported_callback = None  # a terminal that does not tell is no news
        self.session.default_buffer.on_text_changed += self._changed

    def _changed(self, buffer: Buffer) -> None:
        self._whole = self._whole and buffer.text != ""

    def _keys(self, echo: Callable[[], bool]) -> KeyBindings:
        keys = KeyBindings()

        @keys.add("<sigint>")
        def _(event: KeyPressEvent) -> None:
            if not echo():
                event.app.exit(exception=KeyboardInterrupt)

        @keys.add("enter", filter=~is_searching)
        def _(event: KeyPressEvent) -> None:
            self._enter(event)

        @keys.add("escape", "enter", filter=~is_searching)
        def _(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text("\n")

        @keys.add(Keys.BracketedPaste, filter=~is_searching)
        def _(event: KeyPressEvent) -> None:
            self._whole = self._whole or not unfinished(event.current_buffer.text)
            event.current_buffer.insert_text(event.data.replace("\r\n", "\n").replace("\r", "\n"))

        @keys.add("c-z")
        def _(event: KeyPressEvent) -> None:
            run_in_terminal(stop_group)

        @keys.add("c-x", "c-e", filter=~is_searching)
        @keys.add("c-g", filter=~is_searching)
        def _(event: KeyPressEvent) -> None:
            event.current_buffer.open_in_editor()

        return keys

    def _enter(self, event: KeyPressEvent) -> None:
        buffer: Buffer = event.current_buffer
        if (not self._whole and unfinished(buffer.text)) or self._more(event):
            buffer.insert_text("\n")
        elif self._whole and (text := fenced(buffer.text, self.commands)) != buffer.text:
            buffer.history.append_string(text)  # as it would have to be typed
            event.app.exit(result=text)
        else:
            buffer.validate_and_handle()

    def _more(self, event: KeyPressEvent) -> bool:
        """Whether text came together with this key: nobody types so fast."""
        keyboard = self.session.input
        if os.name != "nt" and select.select([keyboard.fileno()], [], [], 0)[0]:
            event.key_processor.feed_multiple(keyboard.read_keys())
        keys = (key for key in event.key_processor.input_queue if key.key is not Keys.CPRResponse)
        return is_text(next(keys, None))

    def __call__(self, draft: str = "") -> str:
        """`draft`: what stands there already, to be edited or sent."""
        self._whole = "\n" in draft
        drawn = screen() is not None  # a dumb terminal is not told what stands there already
        try:
            text = self.session.prompt("> " if drawn else f"> {draft}", default=draft)
        except EOFError:
            raise Leave(0) from None
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def is_text(key: KeyPress | None) -> bool:
    """Whether a key writes something; Enter does."""
    return key is not None and (not isinstance(key.key, Keys) or key.key in (Keys.ControlM, Keys.ControlJ, Keys.Tab))
