"""What drafting for an expert on a server costs and gives: timed calls, held against the server writing by itself."""

from dataclasses import replace

from ..decoding.length.latency import LatencyModel
from ..runtime.pair import Pair
from .calibrate import QUICK, REPEATS, measure
from .elsewhere import Elsewhere, ElsewhereReport, report
from .planner import Planner

ASSUMED = 0.7
"""Acceptance, until some was measured."""


def costs_of(pair: Pair, latency: LatencyModel) -> Elsewhere:
    """Of calls that were timed here, each with its round trip. By itself the server needs none; a token takes it no
    longer than a call of one token does there."""
    assert pair.probe is not None
    return replace(Elsewhere.measured(latency, pair.probe.trip), by_call=False)


def latency_of(planner: Planner) -> LatencyModel:
    """What the planner knows; measured now where it knows nothing, and kept. Raises Stopped, ExpertLost."""
    if planner.latency is None:
        planner.latency = measure(planner.pair, QUICK, REPEATS)
    return planner.latency


def payoff_of(planner: Planner, known: float | None) -> ElsewhereReport:
    """Whether drafting here pays: at the acceptance that is known, else at the assumed one."""
    return report(costs_of(planner.pair, latency_of(planner)), ASSUMED if known is None else known)
