"""Block verification: a draft is judged as a whole. Alg. 2 of Sun et al., arXiv 2403.10444.

How much of the target's chance a draft so far has used is its share: the product of target(v) / q(v) over its tokens,
cut at 1 behind each. Token verification accepts a prefix with the product of factors that are each cut at 1, which is
never more. A prefix is accepted with probability share in all, counting the longer ones that hold it; so the token
behind it comes from the target, whatever was drafted. Pure: numbers only.

The proof needs the target and q to be functions of the text before a position (and of the round), and so does whether
something is drafted there. It does not need all drafts to be equally long.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .deferral import Position
from .sampling import Probabilities

Target = Callable[[int], Probabilities]
"""The distribution that position i is to follow, dense over the expert's vocabulary."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a draft stands."""

    accepted: int
    share: float
    """Of the accepted prefix. What stands behind it comes from max(0, share * target - q), if anything was drafted
    there."""


def reach(target: Target, drafted: Sequence[int], at: Callable[[int], Position], chance: Sequence[float]) -> Reach:
    """The longest prefix of a draft whose number in `chance` (one a token, in [0, 1)) lies below its `acceptance`."""
    found, share = Reach(0, 1.0), 1.0
    for i, v in enumerate(drafted):
        share = min(1.0, share * float(target(i)[v]) / float(at(i).q[v]))
        last = i + 1 == len(drafted)
        if chance[i] < (share if last else acceptance(share, target(i + 1), at(i + 1).q)):
            found = Reach(i + 1, share)
    return found


def acceptance(share: float, target: Probabilities, q: Probabilities) -> float:
    """With which probability a prefix of this share stands where none that is longer does. `target`, `q`: behind it.
    0/0, where it has all of its share and target is q, counts as 1: what follows stands as well then."""
    more = float(np.maximum(share * target - q, 0.0).sum(dtype=np.float64))
    missing = 1.0 - share
    return more / (more + missing) if more + missing > 0 else 1.0
