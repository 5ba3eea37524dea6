"""What is known of an arm's acceptance before an answer, and that an expert which is here has no round trip."""

import pytest

from speccas.core.calibration.planner import FEWEST_JUDGED, MEASURED, Planner
from speccas.core.calibration.trips import elsewhere_of, trip_of
from speccas.core.decoding.length.acceptance import AcceptanceModel
from speccas.core.decoding.length.latency import LatencyModel
from speccas.core.files.profiles import Profile
from speccas.core.files.source import Source
from speccas.core.runtime.pair import load_pair
from tests.builders.table_backend import TableBackend

TABLES = Profile("tables", Source(path="table:drafter"), Source(path="table:expert"))


def test_acceptance_is_known_once_enough_was_judged() -> None:
    with load_pair(TABLES, backend=lambda source: TableBackend()) as pair:
        planner = Planner(pair)
        assert planner.known_acceptance("exact greedy") is None, "a prior is no knowledge"
        planner.acceptance["exact greedy"] = AcceptanceModel.measured(0.75, FEWEST_JUDGED)
        assert planner.known_acceptance("exact greedy") == pytest.approx(0.75)
        planner.acceptance["exact greedy"] = AcceptanceModel.measured(0.75, FEWEST_JUDGED - 1)
        assert planner.known_acceptance("exact greedy") is None
        planner.note_agreement(0.5, 100)
        assert MEASURED in planner.acceptance and planner.known_acceptance("token greedy") == pytest.approx(0.5)


def test_an_expert_that_is_here_has_no_round_trip() -> None:
    with load_pair(TABLES, backend=lambda source: TableBackend()) as pair:
        assert trip_of(pair) is None
        assert elsewhere_of(pair, LatencyModel({1: 1.0, 4: 2.0}, 0.1), 0.9) is None
