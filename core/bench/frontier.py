"""The trade of cost against quality, method by method: what the paper's figures 2 to 4 show of speculative cascades.

Each method is a curve over its alphas. A point is the mean over prompts of what an answer's token costs, in tokens of
the expert alone, and of how its quality changed against the expert's own answer to the same prompt. A method's
frontier is the best quality that any of its points has at a cost or below it. Two frontiers are compared by the mean
difference of quality over the costs that both reach, with a bootstrap over prompts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..decoding.arms import REFERENCE
from ..decoding.length.latency import LatencyModel
from .pairs import PairedSample
from .samples import Sample
from .stats import CONFIDENCE, LEAST, IntervalEstimate, mean, median

SWEEPS: Mapping[str, tuple[float, ...]] = {
    "confidence": (0.1, 0.3, 0.5, 0.7, 0.85, 0.95),
    "comparative": (-0.1, 0.0, 0.1, 0.2, 0.35, 0.5),
    "cost-benefit": (-0.3, 0.0, 0.2, 0.4, 0.6, 0.8),
    "token": (0.1, 0.3, 0.5, 0.7, 0.8, 0.9),
    "ensemble": (0.1, 0.2, 0.35, 0.5, 0.65, 0.8),
}
"""The rules of speculative cascades that are compared, each at six alphas."""
BESIDE: Mapping[str, tuple[float, ...]] = {
    "lossy": (0.3, 0.6, 0.9),
    "bild": (1.0, 2.0, 4.0),
    "token-cascade": (0.2, 0.4, 0.6),
    "answer-cascade": (0.3, 0.5, 0.7),
}
"""What they are compared with."""
FIRST = 12
"""Prompts that every alpha is played on; the others are for those that no other alpha of the method beats."""
SMALL = 0.02
"""Nats a token: a loss is small where its 95 % interval lies within it."""
PLAIN, SEQUENTIAL = "speculative decoding", "sequential cascades"
FAMILIES = {
    PLAIN: ("exact", "lossy"),
    SEQUENTIAL: ("token-cascade", "answer-cascade", "drafter"),
}
"""Methods that stand for one: plain speculative decoding, exact or lossy, and the cascades without speculation."""
RESAMPLES = 2000
MEASURED, ELSEWHERE = "measured", "elsewhere"
SCORE, LOG_PROB = "score", "log-prob"
QUALITIES: Mapping[str, Callable[[Sample], float | None]] = {
    SCORE: lambda sample: sample.score,
    LOG_PROB: lambda sample: sample.figures.expert_logprob,
}


def sweeps(sets: Mapping[str, Sequence[float]]) -> list[str]:
    """Rules as typed, each at each alpha."""
    return [f"{rule}:{alpha:g}" for rule, alphas in sets.items() for alpha in alphas]


@dataclass(frozen=True, slots=True)
class StatedMachine:
    """Where calls cost what a curve says, in tokens of the expert alone. None: a call costs as one token, and a step
    what the drafter's bytes are of the expert's, as on a GPU that waits for its memory."""

    name: str
    costs: LatencyModel | None = None

    def cost(self, sample: Sample) -> float | None:
        """Of a token of this answer; None where something was not counted."""
        figures = sample.figures
        if figures.name.partition(" ")[0] == REFERENCE:
            return 1.0
        if self.costs is None:
            return 1 / figures.speedup_if_flat if figures.speedup_if_flat else None
        if figures.drafter_steps is None or not figures.tokens:
            return None
        calls = figures.expert_calls
        size = 1 + round((figures.drafted or 0) / calls) if calls else 1
        spent = calls * self.costs.verify(size) + figures.drafter_steps * self.costs.step
        return spent / figures.tokens / self.costs.verify(1)


FLAT = StatedMachine("a machine where a call costs as one token")


def measured_cost(pair: PairedSample) -> float | None:
    """Seconds of a token of an answer, in those of the expert alone in the same block."""
    own, expert = pair.own.figures.tokens_per_second, pair.expert.figures.tokens_per_second
    return expert / own if own and expert else None


Points = dict[str, dict[str, tuple[float, float]]]
"""By arm and prompt: cost and change of quality."""


def points_of(samples: Sequence[Sample], cost: str, quality: str, machine: StatedMachine = FLAT) -> Points:
    """Means over repeats. Arms lack what was not measured of them."""
    value = QUALITIES[quality]
    experts = {(each.prompt_id, each.repeat): each for each in samples if each.figures.name == REFERENCE}
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for own in samples:
        expert = experts.get((own.prompt_id, own.repeat))
        if expert is None:
            continue
        pair = PairedSample(own, expert)
        spent = measured_cost(pair) if cost == MEASURED else machine.cost(own)
        mine, theirs = value(own), value(expert)
        if spent is not None and mine is not None and theirs is not None:
            found.setdefault(own.figures.name, {}).setdefault(own.prompt_id, []).append((spent, mine - theirs))
    return {
        arm: {prompt: tuple(np.mean(each, axis=0).tolist()) for prompt, each in prompts.items()}
        for arm, prompts in found.items()
    }


def method_of(arm: str) -> str:
    return arm.partition(":")[0]


def undominated(samples: Sequence[Sample], prompts: Sequence[str], machine: StatedMachine = FLAT) -> list[str]:
    """Arms that go on to all prompts: of every method those that no other alpha of it beats in cost and in log-prob on
    these prompts, by either cost; and all that stand beside them."""
    known = [each for each in samples if each.prompt_id in set(prompts)]
    kept: dict[str, None] = {}
    for cost in (MEASURED, ELSEWHERE):
        points = points_of(known, cost, LOG_PROB, machine)
        means = {arm: tuple(np.mean(list(each.values()), axis=0)) for arm, each in points.items()}
        for arm, (spent, change) in means.items():
            rivals = [means[other] for other in means if other != arm and method_of(other) == method_of(arm)]
            beaten = any(s <= spent and c >= change and (s, c) != (spent, change) for s, c in rivals)
            if method_of(arm) not in SWEEPS or not beaten:
                kept[arm] = None
    return list(kept)


@dataclass(frozen=True, slots=True)
class Duel:
    """How far one method's frontier lies above another's, on average over the costs that both reach: in nats a token,
    or of a score of 1. None where they reach none in common."""

    method: str
    other: str
    cost: str
    quality: str
    gain: IntervalEstimate


@dataclass(frozen=True, slots=True)
class SmallLoss:
    """The fastest arm of a method whose loss is shown to be small, with its speed-up over the expert alone, over
    `exact`, and the change of log-prob, nats a token."""

    method: str
    arm: str
    cost: str
    speedup: IntervalEstimate
    over_exact: IntervalEstimate
    change: IntervalEstimate


@dataclass(frozen=True, slots=True)
class ArmMeans:
    """An arm on all of its prompts."""

    arm: str
    prompts: int
    measured: float | None
    elsewhere: float | None
    calls: float | None
    """Of the expert, a token."""
    steps: float | None
    """Of the drafter, a token."""
    log_prob: IntervalEstimate
    score: IntervalEstimate


@dataclass(frozen=True, slots=True)
class FrontierDocument:
    """What `bench --frontier` found."""

    machine: str
    prompts: int
    arms: Sequence[ArmMeans]
    duels: Sequence[Duel]
    small: Sequence[SmallLoss]
    claims: Sequence[str]


def envelope(cost: NDArray[np.float64], quality: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """The best quality of any point at each of these costs or below; -inf below the cheapest."""
    reached = cost[:, None] <= at[None, :]
    found: NDArray[np.float64] = np.where(reached, quality[:, None], -np.inf).max(axis=0)
    return found


def gain(one: NDArray[np.float64], other: NDArray[np.float64]) -> float | None:
    """Mean difference of two frontiers, each of points (arms, 2), over the costs from where both begin to where the
    last point of either lies."""
    low = max(one[:, 0].min(), other[:, 0].min())
    high = max(one[:, 0].max(), other[:, 0].max())
    if not low < high:
        return None
    at = np.linspace(low, high, 101)
    return float((envelope(one[:, 0], one[:, 1], at) - envelope(other[:, 0], other[:, 1], at)).mean())


def duel(method: str, other: str, points: Points, cost: str, quality: str) -> Duel:
    """Over the prompts that every arm of both has; the expert alone belongs to both."""
    sides = [arms_of(name, points) for name in (method, other)]
    prompts = sorted(set.intersection(*(set(points[arm]) for side in sides for arm in side)))
    data = [np.array([[points[arm][prompt] for prompt in prompts] for arm in side]) for side in sides]
    value = gain(*(each.mean(axis=1) for each in data)) if prompts else None
    if value is None or len(prompts) < LEAST:
        return Duel(method, other, cost, quality, IntervalEstimate(value, None, None, len(prompts)))
    random = np.random.default_rng(0)
    drawn = []
    for _ in range(RESAMPLES):
        some = random.integers(len(prompts), size=len(prompts))
        found = gain(*(each[:, some].mean(axis=1) for each in data))
        if found is not None:
            drawn.append(found)
    edge = 100 * (1 - CONFIDENCE) / 2
    low, high = (float(np.percentile(drawn, each)) for each in (edge, 100 - edge))
    return Duel(method, other, cost, quality, IntervalEstimate(value, low, high, len(prompts)))


def arms_of(method: str, points: Points) -> list[str]:
    """Of a method or a family, and the expert alone."""
    own = FAMILIES.get(method, (method,))
    return [arm for arm in points if method_of(arm) in own or arm == REFERENCE]


def small_loss(method: str, points: Points, cost: str) -> SmallLoss | None:
    """None where no alpha's loss is shown to be small. `points` with log-prob."""
    exact = points.get("exact", {})
    found = []
    for arm, each in points.items():
        if method_of(arm) != method:
            continue
        change = mean([change for _, change in each.values()])
        if change.low is None or change.low < -SMALL:
            continue
        speedup = median([1 / spent for spent, _ in each.values()])
        over = median([exact[prompt][0] / spent for prompt, (spent, _) in each.items() if prompt in exact])
        found.append(SmallLoss(method, arm, cost, speedup, over, change))
    return max(found, key=lambda each: each.speedup.value or 0.0, default=None)


def frontier_document(samples: Sequence[Sample], machine: StatedMachine = FLAT) -> FrontierDocument:
    """All of it, from samples alone."""
    names = {each.figures.name for each in samples}
    methods = [rule for rule in SWEEPS if any(method_of(name) == rule for name in names)]
    by_cost = {cost: points_of(samples, cost, LOG_PROB, machine) for cost in (MEASURED, ELSEWHERE)}
    scored = {cost: points_of(samples, cost, SCORE, machine) for cost in (MEASURED, ELSEWHERE)}
    most = max((len(each) for each in by_cost[MEASURED].values()), default=0)
    duels, small = [], []
    for cost in (MEASURED, ELSEWHERE):
        for quality, found in ((LOG_PROB, by_cost[cost]), (SCORE, scored[cost])):
            whole = {arm: each for arm, each in found.items() if len(each) == len(found.get(REFERENCE, {}))}
            for method in methods:
                for other in (PLAIN, SEQUENTIAL):
                    if len(arms_of(method, whole)) > 1 and len(arms_of(other, whole)) > 1:
                        duels.append(duel(method, other, whole, cost, quality))
        full = {arm: each for arm, each in by_cost[cost].items() if len(each) == most}
        small += [each for method in methods if (each := small_loss(method, full, cost)) is not None]
    arms = [mean_of_arm(name, samples, by_cost, scored) for name in sorted(names, key=order)]
    return FrontierDocument(machine.name, most, arms, duels, small, claims(methods, duels, small))


def order(arm: str) -> tuple[int, str, float]:
    """The models alone, exact, the rules by alpha, the others."""
    method, _, alpha = arm.partition(":")
    first = {REFERENCE: 0, "drafter": 1, "exact": 2}.get(method, 3 if method in SWEEPS else 4)
    return first, method, float(alpha or 0)


def mean_of_arm(
    arm: str, samples: Sequence[Sample], by_cost: Mapping[str, Points], scored: Mapping[str, Points]
) -> ArmMeans:
    own = [each.figures for each in samples if each.figures.name == arm]
    tokens = sum(each.tokens for each in own)
    steps = [each.drafter_steps for each in own]
    spent = {
        cost: float(np.mean([c for c, _ in each.get(arm, {}).values()])) if each.get(arm) else None
        for cost, each in by_cost.items()
    }
    return ArmMeans(
        arm=arm,
        prompts=len({each.prompt_id for each in samples if each.figures.name == arm}),
        measured=spent[MEASURED],
        elsewhere=spent[ELSEWHERE],
        calls=sum(each.expert_calls for each in own) / tokens if tokens else None,
        steps=sum(step for step in steps if step is not None) / tokens if tokens and None not in steps else None,
        log_prob=mean([change for _, change in by_cost[MEASURED].get(arm, {}).values()]),
        score=mean([change for _, change in scored[MEASURED].get(arm, {}).values()]),
    )


def claims(methods: Sequence[str], duels: Sequence[Duel], small: Sequence[SmallLoss]) -> list[str]:
    """The paper's claims, each with what this run shows of it."""
    found = []
    for other in (SEQUENTIAL, PLAIN):
        for cost in (MEASURED, ELSEWHERE):
            mine = [each for each in duels if (each.other, each.cost, each.quality) == (other, cost, LOG_PROB)]
            better = [each.method for each in mine if each.gain.low is not None and each.gain.low > 0]
            worse = [each.method for each in mine if each.gain.high is not None and each.gain.high < 0]
            open_ = [each.method for each in mine if each.method not in (*better, *worse)]
            parts = [f"{', '.join(names)}: {word}" for names, word in (
                (better, "better"), (worse, "worse"), (open_, "not shown"),
            ) if names]  # fmt: skip
            if parts:
                where = "in measured time" if cost == MEASURED else "on the stated machine"
                found.append(f"At equal cost {where}, against {other}, by log-prob: {'; '.join(parts)}.")
    for cost in (MEASURED, ELSEWHERE):
        quick = [each for each in small if each.cost == cost]
        where = "in measured time" if cost == MEASURED else "on the stated machine"
        shown = [each for each in quick if each.over_exact.low is not None and each.over_exact.low > 1]
        told = ", ".join(f"{each.arm} {each.over_exact.value:.2f}x" for each in shown)
        none = f"no rule whose loss is shown to be within {SMALL:g} nats a token is shown to be faster than exact"
        if methods:
            found.append(f"At equal quality {where}: {f'faster than exact: {told}' if told else none}.")
    return found
