"""The messages of a chat and the prompt of a completion, out of a JSON body. Each raises ApiError (400)."""

from collections.abc import Mapping
from typing import Any

from ..conversation.template import Message
from .api_error import ApiError
from .fields import Body, wrong

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
MOST_MESSAGES = 10_000


def messages_of(body: Body) -> tuple[Message, ...]:
    """The messages; neighbours of one role are left as they are, the template may refuse them."""
    given = body.get("messages")
    if not isinstance(given, list) or not given or len(given) > MOST_MESSAGES:
        raise wrong("messages", "a list with a message in it", given)
    return tuple(message_of(each, f"messages[{i}]") for i, each in enumerate(given))


def message_of(given: Any, where: str) -> Message:
    if not isinstance(given, Mapping):
        raise wrong(where, "an object with role and content", given)
    role = given.get("role")
    if role in ("tool", "function") or given.get("tool_calls") or given.get("function_call"):
        raise ApiError(400, f"{where}: tools are not supported here", param=where, code="unsupported")
    if not isinstance(role, str) or role not in ROLES:
        raise wrong(f"{where}.role", f"one of {', '.join(ROLES)}", role)
    return Message(ROLES[role], content_of(given.get("content"), f"{where}.content"))


def content_of(given: Any, where: str) -> str:
    """A text, or its parts joined."""
    if isinstance(given, list) and given:
        return "".join(part_of(part, f"{where}[{i}]") for i, part in enumerate(given))
    return readable(given, where)


def part_of(part: Any, where: str) -> str:
    if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
        raise wrong(where, "an object with a type", part)
    if part["type"] != "text":
        message = f"{where}: {part['type'][:40]} is not supported here, only text"
        raise ApiError(400, message, param=where, code="unsupported")
    return readable(part.get("text"), f"{where}.text")


def readable(given: Any, where: str) -> str:
    """A text that can be written as UTF-8: JSON can spell half of a pair of surrogates."""
    if not isinstance(given, str):
        raise wrong(where, "a text", given)
    try:
        given.encode()
    except UnicodeEncodeError:
        raise ApiError(400, f"{where} holds half a character (a lone surrogate)", param=where) from None
    return given


def prompt_text(body: Body) -> tuple[str, tuple[int, ...]]:
    """The prompt of a completion: a text, or its token ids; each may stand alone in a list."""
    given = body.get("prompt")
    if isinstance(given, list) and len(given) == 1 and isinstance(given[0], str | list):
        given = given[0]
    if isinstance(given, list) and given and all(is_id(each) for each in given):
        return "", tuple(map(int, given))
    if isinstance(given, list):
        raise wrong("prompt", "one text or one list of token ids", given)
    if given == "":
        raise wrong("prompt", "a text that is not empty", given)
    return readable(given, "prompt"), ()


def is_id(given: Any) -> bool:
    """JSON has one kind of number: 7.0 is 7."""
    return (type(given) is int or (type(given) is float and given.is_integer())) and given >= 0
