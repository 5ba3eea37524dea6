"""The round trip to where a pair's expert is, and whether drafting here pays, by what is known of its calls."""

from dataclasses import replace

from ..decoding.length.latency import LatencyModel
from ..runtime.pair import Pair
from ..runtime.rpc.expert import RemoteWeights
from .calibrate import QUICK, REPEATS, measure
from .elsewhere import Elsewhere, ElsewhereReport, report
from .planner import Planner


def trip_of(pair: Pair) -> float | None:
    """Seconds of a call's round trip to the server, or to the workers as they were tried before the model was loaded;
    None where the expert is here."""
    if pair.probe is not None:
        return pair.probe.trip
    weights = pair.weights["expert"]
    return weights.trip if isinstance(weights, RemoteWeights) else None


def latency_of(planner: Planner) -> LatencyModel | None:
    """What calls cost, as far as the planner knows. Those of a server are measured now where nothing is known, and
    kept: no answer may ever be written there one token at a time. Raises Stopped, ExpertLost."""
    known = planner.latency is not None and len(planner.latency.seen) > 1
    if planner.pair.probe is not None and not known:
        planner.latency = measure(planner.pair, QUICK, REPEATS)
    return planner.latency


def elsewhere_of(pair: Pair, costs: LatencyModel | None, acceptance: float | None) -> ElsewhereReport | None:
    """With costs that were timed here, a round trip in each, and the acceptance as far as it is known; None where the
    expert is here, or calls of several tokens were not timed yet. A server that writes by itself needs no round trip,
    and a token takes it no longer than a call of one token does there."""
    trip = trip_of(pair)
    if trip is None or costs is None or len(costs.seen) < 2:
        return None
    return report(replace(Elsewhere.measured(costs, trip), by_call=pair.probe is None), acceptance)
