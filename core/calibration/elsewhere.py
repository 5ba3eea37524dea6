"""Whether drafting pays for an expert on another machine: arithmetic alone, in seconds.

Whoever drafts here waits a round trip for every round. The expert alone waits one for every token where each of its
calls is a round trip (layers on a worker), and none where it writes by itself (a server). So a long way makes drafting
pay for the first, and makes it lose for the second.
"""

from dataclasses import dataclass, field
from typing import Any

from ..decoding.length.latency import LatencyModel

LONGEST = 16
"""Tokens of a draft, at most."""
ACCEPTANCES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Chances of a drafted token that a table has rows of."""
HALVINGS = 40


def tokens_of(acceptance: float, k: int) -> float:
    """Tokens that a round of k drafted ones gives, each accepted with this chance: (1 - a^(k+1)) / (1 - a)."""
    return float(sum(acceptance**i for i in range(k + 1)))


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What an expert on another machine costs, seconds. `token`: of a token that it writes alone, there. `calls`: of
    its calls by their number of tokens, and of a drafter's step here. `trip`: there and back, in neither. `by_call`:
    whether the expert alone needs a trip for each token."""

    token: float
    calls: LatencyModel
    trip: float
    by_call: bool

    @classmethod
    def measured(cls, calls: LatencyModel, trip: float) -> "Elsewhere":
        """Of calls that were timed here, a trip in each of them. What is less than the trip was none of its own."""
        seen = {n: max(seconds - trip, 0.0) for n, seconds in calls.seen.items()}
        there = LatencyModel(seen, calls.step, calls.catch_up)
        return cls(there.verify(1), there, trip, by_call=True)

    @property
    def alone(self) -> float:
        """Seconds of a token without drafts."""
        return self.token + (self.trip if self.by_call else 0.0)

    def round(self, k: int) -> float:
        """Seconds of a round of k drafted tokens."""
        return k * self.calls.step + self.calls.verify(k + 1) + self.trip

    def drafted(self, k: int, acceptance: float) -> float:
        """Seconds of a token with k drafted a round."""
        return self.round(k) / tokens_of(acceptance, k)

    def speedup(self, k: int, acceptance: float) -> float:
        """Over the expert alone."""
        return self.alone / self.drafted(k, acceptance)

    def best(self, acceptance: float, most: int = LONGEST) -> int:
        """The draft length with which a token takes least, of 1 to `most`; of those that tie the shortest."""
        return min(range(1, most + 1), key=lambda k: self.drafted(k, acceptance))

    def needed(self, k: int) -> float | None:
        """The chance of a drafted token from which k of them a round pay; None where not even certainty is enough."""
        if self.speedup(k, 1.0) <= 1:
            return None
        low, high = 0.0, 1.0
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self.speedup(k, middle) < 1 else (low, middle)
        return high

    def pays_from(self, most: int = LONGEST) -> float | None:
        """The least chance of a drafted token from which some draft length pays."""
        return min((a for k in range(1, most + 1) if (a := self.needed(k)) is not None), default=None)

    def bound(self, k: int, acceptance: float) -> float | None:
        """The round trip at which k drafted tokens a round cost as much as the expert alone: below it they pay where
        that one needs none, above it where it needs one for each token. None where they never pay; 0 where they do at
        any trip."""
        won = tokens_of(acceptance, k) * self.token - k * self.calls.step - self.calls.verify(k + 1)
        if not self.by_call:
            return won if won > 0 else None
        saved = tokens_of(acceptance, k) - 1  # trips of a round
        return max(0.0, -won / saved) if saved > 0 else None

    def best_bound(self, acceptance: float, most: int = LONGEST) -> float | None:
        """The same of the draft length that pays at most trips."""
        found = [trip for k in range(1, most + 1) if (trip := self.bound(k, acceptance)) is not None]
        return (min if self.by_call else max)(found, default=None)


@dataclass(frozen=True, slots=True)
class Payoff:
    """At one acceptance: the best draft length, what it gives, and the round trip from or up to which some length
    pays."""

    acceptance: float
    k: int
    speedup: float
    tokens_per_second: float
    trip: float | None

    @property
    def pays(self) -> bool:
        return self.speedup > 1


@dataclass(frozen=True, slots=True)
class ElsewhereReport:
    """Whether drafting here pays, by acceptance: a part of the doctor's report. `known`: the acceptance that was
    measured, where it was."""

    costs: Elsewhere
    rows: tuple[Payoff, ...]
    known: Payoff | None = None
    most: int = field(default=LONGEST)

    @property
    def pays(self) -> bool | None:
        """At the acceptance that is known; None where none is."""
        return None if self.known is None else self.known.pays

    @property
    def verdict(self) -> str:
        """In one line."""
        least, trip = self.costs.pays_from(self.most), f"a round trip of {milliseconds(self.costs.trip)}"
        floor = "no acceptance is enough" if least is None else f"it does from {least:.0%} accepted"
        if self.known is None:
            return (
                f"at {trip}, drafting here never pays"
                if least is None
                else f"at {trip}, drafting here pays from {least:.0%} accepted on"
            )
        at = f"{self.known.acceptance:.0%} accepted and {trip}"
        if self.known.pays:
            times, many = f"{self.known.speedup:.2f} times as fast as without drafts", self.known.k
            return f"drafting here pays: {times} with {many} a round, at {at}"
        return f"drafting here does not pay at {at}: {floor}"

    def as_json(self) -> dict[str, Any]:
        costs = self.costs
        return {
            "round_trip_seconds": costs.trip,
            "trip_each_token": costs.by_call,
            "token_seconds": costs.token,
            "alone_seconds": costs.alone,
            "drafter_step": costs.calls.step,
            "calls": {str(n): seconds for n, seconds in sorted(costs.calls.seen.items())},
            "pays_from": None if (least := costs.pays_from(self.most)) is None else round(least, 3),
            "rows": [row_as_json(each) for each in self.rows],
            "known": None if self.known is None else row_as_json(self.known),
            "verdict": self.verdict,
        }


def row_as_json(row: Payoff) -> dict[str, Any]:
    return {
        "acceptance": row.acceptance,
        "k": row.k,
        "speedup": round(row.speedup, 3),
        "tokens_per_second": round(row.tokens_per_second, 2),
        "round_trip_bound_seconds": row.trip,
        "pays": row.pays,
    }


def milliseconds(seconds: float) -> str:
    """As a text of this page has it."""
    return f"{1e3 * seconds:.1f} ms" if seconds < 0.01 else f"{1e3 * seconds:.0f} ms"


def payoff(costs: Elsewhere, acceptance: float, most: int = LONGEST) -> Payoff:
    """What drafting gives at an acceptance."""
    k = costs.best(acceptance, most)
    each = costs.drafted(k, acceptance)
    return Payoff(acceptance, k, costs.speedup(k, acceptance), 1 / each, costs.best_bound(acceptance, most))


def report(costs: Elsewhere, known: float | None = None, most: int = LONGEST) -> ElsewhereReport:
    """The table, and the line; `known`: the acceptance that was measured."""
    rows = tuple(payoff(costs, acceptance, most) for acceptance in ACCEPTANCES)
    return ElsewhereReport(costs, rows, None if known is None else payoff(costs, known, most), most)
