"""What a search measured first is read again as it was written."""

from pathlib import Path

import pytest

from speccas.core.calibration.calibrate import Curve
from speccas.core.decoding.length.latency import LatencyModel
from speccas.core.errors import IntegrityError
from speccas.core.tune.machine_times import MachineTimes, read_times, write_times


def test_times_come_back(tmp_path: Path) -> None:
    times = MachineTimes({1: 0.5, 2: 0.25}, Curve(LatencyModel({1: 0.1, 4: 0.2}, 0.01, 0.005), 1.1))
    assert read_times(tmp_path / "curve.json") is None
    write_times(times, tmp_path / "curve.json")
    found = read_times(tmp_path / "curve.json")
    assert found is not None and found.threads == times.threads and found.curve.spread == 1.1
    assert (found.curve.costs.seen, found.curve.costs.step) == ({1: 0.1, 4: 0.2}, 0.01)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"seen": 1}'])
def test_what_is_no_curve_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "curve.json").write_text(text)
    with pytest.raises(IntegrityError, match="is no curve"):
        read_times(tmp_path / "curve.json")
