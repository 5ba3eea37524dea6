"""What is typed, or pasted, while no prompt reads: it is not echoed, and becomes the draft of the next message."""

import contextlib
import os
import re
import select
import threading
import time
from collections.abc import Iterator

from ..keys import Unechoed

SETTLED = 0.05  # seconds of silence: what is being pasted has all come
LONGEST = 2.0  # seconds that are waited for it
CHUNK = 1 << 16


class Typed(Unechoed):
    """A terminal's keyboard as long as a chat lasts. Within `kept` what is typed is read; `draft` gives it away. Not
    where there is no terminal of this kind (Windows): the system keeps what is typed there."""

    def __init__(self, number: int) -> None:
        super().__init__(number, lines=False)
        self._data = bytearray()

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Read what is typed, so that none of it is lost, however much it is."""
        if not self.here:
            yield
            return
        end, over = os.pipe()
        thread = threading.Thread(target=self._read, args=(end,), name="typed", daemon=True)
        thread.start()
        try:
            yield
        finally:
            os.close(over)
            thread.join()
            os.close(end)

    def _read(self, end: int) -> None:
        """Until `end` is closed, and then until nothing more comes."""
        until = None
        while until is None or time.monotonic() < until:
            waited = [self.number] if until else [self.number, end]
            ready = select.select(waited, [], [], SETTLED if until else None)[0]
            if self.number in ready:
                data = b""
                with contextlib.suppress(OSError):
                    data = os.read(self.number, CHUNK)
                if not data:
                    return  # the terminal has gone
                self._data += data
            elif until:
                return
            if end in ready:
                until = time.monotonic() + LONGEST

    def draft(self) -> str:
        """What was typed since it was asked last."""
        data, self._data = bytes(self._data), bytearray()
        return draft_of(data.decode("utf-8", "replace"))


def draft_of(typed: str) -> str:
    """Keys as the text that they leave: a line break for Enter, edits at the end done, all others left out."""
    from prompt_toolkit.input.vt100_parser import Vt100Parser
    from prompt_toolkit.key_binding import KeyPress
    from prompt_toolkit.keys import Keys

    keys: list[KeyPress] = []
    parser = Vt100Parser(keys.append)
    parser.feed(typed)
    parser.flush()
    text = ""
    for key in keys:
        if key.key in (Keys.ControlM, Keys.ControlJ):
            text += "\n"
        elif key.key is Keys.Backspace:
            text = text[:-1]
        elif key.key is Keys.ControlU:
            text = text[: text.rfind("\n") + 1]
        elif key.key is Keys.ControlW:
            text = re.sub(r"\S*[^\S\n]*\Z", "", text)
        elif key.key in (Keys.BracketedPaste, Keys.Tab) or not isinstance(key.key, Keys):
            text += key.data
    return text.replace("\r\n", "\n").replace("\r", "\n").strip("\n")
