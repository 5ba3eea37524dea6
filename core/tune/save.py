"""Save what a search found for a pair, with the evidence beside it, unless an earlier search showed more."""

import json
import time
from dataclasses import dataclass
from pathlib import Path

from ..atomic import atomic_write
from ..bench.stats import LEAST
from ..errors import UsageError
from ..files.profiles import Profile, user_profiles
from .document import TuneDocument, tune_document
from .run import TuneResult
from .store import Tuned, as_text, save, tuned_file, tuned_of


@dataclass(frozen=True, slots=True)
class SavedResult:
    """What was written, and for which profile; where two files have none and no name, `text` is one to save."""

    document: TuneDocument
    evidence: Path
    profile: Path | None = None
    saved: Path | None = None
    """The file with the setting."""
    text: str = ""
    stands: Tuned | None = None
    """What an earlier search found, where it was kept and nothing was saved."""


def tuned_by(result: TuneResult, evidence: Path) -> Tuned:
    """The setting that was found, as it stands in a profile."""
    choice, standing = result.choice, result.choice.standing
    assert standing is not None
    speed = standing.speedup()
    value, low, high = (None if each is None else round(each, 4) for each in (speed.value, speed.low, speed.high))
    lossless = choice.candidate.lossless
    return Tuned(
        date=time.strftime("%Y-%m-%d"),
        machine=result.machine,
        rule=choice.candidate.name,
        draft_tokens=choice.candidate.k,
        faster=choice.faster,
        speedup=value,
        low=low,
        high=high,
        prompts=standing.prompts,
        quality_loss=None if lossless else round(standing.loss_by_log_prob().value or 0.0, 5),
        temperature=result.temperature,
        threads=result.threads,
        confidence_temperature=None if result.confidence_temperature == 1 else result.confidence_temperature,
        chain_rule=result.prepared.manifest.get("chain_rule"),
        chain_k=result.prepared.manifest.get("chain_k"),
        file=str(evidence),
    )


def shows_less(result: TuneResult, before: Tuned) -> bool:
    """Whether an earlier search on this machine had prompts enough to show something, and this one has not."""
    standing = result.choice.standing
    now = 0 if standing is None else standing.prompts
    return before.machine == result.machine and now < LEAST <= before.prompts


def save_result(result: TuneResult, chosen: Profile, name: str | None, directory: Path) -> SavedResult:
    """Write the setting and the evidence beside the user's profiles; without a name, the evidence to the directory of
    the samples. Raises UsageError."""
    before = tuned_of(chosen) if name == chosen.name else None
    stands = before if before is not None and shows_less(result, before) else None
    beside = name is None or stands is not None
    evidence = directory / "tuned.json" if beside else user_profiles() / f"{name}.tuned.json"
    tuned = tuned_by(result, evidence)
    profile = saved = None
    try:
        if name is not None and stands is None:
            profile, saved = save(chosen, name, tuned), tuned_file(name)
        document = tune_document(result, profile, saved, evidence)
        atomic_write(evidence, json.dumps(document.as_json(), ensure_ascii=False, indent=1) + "\n")
    except OSError as error:
        raise UsageError(f"cannot write {error.filename or evidence}: {error.strerror}") from None
    return SavedResult(
        document=document,
        evidence=evidence,
        profile=profile,
        saved=saved,
        text=as_text(chosen, tuned) if name is None else "",
        stands=stands,
    )
