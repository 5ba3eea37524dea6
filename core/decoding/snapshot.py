"""All that a cache holds, copied out of it, so that it can be put back after the cache was used for another text."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """`length` tokens. `bytes`: memory that the copy takes. `places`: to which shorter lengths the cache can be cut
    afterwards at no cost; None is any."""

    length: int
    data: Any
    bytes: int
    places: tuple[int, ...] | None = None

    def reach(self, length: int) -> int:
        """How many of the first `length` tokens need not be read again once it was put back."""
        if length >= self.length:
            return self.length
        return length if self.places is None else max((each for each in self.places if each <= length), default=0)
