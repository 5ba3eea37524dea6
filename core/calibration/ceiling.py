"""What a measured latency curve allows: the speed-up if every draft were accepted, and the acceptance that pays."""

from dataclasses import dataclass
from typing import Any

from ..decoding.length.latency import LatencyModel

POOR = 2.0
"""Batch scaling is poor where even free drafts that are all accepted would not make the expert so much faster."""
ROWS = 8
"""Tokens of one call that this is judged by: longer drafts are seldom accepted whole."""


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The most that reading several tokens in one call can give: `times` the speed of one at a time, with `rows`."""

    times: float
    rows: int

    @property
    def poor(self) -> bool:
        return self.times < POOR


def ceiling(costs: LatencyModel, most: int = ROWS) -> Ceiling:
    """Over calls of 1 to `most` tokens, drafts being free and all accepted: n C(1) / C(n)."""
    return max((Ceiling(n * costs.verify(1) / costs.verify(n), n) for n in range(1, most + 1)), key=lambda c: c.times)


def best_of(costs: LatencyModel, k: int) -> float:
    """Speed-up of draft length k where every token of every draft is accepted: (k + 1) C(1) / (k d + C(k + 1))."""
    return (k + 1) * costs.verify(1) / (k * costs.step + costs.verify(k + 1))


def needed(costs: LatencyModel, k: int) -> float | None:
    """The chance a drafted token must have, each alike, for draft length k to be as fast as the expert alone; None
    where even certainty is not enough. Solves 1 + a + ... + a^k = (k d + C(k + 1)) / C(1) by halving."""
    wanted = (k * costs.step + costs.verify(k + 1)) / costs.verify(1)
    if wanted > k + 1:
        return None
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        if sum(middle**i for i in range(k + 1)) < wanted:
            low = middle
        else:
            high = middle
    return high


LENGTHS = range(1, 9)


def as_json(costs: LatencyModel) -> dict[str, Any]:
    """The curve and what it allows, for `doctor` and `tune`: seconds, and relative to one token; `needed` is the chance
    of a drafted token from which a draft length pays (null: none is enough)."""
    one, most = costs.verify(1), ceiling(costs)
    return {
        "seconds": {str(n): seconds for n, seconds in sorted(costs.seen.items())},
        "relative": {str(n): round(seconds / one, 3) for n, seconds in sorted(costs.seen.items())},
        "drafter_step": costs.step,
        "ceiling": {"times": round(most.times, 3), "rows": most.rows, "bad": most.poor},
        "needed": {str(k): None if (a := needed(costs, k)) is None else round(a, 3) for k in LENGTHS},
    }


def poor_scaling(costs: LatencyModel, name: str, quant: str) -> str | None:
    """The line for an expert whose file reads several tokens in one call at nearly the price of one after another."""
    most = ceiling(costs)
    if not most.poor:
        return None
    return (
        f"{name} ({quant}) has poor batch scaling: {most.rows} tokens in one call are {most.times:.2f} times as fast "
        f"as one after another, and that is the most any draft could win"
    )
