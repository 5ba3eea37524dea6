"""What Tab completes in a chat: a command, and behind it the values that it takes."""

from collections.abc import Iterable, Iterator, Sequence

from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document

from ..checks import OneOf
from ..settings import CHECKS, IN_CHAT
from ..values import MODES, choices

LENGTHS = ("auto", *map(str, range(1, 17)))
TAKES: dict[str, str | Sequence[str]] = {
    "/rule": "rules",
    "/regen": "rules",
    "/pair": "pairs",
    "/view": MODES,
    "/k": LENGTHS,
}
"""By command: a name of values.py, or the words. A setting that has a command of its own takes its own words."""
FILES = ("/save", "/load", "/export")
NONE = ("max_tokens", "stop", "seed")
"""Settings that "none" takes away."""


class ChatCompleter(Completer):
    """Completes a message that begins with a slash."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.paths = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        text = document.text_before_cursor
        if not text.startswith("/") or "\n" in text:
            return
        name, blank, rest = text.partition(" ")
        if not blank:
            yield from as_completions(choices(self.names, name), name)
        elif name in FILES:
            yield from self.paths.get_completions(Document(rest), complete_event)
        elif name == "/set":
            setting, behind, value = rest.partition(" ")
            begun = value if behind else setting
            yield from as_completions(choices(words_of(setting) if behind else IN_CHAT, begun), begun)
        else:
            yield from as_completions(choices(TAKES.get(name) or words_of(name[1:]), rest), rest)


def words_of(setting: str) -> Sequence[str]:
    """The words that a setting of a chat takes, where it takes words."""
    name = setting.replace("-", "_")
    if name not in IN_CHAT:
        return ()
    check = CHECKS[name]
    if isinstance(check, OneOf):
        return check.words
    return LENGTHS if name == "draft_tokens" else ("none",) * (name in NONE)


def as_completions(found: Iterable[tuple[str, str]], begun: str) -> Iterator[Completion]:
    for value, what in found:
        yield Completion(value, start_position=-len(begun), display_meta=what)
