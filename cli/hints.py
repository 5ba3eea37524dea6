"""What a user can do about an error of core, where that takes a flag or a command: core raises without a hint."""

import contextlib
from collections.abc import Iterator, Mapping

from speccas.core.errors import SpeccasError


@contextlib.contextmanager
def hinted(hints: Mapping[type[SpeccasError], str]) -> Iterator[None]:
    """Give the errors of these types their hint, unless they have one; the first type that fits counts."""
    try:
        yield
    except SpeccasError as error:
        if not error.hint:
            error.hint = next((hint for kind, hint in hints.items() if isinstance(error, kind)), "")
        raise
