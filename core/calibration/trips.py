"""The round trip to where a pair's expert is, and whether drafting here pays, by what is known of its calls."""

from ..decoding.length.latency import LatencyModel
from ..runtime.pair import Pair
from ..runtime.rpc.expert import RemoteWeights
from .elsewhere import Elsewhere, ElsewhereReport, report


def trip_of(pair: Pair) -> float | None:
    """Seconds of a call's round trip to the workers, as they were tried before the model was loaded; None where the
    expert is here."""
    weights = pair.weights["expert"]
    return weights.trip if isinstance(weights, RemoteWeights) else None


def elsewhere_of(pair: Pair, costs: LatencyModel | None, acceptance: float | None) -> ElsewhereReport | None:
    """With costs that were timed through the workers, and the acceptance as far as it is known; None where the expert
    is here, or calls of several tokens were not timed yet."""
    trip = trip_of(pair)
    if trip is None or costs is None or len(costs.seen) < 2:
        return None
    return report(Elsewhere.measured(costs, trip), acceptance)
