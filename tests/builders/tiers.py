"""Which cases of a long list the fast tier runs."""

from collections.abc import Iterable
from typing import Any

import pytest


def few_fast(cases: Iterable[Any], count: int) -> list[Any]:
    """Parameters of a test: the first `count` as they are, the others marked slow."""
    return [
        case if i < count else pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow)
        for i, case in enumerate(cases)
    ]
