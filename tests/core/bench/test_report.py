"""Summaries and report files on made-up samples: hostile texts, missing figures, and what the plots show."""

import csv
import io
import json
import xml.etree.ElementTree as tree
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from speccas.core.bench.comparison import changes, read_report
from speccas.core.bench.plots import Point, Scale, acceptance_plot, frontier, frontier_plot, latency_plot
from speccas.core.bench.report import Report
from speccas.core.bench.report_files import comma_separated, markdown, page, plots, write
from speccas.core.bench.samples import Sample
from speccas.core.bench.stats import IntervalEstimate, percentiles
from speccas.core.bench.summary import summarise
from speccas.core.bench.tables import tables
from speccas.core.errors import IntegrityError, UsageError
from tests.core.bench.test_protocol import sample

HOSTILE = "</style><script>alert(1)</script>\x1b[31m\u202e|\"'`"
MANIFEST: dict[str, Any] = {
    "pair": HOSTILE,
    "drafter": {"file": HOSTILE, "sha256": "d" * 64},
    "expert": {"file": "e.gguf", "sha256": "e" * 64},
    "cpu": "x",
    "threads": 1,
    "llama_cpp_python": "0",
    "temperature": 0.0,
    "bench": {
        "prompts": HOSTILE, "played": 8, "count": 8, "repeats": 1, "k": [4], "max_tokens": 8, "ignore_eos": False,
        "order": "o", "notes": [HOSTILE],
    },
}  # fmt: skip


def made(prompts: int = 8, **arms: float) -> list[Sample]:
    """An expert and arms at a fixed multiple of its speed."""
    found = []
    for i in range(prompts):
        for name, factor in {"expert": 1.0, **arms}.items():
            name = name.replace("_", ":0.")
            found.append(replace(sample(name, f"p{i}", speed=10.0 * factor), group=f"g{i % 2}"))
    return found


def report(samples: list[Sample]) -> Report:
    return Report(MANIFEST, summarise(samples), {HOSTILE: HOSTILE}, True, 1 << 30, 1.0)


def test_rows_stand_in_one_order_whatever_was_played_first() -> None:
    def dialled(s: Sample) -> Sample:
        alpha = float(s.figures.name.partition(":")[2] or 0)
        return replace(s, figures=replace(s.figures, alpha=alpha))

    samples = [dialled(s) for s in made(token_9=1.5, token_1=1.1, exact=0.9, drafter=3.0)]
    for order in (samples, samples[::-1]):
        labels = [arm.label for arm in summarise(order)]
        assert labels == ["expert", "drafter", "exact", "token:0.1", "token:0.9"]


def test_the_speed_up_without_a_machine_is_of_all_tokens_over_all_costs() -> None:
    """Two answers of 10 tokens at 1.0 and 4.0 are 20 tokens for the cost of 12.5, not 2.5 at the mean."""
    flats = {"p0": 1.0, "p1": 4.0}
    found = [replace(s, figures=replace(s.figures, speedup_if_flat=flats[s.prompt_id])) for s in made(2, exact=0.5)]
    arm = next(arm for arm in summarise(found) if arm.name == "exact")
    assert arm.speedup_if_flat == pytest.approx(20 / 12.5)
    drafting = list(tables(report(found)))[1]
    assert drafting.rows[1][drafting.columns.index("if flat")] == "1.60x"
    assert summarise(made(2, exact=0.5))[1].speedup_if_flat is None, "samples of version 0.1 do not say"


def test_samples_without_their_expert_count_for_nothing() -> None:
    samples = [s for s in made(token_5=2.0) if not (s.figures.name == "expert" and s.prompt_id == "p0")]
    arm = next(arm for arm in summarise(samples) if arm.name == "token:0.5")
    assert (arm.prompts, arm.speedup.n, arm.speedup.value) == (7, 7, 2.0)


def test_repeats_do_not_make_prompts() -> None:
    """Forty samples of two prompts are two prompts: no interval."""
    samples = [replace(s, repeat=r) for r in range(20) for s in made(prompts=2, exact=1.5)]
    arm = summarise(samples)[1]
    assert (arm.samples, arm.speedup.n, arm.speedup.low, arm.verdict) == (40, 2, None, "no difference shown")


def test_quality_says_not_measured_where_nothing_was() -> None:
    samples = [replace(s, figures=replace(s.figures, expert_logprob=None)) for s in made(exact=1.5)]
    samples = [replace(s, ids=(9,)) if s.figures.name == "exact" else s for s in samples]
    arm = summarise(samples)[1]
    assert arm.quality_loss == "not measured"
    first = next(tables(report(samples)))
    assert first.rows[1].count("not measured") == 3
    assert "not measured" in markdown(report(samples))


def test_right_answers_are_judged_before_log_prob() -> None:
    def scored(s: Sample) -> Sample:
        wrong = s.figures.name == "exact" and s.prompt_id != "p0"
        return replace(s, scorer="numeric", score=float(not wrong), ids=(5,) if wrong else s.ids)

    arm = summarise([scored(s) for s in made(exact=1.5)])[1]
    found = arm.scores["right"].right_wrong
    assert found is not None and (found.lost, found.won) == (7, 0)
    assert (arm.quality_by, arm.quality_loss) == ("right", "loss")


@pytest.mark.parametrize(("change", "word"), [(0.5, "small at most"), (0.0, "small at most"), (-0.5, "loss")])
def test_a_text_that_the_expert_finds_likelier_is_not_better(change: float, word: str) -> None:
    """Repeating itself makes a text likely: by log-prob alone, nothing is called better."""

    def likelier(s: Sample) -> Sample:
        mine = s.figures.name == "exact"
        log_prob = -1.0 + change * mine + 0.001 * int(s.prompt_id[1:])
        return replace(s, figures=replace(s.figures, expert_logprob=log_prob), ids=(5,) if mine else s.ids)

    arm = summarise([likelier(s) for s in made(exact=1.5)])[1]
    assert (arm.quality_by, arm.quality_loss) == ("log-prob", word)


def test_nothing_from_outside_reaches_the_page_as_markup() -> None:
    samples = [replace(s, group=HOSTILE, prompt_id=HOSTILE + s.prompt_id) for s in made(exact=1.5)]
    text = page(report(samples))
    assert "<script" not in text and "\x1b" not in text and "\u202e" not in text
    assert "&lt;script&gt;" in text
    for plot in plots(report(samples)):
        assert "<script" not in plot["svg"]
        tree.fromstring(plot["svg"])
    assert "\x1b" not in markdown(report(samples)) and "\x1b" not in comma_separated(report(samples))
    for line in markdown(report(samples)).splitlines():
        if line.startswith("| exact"):
            assert line.count(" | ") >= 5


def test_csv_has_a_row_an_arm() -> None:
    rows = list(csv.DictReader(io.StringIO(comma_separated(report(made(exact=1.5, lossy=2.0))))))
    assert [row["label"] for row in rows] == ["expert", "exact", "lossy"]
    assert float(rows[1]["speedup.value"]) == 1.5 and rows[1]["gap_ms.p99"] == ""


def test_an_empty_run_still_makes_a_report(tmp_path: Path) -> None:
    made_files = write(report([]), tmp_path)
    assert {file.name for file in made_files} == {"report.json", "report.csv", "report.md", "report.html"}


def test_the_frontier_is_what_nothing_beats() -> None:
    def point(label: str, speed: float, quality: float) -> Point:
        return Point(label, IntervalEstimate(speed, None, None, 9), IntervalEstimate(quality, None, None, 9))

    points = [
        point("expert", 1, 0),
        point("slow and bad", 0.9, -0.1),
        point("fast", 1.5, -0.2),
        point("equal", 1.5, -0.2),
    ]
    assert frontier(points) == {"expert", "fast", "equal"}
    svg = frontier_plot([*points, point("drafter", 9, -3)], "quality")
    drawn = tree.fromstring(svg)
    circles = [e for e in drawn.iter() if e.tag.endswith("circle")]
    assert len(circles) == 4 and sum(e.get("fill") == "#fff" for e in circles) == 1
    assert "drafter: 9.00x, -3.00, outside the plot" in svg
    assert frontier_plot([], "quality") == ""


def test_intervals_are_drawn() -> None:
    one = Point("a", IntervalEstimate(1.2, 1.1, 1.3, 9), IntervalEstimate(-0.1, -0.2, 0.0, 9))
    bare = Point("a", IntervalEstimate(1.2, None, None, 9), IntervalEstimate(-0.1, None, None, 9))
    assert frontier_plot([one], "q").count("<line") >= frontier_plot([bare], "q").count('stroke="#0b57d0"')
    assert frontier_plot([one], "q").count('stroke="#0b57d0" stroke-width="1.2"') == 2
    assert frontier_plot([bare], "q").count('stroke="#0b57d0" stroke-width="1.2"') == 0


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.97, 1.04), (-3.0, 250.0), (0.0, 1e-4), (0.0, 9e5)])
def test_ticks_lie_on_the_axis_and_are_few(low: float, high: float) -> None:
    ticks = Scale(low, high, 0, 100).ticks()
    assert 2 <= len(ticks) <= 9 and all(low - 1e-6 <= tick <= high + 1e-6 for tick in ticks)


def test_the_other_plots_draw_every_arm() -> None:
    svg = acceptance_plot(["a", "b"], {"exact": {"a": 0.5, "b": None}, "token": {"a": 1.0}})
    assert svg.count("<rect") == 1 + 4 and ">50%<" in svg
    svg = latency_plot({"expert": percentiles([1, 2, 3]), "peer": percentiles([])})
    assert ">expert<" in svg and "peer" not in svg


def test_two_reports_pair_their_prompts() -> None:
    a, b = ({"manifest": MANIFEST, **report(made(exact=f)).as_json()} for f in (1.0, 1.3))
    exact = changes(json.loads(json.dumps(a)), json.loads(json.dumps(b)))[1]
    assert exact.speed.value == pytest.approx(1.3) and exact.verdict == "faster"


@pytest.mark.parametrize(
    "text", ["", "[]", '{"schema": 2}', '{"schema": 1, "arms": [{}], "manifest": {}}', "[" * 10**5]
)
def test_what_is_no_report_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "report.json"
    file.write_text(text)
    with pytest.raises(IntegrityError):
        read_report(file)
    with pytest.raises(UsageError):
        read_report(tmp_path / "none")
