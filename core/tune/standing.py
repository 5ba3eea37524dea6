"""What samples say of a candidate: speed-up and loss of quality by prompt, and the frontier of several candidates.

Speed is the ratio of tokens/s to the expert alone's in the same block, one value a prompt. Quality loss is a share:
by log-probability, 1 - exp(mean change of ln p a token), which is how much less likely the expert finds a token of the
answer; by score, where prompts have one, the mean score lost, of 1. `exact` loses nothing, whatever is measured.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from statistics import median as middle
from typing import Any

from ..bench.pairs import PairedSample, by_prompt, by_prompt_mean, speed_ratio, time_ratio
from ..bench.plots import Point, frontier
from ..bench.samples import Sample
from ..bench.stats import IntervalEstimate, mean, median
from ..decoding.arms import REFERENCE
from .candidates import Candidate


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a candidate, by prompt: `speed` and `answer` as ratios to the expert alone (tokens/s; time of
    the whole answer), `log_prob` and `score` as changes."""

    candidate: Candidate
    speed: Mapping[str, float]
    answer: Mapping[str, float]
    log_prob: Mapping[str, float]
    score: Mapping[str, float]
    acceptance: float | None = None

    @property
    def prompts(self) -> int:
        return len(self.speed)

    @property
    def times(self) -> float:
        """The median speed-up."""
        return middle(self.speed.values()) if self.speed else 0.0

    @property
    def loss(self) -> float:
        """The larger of the two losses, as far as they are known; 0 for `exact`."""
        if self.candidate.lossless:
            return 0.0
        by_log_prob = share(fmean(self.log_prob.values())) if self.log_prob else 0.0
        by_score = -fmean(self.score.values()) if self.score else 0.0
        return max(by_log_prob, by_score)

    def speedup(self) -> IntervalEstimate:
        return median(list(self.speed.values()))

    def loss_by_log_prob(self) -> IntervalEstimate:
        """With its interval."""
        found = mean(list(self.log_prob.values()))
        low, high = (None if end is None else share(end) for end in (found.high, found.low))
        return IntervalEstimate(None if found.value is None else share(found.value), low, high, found.n)

    def loss_by_score(self) -> IntervalEstimate:
        """With its interval; of no prompts where none has a score."""
        return mean([-change for change in self.score.values()])

    def as_json(self) -> dict[str, Any]:
        """Figures without their prompts."""
        return {
            "rule": self.candidate.name,
            "draft_tokens": self.candidate.k,
            "prompts": self.prompts,
            "speedup": estimate_json(self.speedup()),
            "answer_speedup": estimate_json(median(list(self.answer.values()))),
            "loss_by_log_prob": estimate_json(self.loss_by_log_prob()),
            "loss_by_score": estimate_json(self.loss_by_score()),
            "acceptance": self.acceptance,
        }


def estimate_json(found: IntervalEstimate) -> dict[str, Any]:
    rounded = {key: None if v is None else round(v, 5) for key, v in zip(
        ("value", "low", "high"), (found.value, found.low, found.high), strict=True)}  # fmt: skip
    return {**rounded, "n": found.n}


def share(change: float) -> float:
    """A change of ln p a token as the share of probability that is lost."""
    return 1 - math.exp(change)


def standings(samples: Sequence[Sample], asked: Sequence[Candidate]) -> list[Standing]:
    """What the samples say of each, in the order asked; blocks without the expert alone do not count."""
    experts = {(s.prompt_id, s.repeat): s for s in samples if s.figures.name == REFERENCE}
    pairs: dict[Candidate, list[PairedSample]] = {candidate: [] for candidate in asked}
    for sample in samples:
        own = None if sample.k is None else Candidate(sample.figures.name, sample.k)
        expert = experts.get((sample.prompt_id, sample.repeat))
        if own in pairs and expert is not None:
            pairs[own].append(PairedSample(sample, expert))
    return [standing(candidate, found) for candidate, found in pairs.items()]


def standing(candidate: Candidate, pairs: Sequence[PairedSample]) -> Standing:
    judged = sum(pair.own.figures.judged or 0 for pair in pairs)
    deferred = sum(pair.own.figures.deferred or 0 for pair in pairs)
    return Standing(
        candidate=candidate,
        speed=by_prompt(pairs, speed_ratio),
        answer=by_prompt(pairs, time_ratio),
        log_prob=changes(pairs, lambda sample: sample.figures.expert_logprob),
        score=changes(pairs, lambda sample: sample.score),
        acceptance=(judged - deferred) / judged if judged else None,
    )


def changes(pairs: Sequence[PairedSample], value: Callable[[Sample], float | None]) -> dict[str, float]:
    """Each prompt's mean over repeats, less the expert alone's."""
    own = by_prompt_mean(pairs, lambda pair: value(pair.own))
    expert = by_prompt_mean(pairs, lambda pair: value(pair.expert))
    return {prompt: own[prompt] - expert[prompt] for prompt in own if prompt in expert}


def front(found: Sequence[Standing]) -> list[Standing]:
    """Those that nothing beats in speed without losing more, or the other way round; the expert alone counts, at 1 and
    no loss. Slowest first."""

    def certain(value: float) -> IntervalEstimate:
        return IntervalEstimate(value, None, None, 1)

    known = [each for each in found if each.speed]
    points = [Point(each.candidate.label, certain(each.times), certain(-each.loss)) for each in known]
    best = frontier([Point("expert", certain(1.0), certain(0.0)), *points])
    return sorted((each for each in known if each.candidate.label in best), key=lambda each: each.times)
