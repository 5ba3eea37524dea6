"""A conversation to the expert's token ids.

The rendered text is tokenised whole, as everywhere else. Only where a message itself spells a marker (`<|im_end|>` or
`<tool_call>` typed by a user) is that span cut out and tokenised as text, so nobody opens a turn by typing. What the
model wrote as a marker stays one: the template may look for it, to cut the reasoning of earlier answers.
"""

import codecs
import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from ..errors import UsageError
from ..headers.vocabulary import CONTROL, UNKNOWN, USER_DEFINED, Tokens
from .channels import final
from .said import say
from .template import Message

REASONING = re.compile("think|thought|reason", re.IGNORECASE)
"""What a marker around a model's reasoning is called (`<think>`, `[THINK]`, `<|START_THINKING|>`)."""


class Tokenizer(Protocol):
    def tokenize(self, text: str, *, special: bool, begin: bool = False, inside: bool = False) -> list[int]: ...


def chat_ids(
    tokenizer: Tokenizer,
    tokens: Tokens,
    template: str,
    messages: Sequence[Message],
    begin: str,
    end: str,
    known: Mapping[int, Sequence[int]] | None = None,
    think: bool | None = None,
) -> list[int]:
    """Ids of a conversation up to the assistant's turn. `think` and errors as `said.say`.

    `known` gives the ids of messages by index: answers that were generated here keep the very tokens they were written
    in, wherever the template leaves their text as it is.
    """
    finals = [final(template, message) for message in messages]
    known = {i: ids for i, ids in (known or {}).items() if finals[i] == messages[i]}
    messages = finals
    mark = unused([template, *(message.content for message in messages)])
    typed: list[str] = []
    contents = [hidden(message, known.get(i), tokens, mark, typed) for i, message in enumerate(messages)]
    dressed = [
        Message(message.role, f"{mark}<{i}{mark}{content}{mark}>{i}{mark}" if i in known else content)
        for i, (message, content) in enumerate(zip(messages, contents, strict=True))
    ]
    text = say(template, dressed, begin=begin, end=end, think=think).text
    with_begin = not (begin and text.startswith(begin))
    ids: list[int] = []
    numbers = "|".join(map(str, range(len(typed)))) or r"(?!)"  # a template may write the mark itself, with any number

    def read(stretch: str) -> None:
        """Tokenise rendered text. A template that rewrites an answer (thinking models) leaves half a pair of marks."""
        for i, part in enumerate(re.split(f"{mark}({numbers}){mark}", re.sub(f"{mark}[<>]\\d+{mark}", "", stretch))):
            if part:
                if i % 2 and with_begin and not ids:
                    ids.extend(tokenizer.tokenize("", special=False, begin=True))
                inside = bool(ids) and tokens.type(ids[-1]) not in (UNKNOWN, CONTROL, USER_DEFINED)
                if i % 2:
                    ids.extend(as_text(tokenizer, tokens, typed[int(part)], inside))
                else:
                    begins = with_begin and not ids
                    ids.extend(tokenizer.tokenize(part, special=True, begin=begins, inside=inside))

    at = 0
    for found in re.finditer(f"{mark}<(\\d{{1,9}}){mark}(.*?){mark}>\\1{mark}", text, re.DOTALL):
        read(text[at : found.start()])
        i, inner = int(found[1]), found[2]
        if i in known and inner == contents[i]:
            ids += known[i]
        else:
            read(inner)
        at = found.end()
    read(text[at:])
    return ids


def unused(texts: Sequence[str]) -> str:
    """A private-use character that stands in none of the texts, so that a prompt may hold any other."""
    seen = set().union(*texts)
    for code in range(0xE000, 0xF900):
        if chr(code) not in seen:
            return chr(code)
    raise UsageError("the prompt holds every private-use character from U+E000", "take one of them out")


def raw_ids(tokenizer: Tokenizer, messages: Sequence[Message], known: Mapping[int, Sequence[int]]) -> list[int]:
    """Ids of texts without any template; control tokens in them are read as such: nothing else could write them."""
    ids: list[int] = []
    for i, message in enumerate(messages):
        ids += (
            known[i]
            if i in known
            else tokenizer.tokenize(message.content, special=True, begin=not ids, inside=bool(ids))
        )
    return ids


def hidden(message: Message, ids: Sequence[int] | None, tokens: Tokens, mark: str, typed: list[str]) -> str:
    """A message's content with a numbered mark for each marker that was typed; its text is put into `typed`. In an
    answer those that the model wrote as tokens stay, as far as its ids are known; else those around reasoning."""
    real = None if ids is None else written(tokens, ids, message.content)

    def hide(found: re.Match[str]) -> str:
        answered = message.role == "assistant" and REASONING.search(found.group()) is not None
        if found.start() in real if real is not None else answered:
            return found.group()
        typed.append(found.group())
        return f"{mark}{len(typed) - 1}{mark}"

    return pattern_of(tokens).sub(hide, message.content)


def written(tokens: Tokens, ids: Sequence[int], content: str) -> set[int] | None:
    """Where in an answer the markers stand that are tokens of it; None where the ids say something else."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    found, text = set(), ""
    for token in ids:
        data = tokens.stands_for(token)
        text += decoder.decode(data)
        if (label := data.decode("utf-8", "replace")) in tokens.markers and tokens.markers[label] == token:
            found.add(len(text) - len(label))
    return found if (text + decoder.decode(b"", True)).startswith(content) else None


def as_text(tokenizer: Tokenizer, tokens: Tokens, text: str, inside: bool) -> list[int]:
    """Ids of the text of a marker, none of which is that marker. llama_tokenize makes user-defined tokens of their
    texts whatever it is told, but not of two halves."""
    ids = tokenizer.tokenize(text, special=False, inside=inside)
    if len(text) < 2 or not any(token in tokens.markers.values() for token in ids):
        return ids
    head = tokenizer.tokenize(text[0], special=False, inside=inside)
    return [*head, *as_text(tokenizer, tokens, text[1:], True)]


def pattern_of(tokens: Tokens) -> re.Pattern[str]:
    """Matches the text of any marker, the longest first."""
    return re.compile("|".join(map(re.escape, sorted(tokens.markers, key=len, reverse=True))) or r"(?!)")
