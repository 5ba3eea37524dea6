"""The tables of a report, as text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..decoding.arms import REFERENCE
from .frontier import ELSEWHERE, MEASURED, FrontierDocument
from .frontier import SMALL as SMALL_LOSS
from .report import Report
from .stats import BETTER, LOSS, NOT_SHOWN, SMALL, IntervalEstimate, Percentiles
from .summary import RIGHT, ArmSummary, QualityScore


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as text, the first column names the row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def number(value: float | None, form: str, end: str = "") -> str:
    return "-" if value is None else format(value, form) + end


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
    if report.frontier is not None:
        yield from frontier_tables(report.frontier)
    yield headline(arms)
    kinds = [kind for kind in dict.fromkeys(name for arm in arms for name in arm.scores) if kind != "log-prob"]
    if kinds:
        yield qualities(arms, kinds)
    yield Table(
        "Drafting and time",
        ("arm", "acceptance", "kept", "deferred", "tokens/call", "if flat", "drafter", "expert", "rest"),
        tuple(
            (
                arm.label,
                number(arm.acceptance, ".1%"),
                number(arm.kept, ".1%"),
                number(arm.deferred, ".1%"),
                number(arm.tokens_per_expert_call, ".2f"),
                number(arm.speedup_if_flat, ".2f", "x"),
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


def frontier_tables(found: FrontierDocument) -> Iterator[Table]:
    """Who beats whom at equal cost, what is fastest at a small loss, and every point; a table without rows is none."""
    where = {MEASURED: "measured", ELSEWHERE: "stated machine"}
    every = (
        Table(
            "At equal cost: mean gain of quality over the costs that both reach",
            ("method", "against", "cost", "by", "gain"),
            tuple(
                (each.method, each.other, where[each.cost], each.quality, estimate(each.gain, "+.3f"))
                for each in found.duels
            ),
        ),
        Table(
            f"At equal quality: the fastest whose loss is shown to be within {SMALL_LOSS:g} nats a token",
            ("method", "arm", "cost", "speed-up", "over exact", "change of log-prob"),
            tuple(
                (
                    each.method,
                    each.arm,
                    where[each.cost],
                    estimate(each.speedup, ".2f", "x"),
                    estimate(each.over_exact, ".2f", "x"),
                    estimate(each.change, "+.3f"),
                )
                for each in found.small
            ),
        ),
        Table(
            f"Points: cost of a token in tokens of the expert alone, measured and on {found.machine}",
            ("arm", "prompts", "measured", "stated", "calls/token", "steps/token", "log-prob", "score"),
            tuple(
                (
                    each.arm,
                    str(each.prompts),
                    number(each.measured, ".2f"),
                    number(each.elsewhere, ".2f"),
                    number(each.calls, ".2f"),
                    number(each.steps, ".2f"),
                    estimate(each.log_prob, "+.3f"),
                    estimate(each.score, "+.2f"),
                )
                for each in found.arms
            ),
        ),
    )
    yield from (table for table in every if table.rows)


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
