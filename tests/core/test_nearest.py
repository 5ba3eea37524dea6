"""The known name nearest to one that was mistyped."""

import pytest

from speccas.core.nearest import did_you_mean, nearest


@pytest.mark.parametrize(
    ("name", "cutoff", "found"), [("tinny", 0.6, "tiny"), ("qwen", 0.6, ""), ("t", 0.4, "tiny"), ("t", 0.6, "")]
)
def test_the_nearest_name(name: str, cutoff: float, found: str) -> None:
    known = {"tiny": 1, "smol": 2}
    assert nearest(name, known, cutoff) == found
    assert did_you_mean(name, known, cutoff) == (f"did you mean {found!r}? " if found else "")
