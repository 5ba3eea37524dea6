"""Why an expert's call of several tokens is dear on this machine: measured first, and only then explained by its file.

A header alone never blames a file: types differ in what they cost by processor, build and kernel.
"""

from dataclasses import dataclass

from ..decoding.length.latency import LatencyModel
from ..headers.mixture import Mixture
from ..headers.packing import UnpackedTensors, unpacked_tensors
from ..runtime.backends import backend_of
from ..runtime.pair import Pair
from ..runtime.room import rows
from .calibrate import FULL_REPEATS, Curve, of_times, spread, times

FEW = 4
"""Tokens that packed tensors are multiplied by at once: below it no file is cheap."""
WHOLE, BROKEN = 0.5, 0.6
"""A call is dear from this share of what its tokens cost one after another: a multiple of four, and any other, whose
rest is read apart. Packed files took 0.37 to 0.46 and 0.46 to 0.55 where speccas was measured, others 0.61 to 0.94."""


@dataclass(frozen=True, slots=True)
class DearCall:
    """A call of `tokens` that costs as much as `cost` single ones, and what of the expert's file that comes from, where
    it is known; both None on a GPU."""

    tokens: int
    cost: float
    tensors: UnpackedTensors | None
    mixture: Mixture | None

    @property
    def mendable(self) -> bool:
        """Whether the same model in a file of other types would be read cheaper."""
        return self.tensors is not None and self.mixture is None


def dear_call(pair: Pair, tokens: int, cost: float) -> DearCall | None:
    """What there is to say of a call that was measured, in calls of a single token; None where it is cheap."""
    if tokens < FEW or cost < tokens * (BROKEN if tokens % FEW else WHOLE):
        return None
    file = pair.files["expert"]
    if file.server is not None:  # whatever it costs there, no file here is the reason
        return None
    layers = pair.options.gpu_layers
    loaded = backend_of(pair.profile.expert).footprint(file, rows("expert"), layers, 1.0)
    if loaded.gpu_layers != 0 or not loaded.repacked:
        return DearCall(tokens, cost, None, None)
    mixture = Mixture.of(file.header)
    return DearCall(tokens, cost, unpacked_tensors(file.header, loaded.repacked), mixture)


def dear_known(pair: Pair, latency: LatencyModel | None) -> DearCall | None:
    """Of what the automatic draft length has measured by now: a call of four, where it saw one."""
    if latency is None or not {1, FEW} <= latency.seen.keys():
        return None
    return dear_call(pair, FEW, latency.verify(FEW) / latency.verify(1))


def measure_four(pair: Pair) -> Curve:
    """A token and a call of four alone, behind what the caches hold: a few tokens' time."""
    seen, steps = times(pair, (1, FEW), FULL_REPEATS)
    return Curve(of_times(seen, steps), spread(seen))


def dear_of(pair: Pair, curve: Curve) -> DearCall | None:
    """Of a measured curve: a call of four. None where something else ran while it was measured."""
    costs = curve.costs
    return dear_call(pair, FEW, costs.verify(FEW) / costs.verify(1)) if curve.steady else None
