"""What `exact` means with a pair whose files were made here: the expert is a file of its own, a little off its source.

One phrase for all views, of a manifest or of what a header knows of one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from ..files.profiles import Profile

SMALL = 0.005
"""Nats a token; below it two decimals would say that nothing was lost."""


@dataclass(frozen=True, slots=True)
class OptimizedFacts:
    """What the manifest says of files that were made for a machine: the pair they come from, the processor they are
    for, and what the expert loses against its source, in nats a token of the source's own texts."""

    of: str
    processor: str
    loss: float

    @classmethod
    def of_profile(cls, profile: Profile) -> "OptimizedFacts | None":
        """None where the pair's files are as they came, or where the table is somebody else's."""
        of, processor, loss = (profile.optimized.get(key) for key in ("of", "processor", "loss"))
        if not (isinstance(of, str) and isinstance(processor, str) and is_number(loss)):
            return None
        return cls(of, processor, float(loss))


def exactness(facts: Mapping[str, Any]) -> str:
    """`exact against NAME-fast, itself 0.02 nats from its source`; empty where the files are as they came. `facts`: a
    manifest, whatever a trace says there."""
    made, name = facts.get("optimized"), facts.get("pair")
    if not isinstance(made, Mapping) or not isinstance(name, str):
        return ""
    loss = made.get("loss")
    if not is_number(loss):
        return ""
    return f"exact against {name}, itself {max(0.0, loss):.{2 if loss >= SMALL else 3}f} nats from its source"


def is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
