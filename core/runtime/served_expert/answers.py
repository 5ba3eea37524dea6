"""What a server says of the end of a text, in numbers that were looked at: what cannot be right raises WrongAnswer."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ...decoding.partly import LEAST
from ...decoding.sparse import Told
from ...errors import WrongAnswer

ABOVE = 1e-3  # of ln p: numbers that were rounded
WHOLE = 1.02  # of a sum of probabilities


@dataclass(frozen=True, slots=True)
class Verified:
    """What stands behind each of the last tokens of a text. `rows`: the most likely tokens there; `followed`: of the
    token that comes next in the text, one fewer; `drawn`: a token drawn from the last row; `cached`: tokens of the text
    that the server had read before, None where it does not say."""

    rows: tuple[tuple[Told, ...], ...]
    followed: tuple[Told, ...]
    drawn: Told
    cached: int | None


class Api(Protocol):
    """How one kind of server is asked."""

    @property
    def name(self) -> str: ...

    def verify(self, ids: Sequence[int], rows: int, sent: int) -> Verified:
        """What stands behind the last `rows` tokens of `ids`, `sent` most likely ones each. Raises ExpertLost,
        AccessRefused, Stopped."""

    def draws(self, ids: Sequence[int], count: int) -> Sequence[Told]:
        """So many tokens that may come next, each drawn by itself at temperature 1 without filters. Raises the same."""


def wrong(what: str) -> WrongAnswer:
    return WrongAnswer(
        f"the expert's server answers what cannot be right: {what}",
        "see that it is of the kind that was named, and of a version that this one knows",
    )


def at(data: Any, *path: str | int) -> Any:
    """What stands in an answer at keys and places."""
    for i, step in enumerate(path):
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            raise wrong(f"it lacks {'.'.join(map(str, path[: i + 1]))}") from None
    return data


def rows_of(data: Any, count: int, what: str) -> Sequence[Any]:
    """A list of so many things."""
    if not isinstance(data, list) or len(data) != count:
        found = f"{len(data)} of" if isinstance(data, list) else "no list of"
        raise wrong(f"{found} {what}, where {count} were asked for")
    return data


def told(token: Any, log_p: Any, size: int) -> Told:
    """A token and ln of its probability."""
    if not isinstance(token, int) or isinstance(token, bool) or not 0 <= token < size:
        raise wrong(f"{str(token)[:20]!r} is no token of a vocabulary of {size}")
    if not isinstance(log_p, int | float) or isinstance(log_p, bool) or math.isnan(log_p) or log_p > ABOVE:
        raise wrong(f"{str(log_p)[:20]!r} is no ln of a probability")
    return token, min(float(log_p), 0.0)


def likeliest(found: Iterable[Told], sent: int, size: int) -> tuple[Told, ...]:
    """A row: so many tokens, or the whole of a smaller vocabulary, each once, which make no more than a whole."""
    row = tuple(found)
    if len(row) != min(sent, size) or len(row) < LEAST:
        raise wrong(f"{len(row)} tokens of a row, where {sent} were asked for")
    if len({token for token, _ in row}) != len(row):
        raise wrong("a row names a token twice")
    if sum(math.exp(log_p) for _, log_p in row) > WHOLE:
        raise wrong("the probabilities of a row are more than 1 together")
    if row[0][1] == -math.inf:
        raise wrong("a row in which no token is possible")
    return row


def without_extra(found: Mapping[int, Told], extra: int, sent: int) -> list[Told]:
    """The most likely tokens of a row that was sent with one more, which may be one of them."""
    return [each for token, each in found.items() if len(found) <= sent or token != extra]
