"""What came out of making a pair's files fit a machine: as values, as the JSON document and card, and as a sentence."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..bench.stats import IntervalEstimate
from ..record.exactness import exactness
from .confirm import ConfirmedSpeed
from .judge import JudgedFiles
from .quality import Quality
from .survey import OptimizePlan, OptimizeSurvey

SCHEMA = 1
VISIBLE_LOSS = 0.01
"""Nats a token, from which a loss shows."""


@dataclass(frozen=True, slots=True)
class MadeFile:
    """A file of the new pair: what it was made of, and how. `recipe` is empty where it is the source's own."""

    file: str
    bytes: int
    sha256: str
    source: str
    source_sha256: str
    recipe: str


@dataclass(frozen=True, slots=True)
class OptimizeOutcome:
    """What was found. `chosen` None: nothing better was made; `profile` None: nothing was written, and `why` says so.
    `ideal`: the most that other files could have won."""

    plan: OptimizePlan
    survey: OptimizeSurvey
    machine: Mapping[str, str | int]
    source: JudgedFiles
    ideal: float
    judged: Sequence[JudgedFiles] = ()
    chosen: JudgedFiles | None = None
    confirmed: ConfirmedSpeed | None = None
    why: str = ""
    seconds: float = 0.0
    files: Mapping[str, MadeFile] | None = None
    profile: Path | None = None
    folder: Path | None = None

    @property
    def four_bits_show(self) -> bool:
        """Whether a source of four bits lost visibly: a larger file would be the better one to start from."""
        costs = [each.cost for each in self.judged if each.quality is not None]
        return self.survey.four_bits and bool(costs) and min(costs) > VISIBLE_LOSS

    @property
    def finding(self) -> str:
        """One sentence."""
        if self.confirmed is None or self.chosen is None:
            return f"nothing written: {self.why}"
        found, loss = self.confirmed, self.chosen.cost
        told = (
            f"{self.chosen.name}: {times(found.times)} the source expert alone with exact, {times(found.own_times)} "
            f"its own expert alone, which is {times(found.new_alone_times)} the source; it loses "
            f"{max(0.0, loss):.3f} nats a token against its source"
        )
        return told if self.profile is not None else f"nothing written: {self.why} ({told})"


def times(found: IntervalEstimate) -> str:
    """`1.32x [1.25, 1.40]`."""
    if found.value is None:
        return "-"
    interval = "" if found.low is None else f" [{found.low:.2f}, {found.high:.2f}]"
    return f"{found.value:.2f}x{interval}"


@dataclass(frozen=True, slots=True)
class JudgedDocument:
    """Figures of a pair of files. `relative`: a call of n tokens in tokens of its own expert alone, and `step` a step
    of the drafter; `one`: how many times as fast the expert alone is as the source; `loss` in nats a token against it;
    `times`: predicted speed over the source expert alone, at draft length `k` (0: off)."""

    name: str
    drafter: str
    expert: str
    seconds: float
    relative: Mapping[str, float]
    step: float
    spread: float
    one: float
    loss: float
    kl: float | None
    same_argmax: float | None
    tokens_judged: int | None
    acceptance: float
    languages: float | None
    vocabulary: int
    k: int
    times: float
    within: bool


@dataclass(frozen=True, slots=True)
class OptimizeDocument:
    """The document of `optimize --json`, and the card beside the files."""

    of: str
    name: str
    speccas: str
    machine: Mapping[str, str | int]
    licence: str
    max_loss: float
    left_out: Mapping[str, Mapping[str, str]]
    untrimmed: str
    disk_bytes: int
    memory_bytes: int
    ideal: float
    source: JudgedDocument
    judged: Sequence[JudgedDocument]
    chosen: str | None
    confirmed: Mapping[str, Any] | None
    finding: str
    seconds: float
    files: Mapping[str, MadeFile] | None
    profile: str | None
    folder: str | None
    schema: int = SCHEMA

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def document_of(outcome: OptimizeOutcome) -> OptimizeDocument:
    plan, found = outcome.plan, outcome.survey
    confirmed = None if outcome.confirmed is None else asdict(outcome.confirmed)
    return OptimizeDocument(
        of=plan.profile.name,
        name=plan.name,
        speccas=version("speccas"),
        machine=outcome.machine,
        licence=plan.profile.licence or found.files["expert"].header.get("general.license", str, ""),
        max_loss=plan.max_loss,
        left_out=found.left_out,
        untrimmed=found.untrimmed,
        disk_bytes=found.disk,
        memory_bytes=found.memory,
        ideal=round(outcome.ideal, 3),
        source=judged_document(outcome.source, plan.max_loss),
        judged=[judged_document(each, plan.max_loss) for each in outcome.judged],
        chosen=None if outcome.chosen is None else outcome.chosen.name,
        confirmed=confirmed,
        finding=outcome.finding,
        seconds=round(outcome.seconds, 1),
        files=outcome.files,
        profile=None if outcome.profile is None else str(outcome.profile),
        folder=None if outcome.folder is None else str(outcome.folder),
    )


def judged_document(files: JudgedFiles, max_loss: float) -> JudgedDocument:
    costs, lost = files.own.costs, files.quality
    one = costs.verify(1)
    return JudgedDocument(
        name=files.name,
        drafter=files.files["drafter"].name,
        expert=files.files["expert"].name,
        seconds=one,
        relative={str(n): round(seconds / one, 3) for n, seconds in sorted(costs.seen.items())},
        step=round(files.step, 3),
        spread=round(files.own.spread, 3),
        one=round(files.one, 3),
        loss=round(files.cost, 4),
        kl=None if lost is None else round(lost.kl, 4),
        same_argmax=None if lost is None else round(lost.same_argmax, 4),
        tokens_judged=None if lost is None else lost.tokens,
        acceptance=round(files.acceptance, 4),
        languages=None if files.languages is None else round(files.languages, 4),
        vocabulary=files.vocabulary,
        k=files.prediction.k,
        times=round(files.times, 3),
        within=files.cost <= max_loss,
    )


def readme_of(outcome: OptimizeOutcome) -> str:
    """The card for people."""
    known = document_of(outcome)
    made = "\n".join(
        f"- {role}: `{each.file}`, {each.bytes:,} bytes, SHA-256 {each.sha256}\n"
        f"  made of {each.source} ({each.source_sha256}): {each.recipe or 'as it is'}"
        for role, each in (known.files or {}).items()
    )
    chosen = outcome.chosen
    lost = None if chosen is None else chosen.quality
    quality = "" if lost is None else quality_text(known.name, lost)
    facts = known.machine
    return (
        f"# {known.name}\n\n{known.finding}\n\n{made}\n\n{quality}\nMade for {facts['processor']}, {facts['threads']} "
        f"threads, {facts['build']}, by speccas {known.speccas}. Licence of the source: {known.licence or 'not named'}."
        "\nAll figures: card.json.\n"
    )


def quality_text(name: str, lost: Quality) -> str:
    told = exactness({"pair": name, "optimized": {"loss": lost.cost}})
    return (
        f"Against its source, over {lost.tokens:,} tokens of built-in texts, the expert loses {lost.cost:.4f} nats a "
        f"token (KL {lost.kl:.4f}, the same best token at {lost.same_argmax:.1%}). `exact` with this pair is "
        f"{told}.\n"
    )
