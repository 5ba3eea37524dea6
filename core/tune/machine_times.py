"""What a search measures before its first answer: how many threads serve best, and what the calls of a pair cost.

It is kept in a file beside the samples, so that a search that was stopped goes on with the same figures.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..bench.protocol import Bench
from ..calibration.calibrate import Curve, measure_full
from ..calibration.planner import Planner, curves_file
from ..calibration.threads import candidates, fastest, tried
from ..decoding.length.latency import LatencyModel
from ..errors import IntegrityError
from ..runtime.pair import Pair


@dataclass(frozen=True, slots=True)
class MachineTimes:
    """`threads`: seconds of a token and a round of four by number of threads; none where the number was given."""

    threads: Mapping[int, float]
    curve: Curve


def measure_times(bench: Bench, threads: int | None) -> MachineTimes:
    """Try numbers of threads, unless one is given, and with the best measure the whole curve, behind the first
    prompt."""
    pair = bench.pair
    for _, prompt in bench.prompts():
        bench.read(prompt)
        break
    seconds = {} if threads else tried(pair, candidates())
    pair.use_threads(threads or fastest(seconds, pair.expert.threads))
    return MachineTimes(seconds, measure_full(pair))


def adopt_times(bench: Bench, times: MachineTimes, threads: int | None) -> None:
    """Compute with that number of threads, and let the draft length `auto` decide by the curve from the first answer
    on."""
    bench.pair.use_threads(threads or fastest(times.threads, bench.pair.expert.threads))
    costs = times.curve.costs
    bench.planner.adopt(costs)


def read_times(file: Path) -> MachineTimes | None:
    """What the search that goes on measured; None where there is none. Raises IntegrityError."""
    try:
        data = json.loads(file.read_bytes())
        seen = {int(n): float(seconds) for n, seconds in data["seen"].items()}
        costs = LatencyModel(seen, float(data["step"]), float(data["catch_up"]))
        threads = {int(n): float(seconds) for n, seconds in data["threads"].items()}
        return MachineTimes(threads, Curve(costs, float(data["spread"])))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"{file} is no curve: {error}") from None


def write_times(times: MachineTimes, file: Path) -> None:
    curve = times.curve
    costs = {"seen": curve.costs.seen, "step": curve.costs.step, "catch_up": curve.costs.catch_up}
    file.write_text(json.dumps({**costs, "spread": curve.spread, "threads": times.threads}), encoding="utf-8")


def keep_curve(pair: Pair, curve: Curve) -> None:
    """For the draft length `auto` of later runs, unless the curve was disturbed."""
    if curve.steady:
        planner = Planner(pair, curves_file())
        planner.adopt(curve.costs)
        planner.save()
