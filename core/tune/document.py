"""What a search found as a JSON document: printed, and kept as evidence beside what was saved."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..calibration import ceiling
from ..calibration.dear import dear_of
from ..record.exactness import exactness
from .candidates import FALLBACK
from .confidence import FittedConfidence
from .decide import finding
from .run import TuneResult
from .standing import estimate_json, front

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class RoundDocument:
    """A halving round: how many settings were played on its prompts, how many go on, and the frontier by then."""

    prompts: int
    settings: int
    go_on: int
    frontier: Sequence[str]
    confirmed: bool


@dataclass(frozen=True, slots=True)
class ChosenDocument:
    """The setting that is kept."""

    rule: str
    draft_tokens: int | str
    faster: bool
    fallback: bool
    speedup: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TuneDocument:
    """A search and its outcome. `searched`, `finalists`: the figures of each setting, with why it was eliminated and
    with its verdict. Times are in seconds; losses and the floor are shares."""

    manifest: Mapping[str, Any]
    machine: str
    max_quality_loss: float
    curve: Mapping[str, Any]
    threads: int
    threads_tried: Mapping[str, float]
    confidence: FittedConfidence | None
    """The drafter's, where it was fitted."""
    left_out: Mapping[str, float]
    skipped: Mapping[str, str]
    rungs: Sequence[RoundDocument]
    searched: Sequence[Mapping[str, Any]]
    finalists: Sequence[Mapping[str, Any]]
    frontier: Sequence[str]
    chosen: ChosenDocument
    finding: str
    profile: str | None
    """The profile that the setting was saved for; None where it was not."""
    saved: str | None
    """The file with the setting."""
    evidence: str
    """The file that holds this document."""

    def as_json(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **asdict(self)}


def tune_document(result: TuneResult, profile: Path | None, saved: Path | None, evidence: Path) -> TuneDocument:
    """`profile`, `saved` and `evidence` as in the document."""
    prepared, choice = result.prepared, result.choice
    search, curve = prepared.search, prepared.times.curve
    dear = dear_of(prepared.bench.pair, curve)
    standing = choice.standing
    assert standing is not None
    last = {each.candidate: each for halving in search.rounds if not halving.confirmed for each in halving.standings}
    return TuneDocument(
        manifest=prepared.manifest,
        machine=result.machine,
        max_quality_loss=prepared.plan.floor,
        curve={
            **ceiling.as_json(curve.costs),
            "spread": round(curve.spread, 3),
            "dear": None if dear is None else asdict(dear),
        },
        threads=result.threads,
        threads_tried={str(count): seconds for count, seconds in prepared.times.threads.items()},
        confidence=prepared.confidence,
        left_out={str(k): times for k, times in prepared.left_out.items()},
        skipped=prepared.bench.skipped,
        rungs=[
            RoundDocument(
                prompts=halving.prompts,
                settings=len(halving.standings),
                go_on=len(halving.alive),
                frontier=[each.candidate.label for each in front(halving.standings)],
                confirmed=halving.confirmed,
            )
            for halving in search.rounds
        ],
        searched=[{**each.as_json(), "out": search.eliminated.get(candidate)} for candidate, each in last.items()],
        finalists=[
            {**each.standing.as_json(), "faster": each.faster, "within_floor": each.within, "why": each.why or None}
            for each in choice.verdicts
        ],
        frontier=[each.candidate.label for each in front([each.standing for each in choice.verdicts])],
        chosen=ChosenDocument(
            rule=choice.candidate.name,
            draft_tokens=choice.candidate.k,
            faster=choice.faster,
            fallback=choice.candidate == FALLBACK,
            speedup=estimate_json(standing.speedup()),
        ),
        finding=finding(choice, prepared.plan.floor, exactness(prepared.manifest)),
        profile=None if profile is None else str(profile),
        saved=None if saved is None else str(saved),
        evidence=str(evidence),
    )
