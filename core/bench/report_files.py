"""The files of a report: report.json, CSV, Markdown, and one HTML page that needs nothing from outside.

Texts from outside pass `visible`; the page escapes every value.
"""

import csv
import importlib.resources
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment

from ..atomic import atomic_write
from ..looks.sheet import sheet
from ..visible import one_line, visible
from .answers import ShownPrompt
from .conclusion import conclusion
from .frontier import FrontierDocument, method_of
from .plots import Point, acceptance_plot, curves_plot, frontier_plot, latency_plot
from .report import Report, head, warnings
from .summary import FORMULAS, RIGHT, ArmSummary
from .tables import judged_by, tables

REPORT_FILES = ("report.json", "report.csv", "report.md", "report.html", "frontier.svg")
QUALITY = {RIGHT: "right answers", "bleu": "BLEU", "rouge": "ROUGE-L", "log-prob": "expert log-prob, nats a token"}


def markdown(report: Report) -> str:
    """For pasting."""
    told = conclusion(report.arms)
    parts = [f"### speccas bench: {report.manifest['pair']}", *([f"**{told}**"] if told else [])]
    parts += [] if report.frontier is None else ["\n".join(f"- {line}" for line in report.frontier.claims)]
    parts += [*head(report), *warnings(report)]
    for table in tables(report):
        rows = [table.columns, tuple("---" for _ in table.columns), *table.rows]
        body = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
        parts.append(f"**{table.title}**\n\n{body}")
    parts.append("\n".join(f"- {line}" for line in FORMULAS))
    return visible("\n\n".join(parts)) + "\n"


def comma_separated(report: Report) -> str:
    """One row an arm, every figure a column."""
    out = io.StringIO()
    rows = [
        dict(flat({k: v for k, v in arm.as_json().items() if k not in ("groups", "per_prompt")})) for arm in report.arms
    ]
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: one_line(v) if isinstance(v, str) else v for k, v in row.items()})
    return out.getvalue()


def flat(data: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Nested keys joined by points."""
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{before}{key}.")
        else:
            yield before + key, value


def plots(report: Report) -> list[dict[str, str]]:
    """The SVGs of the page, each with its title; some lie beside the page as well, in a `file`."""
    found = [] if report.frontier is None else curves(report.frontier)
    for kind in plotted(report.arms):
        points = [
            Point(arm.label, arm.speedup, arm.scores[kind].change, arm.rule is None)
            for arm in report.arms
            if kind in arm.scores
        ]
        file = {} if found else {"file": "frontier.svg"}
        found.append(
            {"title": f"Speed-up against {QUALITY[kind]}", "svg": frontier_plot(points, QUALITY[kind]), **file}
        )
    shares = {
        arm.label: {group: figures.acceptance for group, figures in arm.groups.items()}
        for arm in report.arms
        if arm.acceptance is not None
    }
    found.append({"title": "Acceptance by group", "svg": acceptance_plot(report.groups, shares)})
    found.append({"title": "Time between rounds", "svg": latency_plot({arm.label: arm.gap_ms for arm in report.arms})})
    return [plot for plot in found if plot["svg"]]


def curves(found: FrontierDocument) -> list[dict[str, str]]:
    """A plot of the methods' curves for each cost and quality, of arms that answered all prompts."""
    drawn = []
    for cost, name, of_cost in (("measured", "measured", ""), ("elsewhere", f"on {found.machine}", "-stated")):
        for quality, word, of_quality in (("log_prob", QUALITY["log-prob"], ""), ("score", "the score", "-score")):
            points: dict[str, list[tuple[float, float]]] = {}
            for arm in found.arms:
                spent, change = getattr(arm, cost), getattr(arm, quality).value
                if spent is not None and change is not None and arm.prompts == found.prompts:
                    points.setdefault(method_of(arm.arm), []).append((spent, change))
            title = f"Cost against {word}: {name}"
            file = f"frontier{of_cost}{of_quality}.svg"
            drawn.append({"title": title, "svg": curves_plot(points, name, word), "file": file})
    return drawn


def plotted(arms: Sequence[ArmSummary]) -> list[str]:
    """Qualities with an interval, the one that arms were judged by first, and the log-probability in any case."""
    first = judged_by(arms)
    known = [
        name for arm in arms for name, score in arm.scores.items() if score.change.low is not None or name == "log-prob"
    ]
    return list(dict.fromkeys([*([first] if first in known else []), *known]))


def page(report: Report, answers: Sequence[ShownPrompt] = ()) -> str:
    """The HTML page: no script, nothing from outside, every value escaped. `answers`: those that it shows."""
    environment = Environment(autoescape=True)
    environment.filters["visible"] = visible
    source = importlib.resources.files(__package__).joinpath("report.html.jinja").read_text(encoding="utf-8")
    first, *rest = tables(report)
    return environment.from_string(source).render(
        colours=sheet("colours"),
        title=str(report.manifest["pair"]),
        conclusion=conclusion(report.arms),
        claims=() if report.frontier is None else report.frontier.claims,
        head=head(report),
        answers=answers,
        warnings=warnings(report),
        first=[first],
        rest=rest,
        plots=plots(report),
        formulas=FORMULAS,
        facts=[(name, value if isinstance(value, str) else json.dumps(value)) for name, value in flat(report.manifest)],
    )


def write(report: Report, directory: Path, answers: Sequence[ShownPrompt] = ()) -> list[Path]:
    """All files of a report, each put in place whole. `answers`: those that the page shows."""
    made = []
    for name, text in (
        ("report.json", json.dumps(report.as_json(), ensure_ascii=False, indent=1) + "\n"),
        ("report.csv", comma_separated(report)),
        ("report.md", markdown(report)),
        ("report.html", page(report, answers)),
        *((plot["file"], plot["svg"]) for plot in plots(report) if "file" in plot),
    ):
        atomic_write(directory / name, text)
        made.append(directory / name)
    return made
