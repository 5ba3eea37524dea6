"""Everything that is said reaches the model, or it is refused: a conversation is given to a chat template in the form
that it takes, and what it made of it is searched for every message.

Templates differ in what a message is (a text, or a list of typed parts) and in whether there is a place for a system
message. The first form that loses nothing is taken: as it is, in parts, then with the system message at the head of
the first user message. Two things are asked of a rendering: that each text stands in it, and that marks put around
each text do, since a short text may stand in the template itself. Reasoning may be cut from earlier answers.
"""

import html
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from typing import Any

from ..errors import NoThinking, NotSaid
from .template import BROKEN, Made, Message, Refusal, confined, output_limit, prepared

ROLES = ("user", "system", "assistant")
SWITCHES = ("/no_think", "/think", "/system_override")
"""Words in a message that templates take out, because they obey them (SmolLM3, Nemotron)."""
CUT = re.compile(r"</[^<>\n]{1,40}>|<\|[^<>|\n]{1,40}\|>|\[/[A-Z_]{2,20}\]|◁/[a-z_]{2,20}▷|<answer>")
"""Where the reasoning of an answer may end; templates keep what stands behind it."""
WHOLE, FOLDED, LOST, SAME = "tfln"
MARKS = range(0xF0000, 0x10FFFE)
"""Characters that hardly anybody types, and that Python escapes where a template prints a list of parts as it is."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """A conversation as a template renders it; `folded`: the system message is part of the first user message."""

    text: str
    folded: bool


@dataclass(frozen=True, slots=True)
class Form:
    """How a conversation is given to a template: the roles whose content is a list of parts, and where the system
    message stands."""

    parts: tuple[str, ...]
    folded: bool

    def of(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        """The messages as the template sees them."""
        if self.folded:
            system, user, *rest = messages
            messages = [Message("user", f"{system.content}\n\n{user.content}"), *rest]
        return [
            {"role": m.role, "content": [{"type": "text", "text": m.content}] if m.role in self.parts else m.content}
            for m in messages
        ]


def say(template: str, messages: Sequence[Message], *, begin: str, end: str, think: bool | None = None) -> Spoken:
    """A conversation as text, up to where the assistant's turn begins, with every message in it.

    Of earlier answers the reasoning may be missing, which templates cut out. Raises NotSaid where the template leaves
    a message out, NoThinking where `think` is given and changes nothing, and every error of `template.render`.
    """
    limit = output_limit(messages)
    found = confined(lambda: _first(prepared(template, begin, end, limit), messages, think), limit + 1)
    kind, text = found[:1], found[1:]
    if kind == LOST:
        raise NotSaid(f"the model's chat template leaves out {text}")
    if kind == SAME:
        raise NoThinking("the model's chat template has no switch for thinking")
    return Spoken(text, kind == FOLDED)


def _first(made: Made, messages: Sequence[Message], think: bool | None) -> str:
    """In the child: the text in the first form that loses nothing, behind a letter that says what it is; with LOST it
    is what the plain form leaves out. Raises what the plain form raises."""
    failure: Exception | str = ""
    for form in forms(messages):
        try:
            text = made(form.of(messages), think, True)
        except (Refusal, *BROKEN) as error:
            failure = failure or error
            continue
        lost = missing(messages, text) or _unmarked(made, form, messages, think)
        if not lost:
            if think is not None and made(form.of(messages), not think, True) == text:
                return SAME
            return (FOLDED if form.folded else WHOLE) + text
        failure = failure or lost
    if isinstance(failure, Exception):
        raise failure
    return LOST + failure


def forms(messages: Sequence[Message]) -> Iterator[Form]:
    """The plain form first, then parts for all, for the user, and so on; then the same with a folded system message."""
    roles = [role for role in ROLES if any(message.role == role for message in messages)]
    sets = [chosen for count in range(len(roles) + 1) for chosen in combinations(roles, count)]
    sets.sort(key=lambda chosen: (bool(chosen), -len(chosen)))
    for folded in (False, True):
        if not folded or [message.role for message in messages[:2]] == ["system", "user"]:
            yield from (Form(chosen, folded) for chosen in sets if not (folded and "system" in chosen))


def missing(messages: Sequence[Message], text: str) -> str:
    """What does not stand in the text, "" where everything does. Templates may change the white space of a message,
    escape it, and take their own switches out of it. Answers they may rewrite: `_unmarked` sees whether they are there
    at all."""
    said = (i for i, message in enumerate(messages) if message.role != "assistant")
    return next((name(messages, i) for i in said if not holds(text, messages[i].content.strip())), "")


def holds(text: str, content: str) -> bool:
    """Whether the text has this in it, as it is or escaped, with or without its switches, whatever its white space."""
    if content in text:
        return True
    obeyed = content
    for switch in SWITCHES:
        obeyed = obeyed.replace(switch, "")
    forms = (json.dumps(content, ensure_ascii=False)[1:-1], html.escape(content), obeyed.strip())
    return any(form in text for form in forms) or " ".join(obeyed.split()) in " ".join(text.split())


def _unmarked(made: Made, form: Form, messages: Sequence[Message], think: bool | None) -> str:
    """What does not stand in the rendering of the same conversation with marks around each text (of an answer: around
    what is behind its reasoning); "" too where marks are more than the template can take."""
    typed = set().union(*(message.content for message in messages))
    head, tail = islice((chr(code) for code in MARKS if chr(code) not in typed), 2)
    ends = [(f"{head}{i}{head}", f"{tail}{i}{tail}") for i in range(len(messages))]
    around = []
    for each, (before, behind) in zip(messages, ends, strict=True):
        answer = next((piece for piece in reversed(CUT.split(each.content)) if piece.strip()), "")
        around.append(Message(each.role, before + (answer if each.role == "assistant" else each.content) + behind))
    try:
        text = made(form.of(around), think, True)
    except (Refusal, *BROKEN):
        return ""
    return next((name(messages, i) for i, pair in enumerate(ends) if not all(end in text for end in pair)), "")


def name(messages: Sequence[Message], index: int) -> str:
    """A message in words."""
    if messages[index].role == "system":
        return "the system message"
    earlier = "an earlier " if index < len(messages) - 1 else "the "
    return earlier + ("answer" if messages[index].role == "assistant" else "message")
