"""What `speccas tune` found, as a document, and saved for its profile with the evidence beside it.

Knows the search's outcome and the files it goes to; not flags, and not how anything was measured.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speccas.core.errors import UsageError

if TYPE_CHECKING:
    from speccas.core.calibration.calibrate import Curve
    from speccas.core.files.profiles import Profile
    from speccas.core.tune.decide import Choice
    from speccas.core.tune.search import Search
    from speccas.core.tune.store import Tuned


@dataclass(frozen=True)
class Found:
    """Everything that a search came to."""

    search: "Search"
    choice: "Choice"
    floor: float
    left_out: dict[int, float]
    curve: "Curve"
    manifest: dict[str, Any]
    settings: Any
    machine: str
    skipped: dict[str, str]
    threads: int
    threads_tried: dict[int, float]

    def tuned(self, file: str) -> "Tuned":
        """As it stands in a profile; `file` is where the rest stands."""
        from speccas.core.tune.store import Tuned

        standing = self.choice.standing
        assert standing is not None
        speed = standing.speedup()
        value, low, high = (None if v is None else round(v, 4) for v in (speed.value, speed.low, speed.high))
        lossless = self.choice.candidate.lossless
        return Tuned(
            date=time.strftime("%Y-%m-%d"),
            machine=self.machine,
            rule=self.choice.candidate.name,
            draft_tokens=self.choice.candidate.k,
            faster=self.choice.faster,
            speedup=value,
            low=low,
            high=high,
            prompts=standing.prompts,
            quality_loss=None if lossless else round(standing.loss_by_log_prob().value or 0.0, 5),
            temperature=self.settings.temperature,
            threads=self.threads,
            file=file,
        )


@dataclass(frozen=True)
class Where:
    """What was written, and for which profile; the text of a profile where two files have none and no name."""

    evidence: Path
    profile: Path | None = None
    saved: Path | None = None
    """The file with the setting."""
    text: str = ""
    kept: str = ""
    """Why nothing was saved."""


def save_found(found: Found, chosen: "Profile", name: str | None, samples: Path) -> Where:
    """Write the setting and the evidence beside the user's profiles; without a name, the evidence beside the samples.
    Raises UsageError."""
    from speccas.core.atomic import atomic_write
    from speccas.core.files.profiles import user_profiles
    from speccas.core.tune.store import as_text, save, tuned_file, tuned_of

    kept = better(tuned_of(chosen), found) if name == chosen.name else ""
    beside = name is None or bool(kept)
    evidence = samples.parent / "tuned.json" if beside else user_profiles() / f"{name}.tuned.json"
    tuned = found.tuned(str(evidence))
    try:
        if kept:
            where = Where(evidence, kept=kept)
        elif name is None:
            where = Where(evidence, text=as_text(chosen, tuned))
        else:
            where = Where(evidence, save(chosen, name, tuned), tuned_file(name))
        atomic_write(evidence, json.dumps(document(found, where), ensure_ascii=False, indent=1) + "\n")
    except OSError as error:
        raise UsageError(
            f"cannot write {error.filename or evidence}: {error.strerror}", "mend it; --resume asks no model again"
        ) from None
    return where


def better(before: "Tuned | None", found: Found) -> str:
    """Why what an earlier search saved stays: it had prompts enough to show something here, and this one has not."""
    from speccas.core.bench.stats import LEAST

    standing = found.choice.standing
    now = 0 if standing is None else standing.prompts
    if before is None or before.machine != found.machine or not now < LEAST <= before.prompts:
        return ""
    return (
        f"nothing saved: {now} prompts can show nothing, and what stands in the profile was found over "
        f"{before.prompts} on {before.date}: --rule {before.rule} -k {before.draft_tokens}"
    )


def saved_lines(found: Found, chosen: "Profile", where: Where) -> list[str]:
    candidate = found.choice.candidate
    if where.kept:
        return [where.kept, f"evidence: {where.evidence}"]
    if where.profile is None:
        return [
            "These files have no profile. Save this as pairs/NAME.yaml in the config directory, or run the same again "
            "with --resume --save-as NAME (nothing is played again):",
            "",
            where.text.rstrip(),
            "",
            f"evidence: {where.evidence}",
        ]
    name = where.profile.stem
    return [
        f"saved: --rule {candidate.name} -k {candidate.k} --threads {found.threads} in {where.saved}",
        f"compare, run and chat --pair {name} use it from now on",
        f"evidence: {where.evidence}",
    ]


def overruled(settings: Any) -> list[str]:
    """Where something that goes before a profile hides what was saved."""
    found = [(key, source) for key in ("rule", "draft_tokens") if (source := settings.sources.get(key)) is not None]
    return [
        f"{key} from the {source} goes before the profile: what was saved is not used until it is gone"
        for key, source in found
        if source in ("environment", "config file")
    ]


def document(found: Found, where: Where) -> dict[str, Any]:
    """For --json, and the evidence beside the profile."""
    from speccas.core.calibration import ceiling
    from speccas.core.tune.candidates import FALLBACK
    from speccas.core.tune.decide import finding
    from speccas.core.tune.standing import estimate_json, front

    search, choice = found.search, found.choice
    last = {each.candidate: each for halving in search.rounds if not halving.confirmed for each in halving.standings}
    finalists = [verdict.standing for verdict in choice.verdicts]
    standing = choice.standing
    assert standing is not None
    return {
        "schema": 1,
        "manifest": found.manifest,
        "machine": found.machine,
        "max_quality_loss": found.floor,
        "curve": {**ceiling.as_json(found.curve.costs), "spread": round(found.curve.spread, 3)},
        "threads": found.threads,
        "threads_tried": {str(count): seconds for count, seconds in found.threads_tried.items()},
        "left_out": {str(k): times for k, times in found.left_out.items()},
        "skipped": found.skipped,
        "rungs": [
            {"prompts": halving.prompts, "settings": len(halving.standings), "go_on": len(halving.alive),
             "frontier": [each.candidate.label for each in front(halving.standings)], "confirmed": halving.confirmed}
            for halving in search.rounds
        ],
        "searched": [{**each.as_json(), "out": search.eliminated.get(candidate)} for candidate, each in last.items()],
        "finalists": [
            {**v.standing.as_json(), "faster": v.faster, "within_floor": v.within, "why": v.why or None}
            for v in choice.verdicts
        ],
        "frontier": [each.candidate.label for each in front(finalists)],
        "chosen": {
            "rule": choice.candidate.name,
            "draft_tokens": choice.candidate.k,
            "faster": choice.faster,
            "fallback": choice.candidate == FALLBACK,
            "speedup": estimate_json(standing.speedup()),
        },
        "finding": finding(choice, found.floor),
        "profile": None if where.profile is None else str(where.profile),
        "saved": None if where.saved is None else str(where.saved),
        "evidence": str(where.evidence),
    }  # fmt: skip
