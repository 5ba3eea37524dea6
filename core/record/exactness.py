"""What `exact` and the figures are of, where that is not simply the expert: its file was made here, a little off its
source; or repeated tokens are held back.

One phrase each for all views, of a manifest or of what a header knows of one.
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


def held_back(facts: Mapping[str, Any]) -> str:
    """`repetition penalty 1.1 over the last 64 tokens, of both models: p, q and log-prob are of what it leaves`; empty
    without one."""
    repeat, last = facts.get("repeat_penalty"), facts.get("repeat_last_n")
    if not is_number(repeat) or not is_number(last) or repeat == 1 or last == 0:
        return ""
    over = "the whole text" if last < 0 else f"the last {last:g} tokens"
    return f"repetition penalty {repeat:g} over {over}, of both models: p, q and log-prob are of what it leaves"


def is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
