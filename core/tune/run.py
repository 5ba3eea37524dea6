"""A search from its plan to its result: where its samples are, what is measured first, which lengths are left out."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from platformdirs import user_state_path

from ..bench.protocol import Bench, Conditions
from ..bench.run_directory import check_manifest
from ..bench.samples import SampleFile
from ..bench.suites import Item, Suite, spread
from ..errors import UsageError
from ..record.manifest import machine_of
from .candidates import Candidate, unprofitable_lengths
from .confidence import FittedConfidence, keep_confidence, kept_confidence, measure_confidence
from .decide import Choice
from .halving import answers, search_half
from .machine_times import MachineTimes, adopt_times, measure_times, read_times, write_times
from .search import BLOCK, Search

CURVE = "curve.json"
CONFIDENCE = "confidence.json"


@dataclass(frozen=True, slots=True)
class TunePlan:
    """What a search tries on which prompts. `floor`: the share of quality that may be lost."""

    suite: Suite
    items: Sequence[Item]
    candidates: Sequence[Candidate]
    floor: float
    repeats: int
    allow_code: bool
    threads: int | None
    """Where the number is given; else the best is sought."""
    calibrate: bool = False
    """Fit a temperature to the drafter's confidence first."""

    @property
    def most_answers(self) -> int:
        """How many answers the search takes at most."""
        half = len(search_half(self.items))
        return answers(len(self.candidates), 0, half, len(self.items), self.repeats, BLOCK)


def tune_items(suite: Suite, limit: int | None) -> Sequence[Item]:
    """The first `limit` prompts, groups in turn. Raises UsageError where they are too few to search and to confirm."""
    items = spread(suite.items, limit)
    if not search_half(items):
        raise UsageError(f"tune needs at least two prompts, and {suite.name} has {len(items)}", "give more prompts")
    return items


def search_directory(name: str) -> Path:
    """Where the samples of this pair's search are. Raises UsageError where it cannot be made."""
    directory = user_state_path("speccas") / "tune" / re.sub(r"[^\w.-]+", "_", name)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        hint = "set XDG_STATE_HOME to a folder of yours"
        raise UsageError(f"cannot make {directory}: {error.strerror}", hint) from None
    return directory


def samples_in(directory: Path, resume: bool) -> SampleFile:
    """The samples of the search in this directory; those of one before are dropped unless it is to go on."""
    file = directory / "samples.jsonl"
    if not resume:
        for each in (file, directory / "manifest.json", directory / CURVE, directory / CONFIDENCE):
            each.unlink(missing_ok=True)
    return SampleFile(file, resume=True)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A search that can begin. `left_out`: draft lengths that cannot pay here, each with the most it could reach."""

    plan: TunePlan
    bench: Bench
    times: MachineTimes
    left_out: Mapping[int, float]
    manifest: Mapping[str, Any]
    search: Search
    confidence: FittedConfidence | None = None
    """None where it was not asked for."""


def search_facts(plan: TunePlan, conditions: Conditions) -> dict[str, Any]:
    """What a search adds to the manifest."""
    length = conditions.length
    return {
        "prompts": plan.suite.name,
        "prompts_sha256": plan.suite.sha256,
        "played": len(plan.items),
        "max_tokens": length.max_tokens,
        "ignore_eos": length.ignore_eos,
        "stop": list(length.stop),
        "system": conditions.system,
        "raw": conditions.raw,
        "allow_code": plan.allow_code,
    }


def prepare(
    plan: TunePlan,
    bench: Bench,
    directory: Path,
    about: Mapping[str, Any],
    resume: bool,
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> Prepared:
    """Measure the machine and the drafter's confidence, or read what was measured, and check that the samples are of
    the same search. `about`: what every manifest says. `tell` hears of the prompts for the confidence. Raises OtherRun,
    IntegrityError, Stopped."""
    times = read_times(directory / CURVE) or measure_times(bench, plan.threads)
    adopt_times(bench, times, plan.threads)
    confidence = adopt_confidence(bench, directory / CONFIDENCE, tell) if plan.calibrate else None
    own = {
        **about,  # was written before these two were known
        "threads": bench.pair.expert.threads,
        "confidence_temperature": bench.conditions.sampling.confidence,
    }
    manifest = check_manifest(directory, own, search_facts(plan, bench.conditions), resume)
    if not (directory / CURVE).exists():
        write_times(times, directory / CURVE)
    curve = times.curve
    sound = curve.steady and bench.conditions.lookup != "on"  # a draft that is looked up takes no step of the drafter
    left_out = unprofitable_lengths(curve.costs, {each.k for each in plan.candidates}) if sound else {}
    playable = [each for each in plan.candidates if each.k not in left_out]
    search = Search(bench, playable, plan.floor, plan.repeats)
    return Prepared(
        plan=plan,
        bench=bench,
        times=times,
        left_out=left_out,
        manifest=manifest,
        search=search,
        confidence=confidence,
    )


def adopt_confidence(bench: Bench, file: Path, tell: Callable[[int, int], None]) -> FittedConfidence:
    """Read the drafter at the temperature that fits it from now on; what a search found that goes on stands."""
    found = kept_confidence(file)
    if found is None:
        found = measure_confidence(bench.pair, list(bench.prompts()), tell)
        keep_confidence(found, file)
    sampling = replace(bench.conditions.sampling, confidence=found.temperature)
    bench.conditions = replace(bench.conditions, sampling=sampling)
    return found


@dataclass(frozen=True, slots=True)
class TuneResult:
    """Everything that a search came to. `threads`: that its answers were computed with."""

    prepared: Prepared
    choice: Choice
    machine: str
    threads: int
    temperature: float
    confidence_temperature: float
    """That rules read q at."""


def result_of(prepared: Prepared, choice: Choice) -> TuneResult:
    """The result of a search that is over; its pair is still loaded."""
    pair, sampling = prepared.bench.pair, prepared.bench.conditions.sampling
    return TuneResult(
        prepared=prepared,
        choice=choice,
        machine=machine_of(pair),
        threads=pair.expert.threads,
        temperature=sampling.temperature,
        confidence_temperature=sampling.confidence,
    )
