"""Two reports of a bench compared, prompt by prompt.

The runs were not interleaved, so what the machine did in between is part of every ratio; only prompts are paired.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import IntegrityError, UsageError
from .protocol import differing
from .report import SCHEMA
from .stats import IntervalEstimate, mean, median, verdict
from .tables import Table, estimate

CAVEAT = (
    "B against A, prompt by prompt, over the prompts that both have. The two runs were not interleaved: what "
    "changed on the machine between them is in the ratios."
)


@dataclass(frozen=True, slots=True)
class Change:
    """One arm in both runs."""

    label: str
    speed: IntervalEstimate
    score: IntervalEstimate
    log_prob: IntervalEstimate
    verdict: str


def read_report(path: Path) -> dict[str, Any]:
    """A report.json, or the one in a directory. Raises UsageError and IntegrityError."""
    file = path / "report.json" if path.is_dir() else path
    try:
        report = json.loads(file.read_bytes())
        if report["schema"] != SCHEMA:
            raise ValueError(f"schema {report['schema']}, this speccas reads {SCHEMA}")
        for arm in report["arms"]:
            arm["label"], arm["per_prompt"].items()
        report["manifest"].items()
    except OSError as error:
        raise UsageError(
            f"cannot read {file}: {error.strerror}", "give two report.json, or their directories"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise IntegrityError(
            f"{file} is no report of speccas bench ({type(error).__name__}: {str(error)[:80]})",
            "give the report.json of a run",
        ) from None
    return dict(report)


def changes(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Change]:
    """Arms that both runs have, in B's order."""
    before = {arm["label"]: arm["per_prompt"] for arm in a["arms"]}
    return [
        change(arm["label"], before[arm["label"]], arm["per_prompt"]) for arm in b["arms"] if arm["label"] in before
    ]


def change(label: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> Change:
    shared = [prompt for prompt in b if prompt in a]

    def paired(name: str) -> list[tuple[float, float]]:
        found = [(a[prompt].get(name), b[prompt].get(name)) for prompt in shared]
        return [(x, y) for x, y in found if x is not None and y is not None]

    speed = median([y / x for x, y in paired("tokens_per_second") if x])
    score, log_prob = (mean([y - x for x, y in paired(name)]) for name in ("score", "expert_logprob"))
    return Change(label, speed, score, log_prob, verdict(speed, speed))


def table(found: list[Change]) -> Table:
    return Table(
        "B against A",
        ("arm", "tokens/s, B / A", "verdict", "score, B - A", "log-prob, B - A"),
        tuple(
            (
                each.label,
                estimate(each.speed, ".2f", "x"),
                each.verdict,
                estimate(each.score, "+.2f") if each.score.n else "not measured",
                estimate(each.log_prob, "+.3f") if each.log_prob.n else "not measured",
            )
            for each in found
        ),
    )


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """What the two runs were measured on differently."""
    return [each.replace(", now ", " in A, in B ") for each in differing(a["manifest"], b["manifest"])]
