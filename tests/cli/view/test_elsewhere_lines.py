"""The table of where drafting pays for an expert on another machine."""

import pytest

from speccas.cli.view.elsewhere import elsewhere_lines
from speccas.core.calibration.elsewhere import Elsewhere, report
from speccas.core.decoding.length.latency import LatencyModel


@pytest.mark.parametrize(("by_call", "heading"), [(True, "pays from a trip of"), (False, "pays up to a trip of")])
def test_a_row_for_each_acceptance_and_the_bound_as_it_is_meant(by_call: bool, heading: str) -> None:
    found = report(Elsewhere(0.020, LatencyModel({1: 0.020, 5: 0.023}, 0.010), 0.004, by_call))
    verdict, heads, *rows = elsewhere_lines(found.as_json())
    assert verdict == found.verdict and heads.endswith(heading) and len(rows) == len(found.rows)
    assert [row.split()[0] for row in rows] == ["50%", "60%", "70%", "80%", "90%", "95%"]
    assert len({len(line) for line in (heads, *rows)}) == 1, "one width"
    assert by_call or rows[0].endswith("never")
