"""Whether drafting pays with a round trip: the vectors of the research notes, and what must hold of any costs.

The vectors are of k 4, a drafter's step of 10 ms and a call of five at 1.15 of the expert's token, for an expert that
writes by itself: the largest round trip is E t_e - k t_d - t_v, E the tokens of a round.
"""

import pytest

from speccas.core.calibration.elsewhere import Elsewhere, report, tokens_of
from speccas.core.decoding.length.latency import LatencyModel


def expert(token: float, trip: float = 0.0, by_call: bool = False) -> Elsewhere:
    return Elsewhere(token, LatencyModel({1: token, 5: 1.15 * token}, 0.010), trip, by_call)


def test_tokens_of_a_round() -> None:
    assert tokens_of(0.8, 4) == pytest.approx((1 - 0.8**5) / (1 - 0.8))
    assert tokens_of(1.0, 4) == 5 and tokens_of(0.0, 4) == 1


@pytest.mark.parametrize(("token", "bounds"), [(0.020, (None, 4, 19)), (0.040, (25, 49, 78)), (0.100, (122, 181, 255))])
def test_the_largest_round_trip_of_a_server(token: float, bounds: tuple[int | None, ...]) -> None:
    for acceptance, milliseconds in zip((0.7, 0.8, 0.9), bounds, strict=True):
        found = expert(token).bound(4, acceptance)
        if milliseconds is None:
            assert found is None
        else:
            assert found is not None and 1e3 * found == pytest.approx(milliseconds, abs=0.6)


@pytest.mark.parametrize("by_call", [False, True])
def test_at_its_bound_a_draft_is_as_fast_as_none(by_call: bool) -> None:
    for token, acceptance in ((0.020, 0.9), (0.040, 0.7), (0.020, 0.6)):
        trip = expert(token, by_call=by_call).bound(4, acceptance)
        if trip:
            assert expert(token, trip, by_call).speedup(4, acceptance) == pytest.approx(1.0)


def test_a_trip_makes_drafts_lose_to_a_server_and_win_over_a_worker() -> None:
    server, near = expert(0.020, 0.080), expert(0.020, 0.0)
    assert near.speedup(4, 0.9) > 1 > server.speedup(4, 0.9)
    worker = expert(0.020, 0.080, by_call=True)
    assert expert(0.020, 0.0, by_call=True).speedup(4, 0.7) < 1 < worker.speedup(4, 0.7)
    assert worker.alone == pytest.approx(0.100) and server.alone == pytest.approx(0.020)


def test_a_worker_pays_from_a_trip_on() -> None:
    found = expert(0.020, by_call=True).bound(4, 0.7)
    assert found == pytest.approx((0.040 + 0.023 - 0.020 * tokens_of(0.7, 4)) / (tokens_of(0.7, 4) - 1))
    assert expert(0.100, by_call=True).bound(4, 0.7) == 0, "at any"
    assert expert(0.020, by_call=True).bound(4, 0.0) is None, "nothing is ever accepted"


def test_the_best_length_grows_with_the_trip_and_with_acceptance() -> None:
    short, long = (expert(0.020, trip, by_call=True).best(0.8) for trip in (0.001, 0.080))
    assert short < long < expert(0.020, 0.080, by_call=True).best(0.95)
    for costs in (expert(0.04, 0.02), expert(0.04, 0.02, by_call=True)):
        k = costs.best(0.8)
        assert all(costs.drafted(k, 0.8) <= costs.drafted(other, 0.8) for other in range(1, 17))


def test_the_acceptance_that_pays() -> None:
    costs = expert(0.040, 0.020)
    needed = costs.needed(4)
    assert needed is not None and costs.speedup(4, needed) == pytest.approx(1.0)
    least = costs.pays_from()
    assert least is not None and least <= needed
    assert costs.speedup(costs.best(least), least) == pytest.approx(1.0, abs=1e-6)
    assert expert(0.010, 10.0).pays_from() is None, "the drafter is as slow as the expert, and the way is long"


def test_calls_that_were_timed_here_hold_the_trip() -> None:
    timed = LatencyModel({1: 0.060, 5: 0.063}, 0.010)
    costs = Elsewhere.measured(timed, 0.040)
    assert costs.token == pytest.approx(0.020) and costs.calls.verify(5) == pytest.approx(0.023)
    assert costs.alone == pytest.approx(0.060) and costs.round(4) == pytest.approx(0.103)


def test_the_report_and_its_line() -> None:
    found = report(expert(0.020, 0.080), known=0.9)
    assert found.pays is False and found.verdict.startswith("drafting here does not pay at 90% accepted")
    assert "a round trip of 80 ms" in found.verdict
    found = report(expert(0.020, 0.080, by_call=True), known=0.8)
    assert found.pays and found.verdict.startswith("drafting here pays: ")
    assert f"with {found.known.k} a round" in found.verdict if found.known else False
    assert report(expert(0.010, 10.0)).verdict == "at a round trip of 10000 ms, drafting here never pays"
    unknown = report(expert(0.040, 0.020))
    assert unknown.pays is None and "accepted" in unknown.verdict


def test_the_document_says_what_the_figures_do() -> None:
    found = report(expert(0.020, 0.004), known=0.8)
    assert found.as_json()["rows"][0]["round_trip_bound_seconds"] is None, "half accepted never pays here"
    document = found.as_json()
    assert document["trip_each_token"] is False and document["alone_seconds"] == pytest.approx(0.020)
    assert [row["pays"] for row in document["rows"]] == [row.speedup > 1 for row in found.rows]
    assert document["known"]["acceptance"] == 0.8 and document["verdict"] == found.verdict
