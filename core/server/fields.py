"""Fields of a JSON body, checked one by one. A field that is missing or null has its default.

Each raises ApiError (400) that names the field, what it must be, and what it was.
"""

import math
from collections.abc import Mapping
from typing import Any

from .api_error import ApiError

Body = Mapping[str, Any]
SHOWN = 60  # characters of a wrong value that are repeated


def wrong(name: str, must: str, value: object) -> ApiError:
    """What to say of a field that is not what it must be."""
    shown = repr(value)
    shown = shown if len(shown) <= SHOWN else shown[:SHOWN] + "..."
    return ApiError(400, f"{name} must be {must}, not {shown}", param=name)


def real(body: Body, name: str, default: float, low: float, high: float, open_low: bool = False) -> float:
    value = body.get(name)
    if value is None:
        return default
    must = f"a number {'above' if open_low else 'from'} {low:g} to {high:g}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong(name, must, value)
    try:
        number = float(value)
    except OverflowError:
        raise wrong(name, must, value) from None
    if not math.isfinite(number) or not low <= number <= high or (open_low and number == low):
        raise wrong(name, must, value)
    return number


def whole(body: Body, name: str, default: int, low: int, high: int) -> int:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise wrong(name, f"a whole number from {low} to {high}", body[name])
    return value


def truth(body: Body, name: str, default: bool = False) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise wrong(name, "true or false", value)
    return default if value is None else value


def text(body: Body, name: str, default: str) -> str:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise wrong(name, "a text", value)
    return default if value is None else value


def texts(body: Body, name: str, default: tuple[str, ...], most: int) -> tuple[str, ...]:
    """One text, or a list of them."""
    value = body.get(name)
    if value is None:
        return default
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or len(found) > most or not all(isinstance(each, str) and each for each in found):
        raise wrong(name, f"a text, or at most {most} texts, none of them empty", value)
    return tuple(found)


def table(body: Body, name: str) -> Body:
    """An object; {} where there is none."""
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise wrong(name, "an object", value)
    return value or {}
