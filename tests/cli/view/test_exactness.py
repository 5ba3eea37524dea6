"""What `exact` means with files that were made here: one phrase in headers, verdicts, reports and exports."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from speccas.cli.settings import Settings
from speccas.cli.view.export import to_html, to_svg
from speccas.cli.view.header import facts_of, header_lines
from speccas.cli.view.verdict import PairNotes, verdict_text
from speccas.core.bench.report_files import markdown, page
from speccas.core.decoding.sampling import Sampling
from speccas.core.files.profiles import find_profile
from speccas.core.optimize.outcome import quality_text
from speccas.core.optimize.quality import Quality
from speccas.core.record.comparison import compare_arms
from speccas.core.record.exactness import OptimizedFacts, exactness
from speccas.core.record.manifest import manifest
from speccas.core.record.trace import read_trace
from speccas.core.runtime.pair import Pair
from speccas.core.tune.decide import choose_setting, finding
from tests.core.bench.test_report import made, report
from tests.core.record.test_comparison import arm, expert
from tests.core.tune.test_decide import FLOOR, standing

PHRASE = "exact against tiny-fast, itself 0.02 nats from its source"
FACTS: dict[str, Any] = {"pair": "tiny-fast", "optimized": {"of": "tiny", "processor": "EPYC", "loss": 0.0213}}


def test_the_phrase() -> None:
    assert exactness(FACTS) == PHRASE
    for loss, told in ((0.0049, "0.005"), (0.0, "0.000"), (-0.1, "0.000"), (0.254, "0.25")):
        assert f"itself {told} nats" in exactness({**FACTS, "optimized": {"loss": loss}})


@pytest.mark.parametrize(
    "facts",
    [
        {"pair": "tiny"}, {**FACTS, "optimized": None}, {**FACTS, "optimized": "yes"}, {**FACTS, "pair": None},
        {**FACTS, "optimized": {}}, {**FACTS, "optimized": {"loss": "much"}}, {**FACTS, "optimized": {"loss": True}},
    ],
)  # fmt: skip
def test_files_as_they_came_have_none_and_a_trace_may_say_anything(facts: dict[str, Any]) -> None:
    assert exactness(facts) == ""


def test_headers_and_exports_say_it(trace: Path) -> None:
    arms = [replace(each, manifest={**each.manifest, **FACTS}) for each in read_trace(trace)]
    lines = ["".join(text for text, _ in line) for line in header_lines(arms[0].manifest, 200)]
    assert lines[2:] == [f"        {PHRASE}", "        pair tiny-fast · k 4 · temperature 0"]
    assert PHRASE in to_html(arms) and PHRASE in to_svg(arms)
    assert "nats from its source" not in to_html(read_trace(trace))


def test_verdicts_say_it_where_they_speak_of_texts() -> None:
    notes = PairNotes(exactness=PHRASE)
    won = verdict_text(compare_arms([expert(), arm("exact", 11.3)], 1.0), False, notes)
    assert won is not None and won.startswith("`exact`: the expert's own text, 1.13x") and won.endswith(f"; {PHRASE}")
    for figures in (arm("exact", 7, calls=55), arm("exact", 11, tokens=5, calls=3)):
        told = verdict_text(compare_arms([expert(), figures], 1.0), False, notes)
        assert told is not None and PHRASE not in told


def test_reports_say_it_above_their_tables() -> None:
    plain = report(made(8, exact=1.2))
    told = replace(plain, manifest={**plain.manifest, **FACTS})
    assert PHRASE in markdown(told) and PHRASE in page(told) and "nats from its source" not in markdown(plain)


def test_what_tune_found_to_lose_nothing_says_against_what() -> None:
    found = choose_setting([standing("exact", 2, 1.2)], 0.0)
    assert finding(found, 0.0, PHRASE).endswith(f"and it loses nothing ({PHRASE}).")
    kept = choose_setting([standing("exact", "auto", 1.0)], FLOOR)
    assert f"loses nothing ({PHRASE}) (" in finding(kept, FLOOR, PHRASE)


def test_the_card_beside_the_files_says_it() -> None:
    told = quality_text("tiny-fast", Quality(2818, 0.04, 0.92, 1.4787, 1.5))
    assert f"`exact` with this pair is {PHRASE}." in told


MADE = {"of": "tiny", "processor": "EPYC", "build": "0", "loss": 0.0213, "vocabulary": 0, "folder": "/x"}


@pytest.mark.tiny
def test_a_manifest_and_a_header_have_it_of_the_profile(tiny: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    assert manifest(tiny, 4, "auto", Sampling(), "run").optimized is None
    assert "optimized" not in facts_of(tiny, Settings())
    monkeypatch.setattr(tiny, "profile", replace(tiny.profile, name="tiny-fast", optimized=MADE))
    document = json.loads(json.dumps(manifest(tiny, 4, "auto", Sampling(), "run").as_json()))
    assert document["optimized"] == FACTS["optimized"] and exactness(document) == PHRASE
    assert exactness(facts_of(tiny, Settings())) == PHRASE


@pytest.mark.parametrize("table", [{}, {"of": 3}, {**MADE, "loss": "none"}, {**MADE, "processor": ["x"]}])
def test_a_table_that_somebody_else_wrote_says_nothing(table: dict[str, Any]) -> None:
    assert OptimizedFacts.of_profile(replace(find_profile("tiny"), optimized=table)) is None
