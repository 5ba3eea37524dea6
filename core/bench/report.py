"""The report of a run: tables as text, and the files report.json, CSV, Markdown and one self-contained HTML page.

Knows figures and formats; not models, and not the terminal. Texts from outside pass `visible`, the page escapes all.
"""

import csv
import importlib.resources
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment

from ..atomic import atomic_write
from ..decoding.arms import REFERENCE
from ..visible import one_line, visible
from .plots import Point, acceptance_plot, frontier_plot, latency_plot
from .stats import BETTER, LOSS, NOT_SHOWN, SMALL, IntervalEstimate, Percentiles
from .summary import FORMULAS, RIGHT, ArmSummary, QualityScore

SCHEMA = 1
QUALITY = {RIGHT: "right answers", "bleu": "BLEU", "rouge": "ROUGE-L", "log-prob": "expert log-prob, nats a token"}


@dataclass(frozen=True, slots=True)
class Report:
    """All that a run found."""

    manifest: Mapping[str, Any]
    arms: Sequence[ArmSummary]
    skipped: Mapping[str, str]
    complete: bool
    peak_memory_bytes: int | None
    load_seconds: float

    def as_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "manifest": self.manifest,
            "complete": self.complete,
            "skipped": self.skipped,
            "peak_memory_bytes": self.peak_memory_bytes,
            "load_seconds": self.load_seconds,
            "formulas": FORMULAS,
            "arms": [arm.as_json() for arm in self.arms],
        }

    @property
    def groups(self) -> list[str]:
        return list(dict.fromkeys(group for arm in self.arms for group in arm.groups))


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as text, the first column names the row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def number(value: float | None, form: str, end: str = "") -> str:
    return "-" if value is None else format(value, form) + end


def counted(count: int, what: str) -> str:
    return f"{count} {what}" + "s" * (count != 1)


def estimate(found: IntervalEstimate, form: str, end: str = "") -> str:
    """The value and its interval, or how many prompts were too few for one."""
    if found.value is None:
        return "-"
    if found.low is None or found.high is None:
        return f"{found.value:{form}}{end} (n={found.n})"
    return f"{found.value:{form}}{end} [{found.low:{form}}, {found.high:{form}}]"


def tables(report: Report) -> Iterator[Table]:
    """All tables, the one that says whether it was worth it first: speed never without quality beside it."""
    arms = report.arms
    yield headline(arms)
    kinds = [kind for kind in dict.fromkeys(name for arm in arms for name in arm.scores) if kind != "log-prob"]
    if kinds:
        yield qualities(arms, kinds)
    yield Table(
        "Drafting and time",
        ("arm", "acceptance", "kept", "deferred", "tokens/call", "drafter", "expert", "rest"),
        tuple(
            (
                arm.label,
                number(arm.acceptance, ".1%"),
                number(arm.kept, ".1%"),
                number(arm.deferred, ".1%"),
                number(arm.tokens_per_expert_call, ".2f"),
                number(arm.drafter_share, ".1%"),
                number(arm.expert_share, ".1%"),
                number(arm.rest_share, ".1%"),
            )
            for arm in arms
        ),
    )
    yield Table(
        "Text",
        ("arm", "agrees", "same text", "length", "cut off", "prompts", "answers"),
        tuple(
            (
                arm.label,
                number(arm.agreement, ".1%"),
                number(arm.same_text, ".0%"),
                estimate(arm.length, ".2f"),
                number(arm.cut_off, ".0%"),
                str(arm.prompts),
                str(arm.samples),
            )
            for arm in arms
        ),
    )
    for title, times in (
        ("Time to first token, ms", [arm.ttft_ms for arm in arms]),
        ("Gap between rounds, ms", [arm.gap_ms for arm in arms]),
        ("Inter-token latency, ms", [arm.inter_token_ms for arm in arms]),
    ):
        rows = tuple((arm.label, *spread(p)) for arm, p in zip(arms, times, strict=True))
        yield Table(title, ("arm", "P50", "P90", "P95", "P99", "n"), rows)
    if len(report.groups) > 1:
        yield Table(
            "Speed-up by group (acceptance; right or score)",
            ("arm", *report.groups),
            tuple((arm.label, *(group_cell(arm, group) for group in report.groups)) for arm in arms),
        )


def judged_by(arms: Sequence[ArmSummary]) -> str | None:
    """The quality that stands beside speed: the one that the arms were judged by."""
    return next((arm.quality_by for arm in arms if arm.quality_by is not None), None)


def headline(arms: Sequence[ArmSummary]) -> Table:
    """Whether it was worth it: speed, never without quality beside it."""
    checked = next((kind for arm in arms for kind in arm.scores if kind != "log-prob"), None)
    columns = (
        "arm",
        "tokens/s",
        "speed-up",
        "verdict",
        "answer",
        *((checked, "change") if checked else ("answers checked",)),
    )
    rows = []
    for arm in arms:
        score = arm.scores.get(checked) if checked else None
        quality = (value_of(checked, score), change_of(arm, score, "+.2f")) if checked else ("not measured",)
        log_prob = arm.scores.get("log-prob")
        rows.append(
            (
                arm.label,
                number(arm.tokens_per_second, ".1f"),
                estimate(arm.speedup, ".2f", "x"),
                arm.verdict,
                number(arm.answer.value, ".2f", "x"),
                *quality,
                "not measured" if log_prob is None else number(log_prob.value.value, ".3f"),
                change_of(arm, log_prob, "+.3f"),
                arm.quality_loss + (f" ({arm.quality_by})" if arm.quality_loss in JUDGED else ""),
            )
        )
    return Table("Speed and quality", (*columns, "log-prob", "change", "quality loss"), tuple(rows))


JUDGED = (BETTER, LOSS, SMALL, NOT_SHOWN)


def value_of(kind: str, score: QualityScore | None) -> str:
    """`75% of 20` prompts are right; a mean score of 0.31 over 8."""
    if score is None:
        return "not measured"
    return (
        f"{number(score.value.value, '.0%')} of {score.prompts}"
        if kind == RIGHT
        else f"{number(score.value.value, '.2f')} (n={score.prompts})"
    )


def change_of(arm: ArmSummary, score: QualityScore | None, form: str) -> str:
    return "-" if score is None or arm.name == REFERENCE else estimate(score.change, form)


def qualities(arms: Sequence[ArmSummary], kinds: Sequence[str]) -> Table:
    """Every checked score, with McNemar's test where answers are right or wrong."""
    columns = ["arm"]
    for kind in kinds:
        columns += [kind, "change", *(("lost, won", "McNemar p") if kind == RIGHT else ())]
    rows = []
    for arm in arms:
        row = [arm.label]
        for kind in kinds:
            score = arm.scores.get(kind)
            row += [value_of(kind, score), change_of(arm, score, "+.2f")]
            if kind == RIGHT:
                found = None if score is None or arm.name == REFERENCE else score.right_wrong
                row += ["-", "-"] if found is None else [f"{found.lost}, {found.won}", f"{found.p_value:.2g}"]
        rows.append(tuple(row))
    return Table("Checked answers", tuple(columns), tuple(rows))


def spread(found: Percentiles) -> tuple[str, ...]:
    last = "n/a" if found.n and found.p99 is None else number(found.p99, ".1f")
    return (number(found.p50, ".1f"), number(found.p90, ".1f"), number(found.p95, ".1f"), last, str(found.n))


def group_cell(arm: ArmSummary, group: str) -> str:
    found = arm.groups.get(group)
    if found is None:
        return "-"
    score = "not measured" if found.score is None else f"{found.score:.2f}"
    return f"{number(found.speedup, '.2f', 'x')} ({number(found.acceptance, '.0%')}; {score})"


def head(report: Report) -> list[str]:
    """What the run was, in lines."""
    m, bench = report.manifest, report.manifest["bench"]
    memory = report.peak_memory_bytes
    lines = [
        f"pair {m['pair']}: drafter {m['drafter']['file']}, expert {m['expert']['file']}; {m['cpu']}, "
        f"{counted(m['threads'], 'thread')}; llama-cpp-python {m['llama_cpp_python']}",
        f"{bench['played']} of {bench['count']} prompts of {bench['prompts']}, {counted(bench['repeats'], 'repeat')}, "
        f"k {', '.join(map(str, bench['k']))}, at most {bench['max_tokens']} tokens "
        f"({'end of answer ignored' if bench['ignore_eos'] else 'answers end where they end'}), "
        f"temperature {m['temperature']:g}; order: {bench['order']}",
        f"loading both models {report.load_seconds:.1f} s, not in any figure; peak memory of the process "
        f"{'not known' if memory is None else f'{memory / 2**20:.0f} MiB'} (all arms share it)",
    ]
    if bench.get("later_turns"):
        lines.append(
            f"{bench['later_turns']} later turns of conversations were not asked: their prompts would differ by arm"
        )
    return lines


def warnings(report: Report) -> list[str]:
    found = [] if report.complete else ["This run is not complete: --resume goes on."]
    found += [f"not played: prompt {name}: {why}" for name, why in report.skipped.items()]
    bench = report.manifest["bench"]
    if bench.get("unchecked_code"):
        found.append(
            f"{counted(bench['unchecked_code'], 'prompt')} for code not scored: code runs only with --allow-code"
        )
    found += bench.get("notes", [])
    return found


def markdown(report: Report) -> str:
    """For pasting."""
    parts = [f"### speccas bench: {report.manifest['pair']}", *head(report), *warnings(report)]
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
    """The SVGs of the page, each with its title."""
    found = []
    for kind in plotted(report.arms):
        points = [
            Point(arm.label, arm.speedup, arm.scores[kind].change, arm.rule is None)
            for arm in report.arms
            if kind in arm.scores
        ]
        found.append({"title": f"Speed-up against {QUALITY[kind]}", "svg": frontier_plot(points, QUALITY[kind])})
    shares = {
        arm.label: {group: figures.acceptance for group, figures in arm.groups.items()}
        for arm in report.arms
        if arm.acceptance is not None
    }
    found.append({"title": "Acceptance by group", "svg": acceptance_plot(report.groups, shares)})
    found.append({"title": "Time between rounds", "svg": latency_plot({arm.label: arm.gap_ms for arm in report.arms})})
    return [plot for plot in found if plot["svg"]]


def plotted(arms: Sequence[ArmSummary]) -> list[str]:
    """Qualities with an interval, the one that arms were judged by first, and the log-probability in any case."""
    first = judged_by(arms)
    known = [
        name for arm in arms for name, score in arm.scores.items() if score.change.low is not None or name == "log-prob"
    ]
    return list(dict.fromkeys([*([first] if first in known else []), *known]))


def page(report: Report) -> str:
    """The HTML page: no script, nothing from outside, every value escaped."""
    environment = Environment(autoescape=True)
    environment.filters["visible"] = visible
    source = importlib.resources.files(__package__).joinpath("report.html.jinja").read_text(encoding="utf-8")
    first, *rest = tables(report)
    return environment.from_string(source).render(
        title=str(report.manifest["pair"]),
        head=head(report),
        warnings=warnings(report),
        first=[first],
        rest=rest,
        plots=plots(report),
        formulas=FORMULAS,
        facts=[(name, value if isinstance(value, str) else json.dumps(value)) for name, value in flat(report.manifest)],
    )


def write(report: Report, folder: Path) -> list[Path]:
    """All files of a report, each put in place whole."""
    made = []
    for name, text in (
        ("report.json", json.dumps(report.as_json(), ensure_ascii=False, indent=1) + "\n"),
        ("report.csv", comma_separated(report)),
        ("report.md", markdown(report)),
        ("report.html", page(report)),
        *((f"frontier-{i}.svg" if i else "frontier.svg", plot["svg"]) for i, plot in enumerate(plots(report)[:1])),
    ):
        atomic_write(folder / name, text)
        made.append(folder / name)
    return made
