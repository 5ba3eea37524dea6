"""What is said beside an answer, an error, a hint, a note: on a terminal broken between words, never within one;
elsewhere a line stays a line. Imports nothing heavy.
"""

import textwrap
from typing import IO

from .terminal import is_terminal, size


def told(text: str, stream: IO[str]) -> str:
    """A text of ours as it is written on a stream; a word that is longer than a line stays whole, to be copied."""
    if not is_terminal(stream):
        return text
    lines = [
        textwrap.fill(line, size(stream)[0], break_long_words=False, break_on_hyphens=False)
        for line in text.split("\n")
    ]
    return "\n".join(lines)
