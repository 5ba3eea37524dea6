"""How sure the drafter may be taken to be: the temperature at which its probabilities come closest to the expert's.

The rules that compare max q with a threshold or with max p take both for how often a model is right (plug-ins of
Narasimhan et al., Lemmas 5 and 7: no better than both models are calibrated). A small model is often too sure of
itself. Temperature scaling (Guo et al., arXiv 1706.04599): one number, which leaves the order of tokens as it is; it
minimises the cross-entropy of the expert's p to q along the expert's own answers, over the tokens that both have.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..bench.suites import Item
from ..decoding.drafts.draft_source import Proposal
from ..decoding.sampling import Distribution, calibrated
from ..errors import IntegrityError
from ..runtime.beside import beside
from ..runtime.pair import Pair
from ..runtime.prompt import Prompt
from .halving import search_half

TEMPERATURES = tuple(round(float(each), 3) for each in np.geomspace(0.25, 4, 61))
"""That are tried; each 4.7 % above the one before, and 1 is one of them."""
AS_SAID = TEMPERATURES.index(1.0)
BINS = 10
PROMPTS = 12  # at most, to fit by, and as many to judge by
TOKENS = 64  # at most, of an answer

Asked = tuple[Item, Prompt]
Reading = tuple[NDArray[np.float64], NDArray[np.float64], float]
"""At one position: cross-entropy and max q at each of TEMPERATURES, and p of the drafter's best token."""


@dataclass(frozen=True, slots=True)
class FittedConfidence:
    """A fitted temperature and what it does on prompts that it was not fitted on. Errors are expected calibration
    errors (ECE): by how much max q misses p of that token, on average, in ten bins of max q."""

    temperature: float
    """1 where no other one has the smaller error."""
    fitted: float
    before: float
    after: float
    fitted_on: int
    """Positions."""
    judged_on: int


def measure_confidence(pair: Pair, prompts: Sequence[Asked], tell: Callable[[int, int], None]) -> FittedConfidence:
    """Fit on the half of the prompts that a search may use, judge on the others; `tell` hears after each prompt of how
    many. Raises Stopped."""
    search = {item.id for item in search_half([item for item, _ in prompts])}
    mine = [each for each in prompts if each[0].id in search][:PROMPTS]
    others = [each for each in prompts if each[0].id not in search][:PROMPTS]
    readings: list[list[Reading]] = []
    for number, (_, prompt) in enumerate([*mine, *others]):
        readings.append([reading(*each) for each in beside(pair, prompt, TOKENS)])
        tell(number + 1, len(mine) + len(others))
    fit, judge = ([each for one in part for each in one] for part in (readings[: len(mine)], readings[len(mine) :]))
    return confidence_of(fit, judge)


def reading(proposal: Proposal, p1: Distribution) -> Reading:
    """What a position says of each temperature."""
    q1 = proposal.q1
    p = p1.all()
    shared = p if q1.shared is None else p[: q1.shared.count] if q1.shared.ids is None else p[q1.shared.ids]
    at = [calibrated(q1, temperature) for temperature in TEMPERATURES]
    mean = float(shared @ q1.logits)  # of the logit under p: cross-entropy is linear in it
    part = float(shared.sum())
    entropy = [part * each.log_mass - mean / t for each, t in zip(at, TEMPERATURES, strict=True)]
    return np.array(entropy), np.array([each.max for each in at]), float(p[q1.argmax])


def confidence_of(fit: Sequence[Reading], judge: Sequence[Reading]) -> FittedConfidence:
    """The temperature of the least cross-entropy over `fit`, if it has the smaller error over `judge`."""
    if not fit or not judge:
        return FittedConfidence(1.0, 1.0, 0.0, 0.0, len(fit), len(judge))
    best = int(np.sum([entropy for entropy, _, _ in fit], axis=0).argmin())
    right = np.array([p for _, _, p in judge])
    before, after = (calibration_error(np.array([sure[at] for _, sure, _ in judge]), right) for at in (AS_SAID, best))
    fitted = TEMPERATURES[best]
    return FittedConfidence(fitted if after < before else 1.0, fitted, before, after, len(fit), len(judge))


def calibration_error(sure: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    """The expected calibration error of confidences against how often they were right, both (positions,)."""
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    missed = (abs(float((sure - right)[bins == each].sum())) for each in range(BINS))
    return sum(missed) / len(sure)


def told(found: FittedConfidence) -> str:
    """What was found, in a sentence."""
    if found.temperature == 1:
        return (
            f"the drafter's confidence is read as it is: no temperature does better (error {found.before:.3f} over "
            f"{found.judged_on} tokens)"
        )
    sure = "too sure" if found.temperature > 1 else "too unsure"
    return (
        f"the drafter is {sure} of itself: its confidence is read at temperature {found.temperature:g}; its error "
        f"(ECE) falls from {found.before:.3f} to {found.after:.3f} over {found.judged_on} tokens it was not fitted on"
    )


def keep_confidence(found: FittedConfidence, file: Path) -> None:
    """For a search that goes on."""
    file.write_text(json.dumps(asdict(found)), encoding="utf-8")


def kept_confidence(file: Path) -> FittedConfidence | None:
    """What the search that goes on found; None where it did not come so far. Raises IntegrityError."""
    try:
        return FittedConfidence(**json.loads(file.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise IntegrityError(f"{file} cannot be read: {error}") from None
