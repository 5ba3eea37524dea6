"""Which setting of a pair is worth keeping: candidates, what their samples say, who goes on, who wins. Pure decisions.

Knows samples and numbers; plays nothing (core/tune/search.py does) and shows nothing.

Speed is the ratio of tokens/s to the expert alone's in the same block, one value a prompt. Quality loss, a share:
by log-probability, 1 - exp(mean change of ln p a token), which is how much less likely the expert finds a token of the
answer; by score, where prompts have one, the mean score lost, of 1. `exact` loses nothing, whatever is measured.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from statistics import median as middle
from typing import Any

from scipy import stats as distributions

from ..bench.plots import Point, frontier
from ..bench.samples import Sample
from ..bench.stats import CONFIDENCE, FASTER, LEAST, Estimate, mean, median, verdict
from ..bench.suites import Item
from ..bench.summary import Pair, by_prompt, by_prompt_mean, speed_ratio, time_ratio
from ..calibration.ceiling import best_of
from ..decoding.length.latency import LatencyModel

RULES = (
    "exact", "token:0.2", "token:0.5", "token:0.8", "confidence:0.2", "confidence:0.4", "comparative:0.1",
    "comparative:0.3", "top-k:2", "top-k:3",
)  # fmt: skip
"""What is tried unless rules are named. The others are these over again at temperature 0, or not better on paper."""
LENGTHS: tuple[int | str, ...] = ("auto", 1, 2, 3, 4, 6, 8)
FIRST = 2
"""Prompts of the first rung; each later one has twice as many."""
FINALISTS = 4
PASSED = "slower than those that went on"
HOPELESS = 0.95
"""A fixed k is left out where it could not reach this speed-up even if every draft were accepted whole."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A rule as typed and a draft length."""

    name: str
    k: int | str

    @property
    def label(self) -> str:
        return f"{self.name} -k {self.k}"

    @property
    def lossless(self) -> bool:
        return self.name == "exact"


FALLBACK = Candidate("exact", "auto")
"""Never much slower than the expert alone, and its text: always a candidate, always a finalist, kept where nothing
wins."""


def candidates(rules: Sequence[str], lengths: Sequence[int | str]) -> list[Candidate]:
    """Every rule at every length, the fallback first."""
    return list(dict.fromkeys([FALLBACK, *(Candidate(name, k) for name in rules for k in lengths)]))


def hopeless(costs: LatencyModel, lengths: Iterable[int | str]) -> dict[int, float]:
    """Fixed lengths that cannot pay on this machine, and the most they could reach."""
    best = {k: best_of(costs, k) for k in lengths if isinstance(k, int)}
    return {k: times for k, times in best.items() if times < HOPELESS}


def searched(items: Sequence[Item]) -> list[Item]:
    """Half of the prompts, with its share of every group, in their order: the search may use these and no others, for
    what a setting was chosen by must not be what it is judged by."""
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.group, []).append(item)
    in_groups = [item for group in groups.values() for item in group]
    mine = {item.id for item in in_groups[: len(items) // 2 * 2 : 2]}
    return [item for item in items if item.id in mine]


def rungs(prompts: int) -> list[int]:
    """How many prompts have been played after each rung, of so many that the search may use."""
    sizes = [min(FIRST, prompts)]
    while sizes[-1] < prompts:
        sizes.append(min(2 * sizes[-1], prompts))
    return sizes


def kept(alive: int) -> int:
    """How many go on from a rung."""
    return max(FINALISTS, math.ceil(alive / 2))


def answers(alive: int, played: int, search: int, prompts: int, repeats: int, block: int) -> int:
    """Answers that are still to come at most, those of the expert alone in every block of `block` arms included.
    `played` of the `search` prompts have been; `prompts` there are in all."""
    total = 0
    for size in rungs(search):
        if size <= played:
            continue
        if played and alive <= FINALISTS:
            break
        total += (size - played) * (alive + math.ceil(alive / block))
        alive, played = min(alive, kept(alive)), size
    return total + (prompts - played) * repeats * (min(alive, FINALISTS) + 1)


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

    def speedup(self) -> Estimate:
        return median(list(self.speed.values()))

    def loss_by_log_prob(self) -> Estimate:
        """With its interval."""
        found = mean(list(self.log_prob.values()))
        low, high = (None if end is None else share(end) for end in (found.high, found.low))
        return Estimate(None if found.value is None else share(found.value), low, high, found.n)

    def loss_by_score(self) -> Estimate:
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


def estimate_json(found: Estimate) -> dict[str, Any]:
    rounded = {key: None if v is None else round(v, 5) for key, v in zip(
        ("value", "low", "high"), (found.value, found.low, found.high), strict=True)}  # fmt: skip
    return {**rounded, "n": found.n}


def share(change: float) -> float:
    """A change of ln p a token as the share of probability that is lost."""
    return 1 - math.exp(change)


def standings(samples: Sequence[Sample], asked: Sequence[Candidate]) -> list[Standing]:
    """What the samples say of each, in the order asked; blocks without the expert alone do not count."""
    experts = {(s.prompt_id, s.repeat): s for s in samples if s.figures.name == "expert"}
    pairs: dict[Candidate, list[Pair]] = {candidate: [] for candidate in asked}
    for sample in samples:
        own = None if sample.k is None else Candidate(sample.figures.name, sample.k)
        expert = experts.get((sample.prompt_id, sample.repeat))
        if own in pairs and expert is not None:
            pairs[own].append(Pair(sample, expert))
    return [standing(candidate, found) for candidate, found in pairs.items()]


def standing(candidate: Candidate, pairs: Sequence[Pair]) -> Standing:
    judged = sum(pair.own.figures.judged or 0 for pair in pairs)
    deferred = sum(pair.own.figures.deferred or 0 for pair in pairs)
    return Standing(
        candidate,
        by_prompt(pairs, speed_ratio),
        by_prompt(pairs, time_ratio),
        changes(pairs, lambda sample: sample.figures.expert_logprob),
        changes(pairs, lambda sample: sample.score),
        (judged - deferred) / judged if judged else None,
    )


def changes(pairs: Sequence[Pair], value: Any) -> dict[str, float]:
    """Each prompt's mean over repeats, less the expert alone's."""
    own = by_prompt_mean(pairs, lambda pair: value(pair.own))
    expert = by_prompt_mean(pairs, lambda pair: value(pair.expert))
    return {prompt: own[prompt] - expert[prompt] for prompt in own if prompt in expert}


def shown_above(values: Sequence[float], limit: float) -> bool:
    """Whether the 95 % interval (Student's t) of the mean lies above the limit; never for one value."""
    if len(values) < 2:
        return False
    width = float(distributions.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * error(values)
    return fmean(values) - width > limit


def error(values: Sequence[float]) -> float:
    """Standard error of the mean; infinite for fewer than two values."""
    return stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.inf


def losses(found: Standing, floor: float) -> list[tuple[list[float], float]]:
    """Both measures as values by prompt where more is worse, each with its limit; none for `exact`."""
    if found.candidate.lossless:
        return []
    return [
        ([-change for change in found.log_prob.values()], -math.log1p(-floor)),
        ([-change for change in found.score.values()], floor),
    ]


def refused(found: Standing, floor: float) -> str:
    """Why a candidate is out before it met all prompts; empty where it is not."""
    if any(shown_above(values, limit) for values, limit in losses(found, floor)):
        return f"loses more than {floor:.1%}"
    if shown_above([-math.log(ratio) for ratio in found.speed.values()], 0.0):
        return "slower than the expert alone"
    return ""


def ordered(found: Sequence[Standing], floor: float) -> list[Standing]:
    """Best first: those whose loss is at most a standard error above the floor, by speed; then the others, by speed.
    Of equals the one that stands first goes first."""

    def doubtful(each: Standing) -> bool:
        return any(len(v) > 1 and fmean(v) - error(v) > limit for v, limit in losses(each, floor))

    return sorted(found, key=lambda each: (doubtful(each), -each.times))


def prune(found: Sequence[Standing], floor: float, keep: int) -> tuple[list[Candidate], dict[Candidate, str]]:
    """Who goes on from a rung, best first, and why the others do not. The fallback and the fastest lossless candidate
    always go on: they are what a lossy one must beat."""
    out = {each.candidate: why for each in found if (why := refused(each, floor))}
    out.pop(FALLBACK, None)
    alive = ordered([each for each in found if each.candidate not in out], floor)
    safe = {FALLBACK, *(each.candidate for each in [e for e in alive if e.candidate.lossless][:1])}
    places = keep - len([each for each in alive if each.candidate in safe])
    going: list[Candidate] = []
    for each in alive:
        if each.candidate not in safe and places <= 0:
            out[each.candidate] = PASSED
            continue
        places -= each.candidate not in safe
        going.append(each.candidate)
    return going, out


def front(found: Sequence[Standing]) -> list[Standing]:
    """Those that nothing beats in speed without losing more, or the other way round; the expert alone counts, at 1 and
    no loss. Slowest first."""

    def certain(value: float) -> Estimate:
        return Estimate(value, None, None, 1)

    known = [each for each in found if each.speed]
    points = [Point(each.candidate.label, certain(each.times), certain(-each.loss)) for each in known]
    best = frontier([Point("expert", certain(1.0), certain(0.0)), *points])
    return sorted((each for each in known if each.candidate.label in best), key=lambda each: each.times)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A finalist on the prompts that nothing was chosen by. `why`: what speaks against it; empty where nothing does."""

    standing: Standing
    faster: bool
    within: bool
    """Whether its loss of quality is within the floor."""
    why: str


@dataclass(frozen=True, slots=True)
class Choice:
    """What is kept. `faster`: it was shown to be faster than the expert alone."""

    candidate: Candidate
    faster: bool
    verdicts: tuple[Verdict, ...]

    @property
    def standing(self) -> Standing | None:
        return next((v.standing for v in self.verdicts if v.standing.candidate == self.candidate), None)


def judged(found: Standing, floor: float) -> Verdict:
    """Faster: the interval of the speed-up lies above 1, and whole answers do not take longer. Within: lossless; or
    the interval of the loss by log-probability ends within the floor, and the loss by score is within it."""
    faster = verdict(found.speedup(), median(list(found.answer.values()))) == FASTER
    why = "" if faster else "not shown to be faster than the expert alone"
    within = found.candidate.lossless
    if not within:
        loss, lost = found.loss_by_log_prob(), found.loss_by_score()
        if loss.high is None:
            quality = f"fewer than {LEAST} prompts have no interval, so no loss is within the floor"
        elif loss.high > floor:
            quality = f"may lose {loss.high:.1%} by log-prob, which is more than {floor:.1%}"
        elif lost.n >= LEAST and (lost.value or 0) > floor:
            quality = f"loses {lost.value:.1%} by score, which is more than {floor:.1%}"
        else:
            quality = ""
        within = not quality
        why = "; ".join(part for part in (why, quality) if part)
    return Verdict(found, faster, within, why)


def choose(found: Sequence[Standing], floor: float) -> Choice:
    """The first of the finalists, in the order that the search gave them, that is faster and within the floor. A lossy
    one must also be shown to be faster than the lossless one that would be kept without it: no quality is given for
    nothing."""
    verdicts = [judged(each, floor) for each in found]
    good = [each for each in verdicts if each.faster and each.within]
    plain = next((each for each in good if each.standing.candidate.lossless), None)
    fallback = next((v.standing for v in verdicts if v.standing.candidate == FALLBACK), None)
    rival = plain.standing if plain else fallback
    for i, each in enumerate(verdicts):
        if each not in good or each.standing.candidate.lossless:
            continue
        if rival is None or beats(each.standing, rival):
            return Choice(each.standing.candidate, True, tuple(verdicts))
        why = f"not shown to be faster than {rival.candidate.label}, which loses nothing"
        verdicts[i] = Verdict(each.standing, each.faster, each.within, why)
    chosen = plain.standing.candidate if plain else FALLBACK
    return Choice(chosen, plain is not None, tuple(verdicts))


def beats(one: Standing, other: Standing) -> bool:
    """Whether the interval of the paired ratio of their speeds lies above 1."""
    ratios = [one.speed[prompt] / other.speed[prompt] for prompt in one.speed if other.speed.get(prompt)]
    found = median(ratios)
    return found.low is not None and found.low > 1


def finding(choice: Choice, floor: float) -> str:
    """What was found, in a sentence that may be quoted."""
    found = choice.standing
    assert found is not None
    speed = found.speedup()
    told = f"{found.times:.2f}x"
    if speed.low is not None and speed.high is not None:
        told += f" [{speed.low:.2f}, {speed.high:.2f}]"
    told += f" over {found.prompts} prompts"
    if not choice.faster:
        few = f" Fewer than {LEAST} prompts cannot show it: give more." if found.prompts < LEAST else ""
        return (
            f"No setting within the floor was shown to be faster than the expert alone here.{few} "
            f"{choice.candidate.label} is kept: it drafts only where that pays, and loses nothing ({told})."
        )
    told = f"{choice.candidate.label}: {told}, faster than the expert alone"
    if choice.candidate.lossless:
        return f"{told}, and it loses nothing."
    loss, lost = found.loss_by_log_prob(), found.loss_by_score()
    by_score = "" if lost.value is None else f", by score {lost.value:.1%} over {lost.n} prompts"
    return f"{told}; loss by log-prob {loss.value:.1%}, at most {loss.high:.1%} (floor {floor:.1%}){by_score}."


NOTES = (
    "speed-up: median over prompts of tokens/s divided by the expert alone's in the same block, with a 95 % bootstrap "
    "interval (none below 6 prompts). faster = the interval lies above 1 and whole answers are not slower.",
    "loss by log-prob = 1 - exp(mean change of ln p a token): how much less likely the expert finds a token of the "
    "answer. loss by score = mean score lost, of 1, over the prompts that have one (right, BLEU, ROUGE-L).",
    "within the floor: exact; or the interval of the loss by log-prob ends within it, and the loss by score, from 6 "
    "prompts on, is within it. A lossy rule must also be shown to be faster than the lossless one that would be kept.",
    "The finalists are judged on prompts that the search did not use.",
)
