"""The known name nearest to one that was mistyped, for hints of errors."""

from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The known name most like this one, empty where none is; `cutoff` from 0 (anything) to 1 (only the same)."""
    from difflib import get_close_matches  # only a mistake needs it

    return next(iter(get_close_matches(name, list(known), n=1, cutoff=cutoff)), "")


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The nearest name as the beginning of a hint, empty where there is none."""
    near = nearest(name, known, cutoff)
    return f"did you mean {near!r}? " if near else ""
