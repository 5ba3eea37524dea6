"""A conversation to the expert's token ids.

The rendered text is tokenised whole, as everywhere else. Only where a message itself spells a control token
(`<|im_end|>` typed by a user) is that span cut out and tokenised as text, so nobody can type control tokens.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from ..errors import UsageError
from ..headers.vocabulary import CONTROL, UNKNOWN, Tokens
from .said import say
from .template import Message


class Tokenizer(Protocol):
    def tokenize(self, text: str, *, special: bool, begin: bool = False) -> list[int]: ...


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
    known = known or {}
    mark = unused([template, *(message.content for message in messages)])
    pattern = re.compile("|".join(re.escape(text) for text in control_texts(tokens)) or r"(?!)")
    typed: list[str] = []

    def hide(found: re.Match[str]) -> str:
        typed.append(found.group())
        return f"{mark}{len(typed) - 1}{mark}"

    contents = [pattern.sub(hide, message.content) for message in messages]
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
                written = typed[int(part)] if i % 2 else part
                ids.extend(tokenizer.tokenize(written, special=not i % 2, begin=with_begin and not ids))

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
        ids += known[i] if i in known else tokenizer.tokenize(message.content, special=True, begin=not ids)
    return ids


def control_texts(tokens: Tokens) -> list[str]:
    """Spellings of the tokens that llama_tokenize reads only where it is told to (special), longest first."""
    texts = (
        tokens.texts[token].decode("utf-8", "replace")
        for token in range(len(tokens))
        if tokens.type(token) in (UNKNOWN, CONTROL)
    )
    return sorted({text for text in texts if text}, key=len, reverse=True)
