"""What a value of a setting may be. A check takes the name, for messages, and the value as it was written."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from speccas.core.errors import UsageError
from speccas.core.files.workers import addresses


def scalar(name: str, value: Any) -> Any:
    """The value itself, unless it is a list or a table: a few lines of YAML can write one too long to print."""
    if isinstance(value, dict | list | tuple | set):
        raise UsageError(f"{name} is not a single value", "write it on one line, or quoted")
    return value


def whole(low: int, high: int | None = None, other: str = "") -> Callable[[str, Any], int]:
    def check(name: str, value: Any) -> int:
        try:
            number = int(str(scalar(name, value)))
        except ValueError:
            number = low - 1
        if number < low or (high is not None and number > high):
            span = f"from {low}" if high is None else f"{low} to {high}"
            raise UsageError(f"{name} {value!r} is out of range", f"give a whole number {span}{other}")
        return number

    return check


def real(low: float, high: float, open_low: bool = False) -> Callable[[str, Any], float]:
    def check(name: str, value: Any) -> float:
        try:
            number = float(scalar(name, value))
        except (TypeError, ValueError):
            number = float("nan")
        if not low <= number <= high or (open_low and number == low):
            raise UsageError(
                f"{name} {value!r} is out of range",
                f"give a number {'above' if open_low else 'from'} {low:g} to {high:g}",
            )
        return number

    return check


def amount(name: str, value: Any) -> float:
    """A number from 0, however large."""
    number = real(0, math.inf)(name, value)
    if number == math.inf:
        raise UsageError(f"{name} {value!r} is out of range", "give a number from 0")
    return number


def draft_length(name: str, value: Any) -> int | str:
    """A number, or `auto`: as many as pay."""
    return "auto" if str(value) == "auto" else whole(1, 16, ", or auto")(name, value)


@dataclass(frozen=True, slots=True)
class OneOf:
    """A check that takes one of these words."""

    words: tuple[str, ...]

    def __call__(self, name: str, value: Any) -> str:
        spelled = ("off", "on")[value] if isinstance(value, bool) else value  # what YAML makes of on and off
        if str(scalar(name, spelled)) not in self.words:
            raise UsageError(f"{name} {value!r} is unknown", f"one of {', '.join(self.words)}")
        return str(spelled)


def one_of(*words: str) -> OneOf:
    return OneOf(words)


def text(name: str, value: Any) -> str:
    return str(scalar(name, value))


def said(name: str, value: Any) -> str:
    """A text that a model reads: a shell may have given bytes that are none."""
    typed = text(name, value)
    try:
        return typed.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:
        raise UsageError(f"{name} is not UTF-8", "convert it first, for example with iconv -t utf-8") from None


def texts(name: str, value: Any) -> tuple[str, ...]:
    found = tuple(said(name, each) for each in (value if isinstance(value, list | tuple) else [value]))
    if "" in found:  # an empty stop text would end every answer before its first token
        raise UsageError(f"{name} is empty", "give some text, or leave it out")
    return found


def rules(name: str, value: Any) -> tuple[str, ...]:
    """Rules may be listed in one text: token:0.5,confidence."""
    found = tuple(rule.strip() for each in texts(name, value) for rule in each.split(",") if rule.strip())
    if not found:
        raise UsageError(f"{name} names no rule", "write one such as token:0.5; `speccas rules` lists them")
    return found


def drafters(name: str, value: Any) -> tuple[str, ...]:
    """One drafter, or two of a chain."""
    given = value if isinstance(value, list | tuple) else [value]
    found = tuple(typed for each in given if (typed := text(name, each)))  # an empty one says nothing
    if len(found) > 2:
        raise UsageError(
            f"{name} is given {len(found)} times", "give one drafter, or two of a chain, the smallest first"
        )
    return found


def truth(name: str, value: Any) -> bool:
    known = {
        "true": True,
        "1": True,
        "yes": True,
        "on": True,
        "false": False,
        "0": False,
        "no": False,
        "off": False,
    }
    if str(scalar(name, value)).lower() not in known:
        raise UsageError(f"{name} {value!r} is neither true nor false", "write true or false")
    return known[str(value).lower()]


def context(name: str, value: Any) -> int:
    """Tokens, or `auto`, which stands as 0."""
    return 0 if scalar(name, value) == "auto" else whole(1, 1 << 24)(name, value)


def workers(name: str, value: Any) -> str:
    """Addresses with commas between them, each with its port; an empty text is none."""
    typed = text(name, value).strip()
    if not typed:
        return ""
    try:
        return ",".join(addresses(typed))
    except UsageError as error:
        raise UsageError(f"{name}: {error.message}", error.hint) from None
