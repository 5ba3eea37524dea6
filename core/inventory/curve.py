"""What calls of a pair cost here, measured in full, with what that allows: a part of the doctor's report."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..calibration.calibrate import Curve, measure_full
from ..calibration.ceiling import as_json
from ..calibration.dear import DearCall, dear_of
from ..calibration.planner import Planner, curves_file
from ..calibration.threads import candidates, fastest, tried
from ..runtime.pair import Pair


@dataclass(frozen=True, slots=True)
class CurveReport:
    """A pair's curve at its number of threads, seconds by other numbers, and both files."""

    pair: str
    threads: int
    threads_tried: Mapping[int, float]
    files: Mapping[str, tuple[str, str]]
    """By role: name and quantisation."""
    curve: Curve
    dear: DearCall | None = None
    """Where a call of four is, and why."""

    @property
    def fastest(self) -> int:
        """The number of threads that serves best."""
        return fastest(self.threads_tried, self.threads)

    def as_json(self) -> dict[str, Any]:
        return {
            "pair": self.pair,
            "threads": self.threads,
            "threads_tried": {str(count): round(seconds, 6) for count, seconds in self.threads_tried.items()},
            **{role: {"file": file, "quant": quant} for role, (file, quant) in self.files.items()},
            **as_json(self.curve.costs),
            "spread": round(self.curve.spread, 3),
            "dear": None if self.dear is None else asdict(self.dear),
        }


def measure_curve(pair: Pair) -> CurveReport:
    """Measure behind what the caches hold; a steady curve is kept for the automatic draft length."""
    seconds = tried(pair, sorted({pair.expert.threads, *candidates()}, reverse=True))
    found = measure_full(pair)
    if found.steady:
        planner = Planner(pair, curves_file())
        planner.adopt(found.costs)
        planner.save()
    files = {role: (file.path.name, file.header.file_type) for role, file in pair.files.items()}
    return CurveReport(pair.name, pair.expert.threads, seconds, files, found, dear_of(pair, found))
