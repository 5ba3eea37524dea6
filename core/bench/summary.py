"""Samples to the figures of a report. FORMULAS says how each figure is made; the report prints it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from ..decoding.arms import REFERENCE
from .pairs import (
    PairedSample,
    Totals,
    agreement,
    by_prompt,
    by_prompt_mean,
    gaps,
    length_ratio,
    mean_of,
    median_of,
    speed_ratio,
    time_ratio,
)
from .samples import Sample
from .scoring import LOG_PROB_MARGIN, MARGIN, SCORERS
from .stats import (
    BETTER,
    NOT_MEASURED,
    SAME,
    SMALL,
    IntervalEstimate,
    Percentiles,
    RightWrong,
    loss,
    mcnemar,
    mean,
    median,
    percentiles,
    verdict,
)

RIGHT = "right"
"""The scorers that decide right or wrong, taken together."""
FORMULAS = (
    "speed-up: each prompt's median over repeats of tokens/s divided by the expert alone's tokens/s in the same block; "
    "the median of that over prompts, with a 95 % percentile bootstrap over prompts (none below 6).",
    "answer: the same of the expert's seconds divided by the arm's, for whole answers; faster = the interval of the "
    "speed-up lies above 1 and the answer's median too; slower = it lies below 1.",
    "tokens/s = tokens / seconds, from the prompt in the caches to the last token, median over prompts.",
    "right = share of prompts answered rightly (numeric, match, pass@1); bleu, rouge = mean score; log-prob = mean ln "
    "p of the text under the expert at temperature 1, nats a token; each with its paired change against the expert "
    "alone, and a 95 % bootstrap interval of the mean over prompts.",
    f"quality loss: small at most = the interval of the change excludes {MARGIN:g} (of 1; log-prob {LOG_PROB_MARGIN:g} "
    "nats), and for right answers the 95 % bound on the share lost as well; loss, better = it excludes 0; not shown = "
    "neither. Judged by the first of right, bleu, rouge, log-prob that has at least 6 prompts.",
    "acceptance = (agreed + kept) / (agreed + kept + deferred); kept, deferred = share of the tokens; tokens/call = "
    "tokens per expert call, bonus included; all depend on k.",
    "if flat = the speed-up if a call of the expert cost the same however many tokens it reads: tokens / (expert calls "
    "+ c x drafter steps), c the bytes of weights that a step reads, the drafter's over the expert's; by counts alone, "
    "so it does not depend on the machine.",
    "drafter, expert, rest = share of the seconds inside either model and outside both.",
    "first token = reading the prompt and the first token; gap = between the ends of rounds; inter-token = a gap "
    "divided by the tokens of the round it ends with. P99 needs 100 samples.",
    "agrees = matching tokens of the text and the expert's own, 2 M / T (difflib); same text = share of answers that "
    "are the expert's; length = tokens against the expert's; cut off = share of answers that met -n.",
)


@dataclass(frozen=True, slots=True)
class QualityScore:
    """A quality figure, and its paired change against the expert alone."""

    prompts: int
    value: IntervalEstimate
    change: IntervalEstimate
    right_wrong: RightWrong | None
    loss: str


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """An arm on the prompts of one group."""

    prompts: int
    speedup: float | None
    acceptance: float | None
    tokens_per_expert_call: float | None
    same_text: float | None
    score: float | None


@dataclass(frozen=True, slots=True)
class ArmSummary:
    """One row of the report."""

    label: str
    name: str
    rule: str | None
    alpha: float | None
    k: int | str | None
    min_p: float | None
    top_k: float | None
    margin: float | None
    prompts: int
    samples: int
    tokens_per_second: float | None
    speedup: IntervalEstimate
    answer: IntervalEstimate
    length: IntervalEstimate
    verdict: str
    scores: Mapping[str, QualityScore]
    quality_by: str | None
    quality_loss: str
    acceptance: float | None
    kept: float | None
    deferred: float | None
    tokens_per_expert_call: float | None
    speedup_if_flat: float | None
    drafter_share: float | None
    expert_share: float | None
    rest_share: float | None
    ttft_ms: Percentiles
    gap_ms: Percentiles
    inter_token_ms: Percentiles
    agreement: float | None
    same_text: float | None
    cut_off: float | None
    groups: Mapping[str, GroupFigures]
    per_prompt: Mapping[str, Mapping[str, float | None]]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def summarise(samples: Sequence[Sample]) -> list[ArmSummary]:
    """A row for every arm, in the order they were planned (that of first appearance, the expert first)."""
    experts = {(s.prompt_id, s.repeat): s for s in samples if s.figures.name == REFERENCE}
    ks = {str(s.k) for s in samples if s.k is not None}
    arms: dict[str, list[PairedSample]] = {}
    for sample in samples:
        expert = experts.get((sample.prompt_id, sample.repeat))
        if expert is not None:
            label = sample.label if len(ks) > 1 else sample.figures.name
            arms.setdefault(label, []).append(PairedSample(sample, expert))
    return [summarise_arm(label, arms[label]) for label in sorted(arms, key=lambda label: rank(arms[label][0].own))]


def shown_slower(arms: Iterable[ArmSummary], least: float) -> list[ArmSummary]:
    """The arms whose whole interval of the speed-up lies below `least`."""
    return [arm for arm in arms if arm.speedup.high is not None and arm.speedup.high < least]


def rank(sample: Sample) -> tuple[int, str, float, str]:
    """Order of rows: the baselines, exact, the rules by name and alpha, then filters and the peer."""
    figures = sample.figures
    if figures.name.startswith(f"{REFERENCE} "):  # with a filter
        return 5, figures.name, 0.0, ""
    place = {"expert": 0, "drafter": 1, "exact": 2}.get(figures.name, 6 if figures.rule is None else 3)
    k = f"{sample.k:02}" if isinstance(sample.k, int) else str(sample.k)
    return place, figures.rule or figures.name, figures.alpha or 0.0, k


def summarise_arm(label: str, pairs: Sequence[PairedSample]) -> ArmSummary:
    first = pairs[0].own
    speedup, answer, length = (
        median(list(by_prompt(pairs, ratio).values())) for ratio in (speed_ratio, time_ratio, length_ratio)
    )
    scores = {
        name: score for name in (RIGHT, "bleu", "rouge", "log-prob") if (score := scored(name, pairs)) is not None
    }
    same = [pair.own.ids == pair.expert.ids for pair in pairs]
    quality_by = next(
        (name for name, score in scores.items() if score.change.low is not None), next(iter(scores), None)
    )
    totals = Totals(pairs)
    baseline = first.figures.name == REFERENCE
    return ArmSummary(
        label=label,
        name=first.figures.name,
        rule=first.figures.rule,
        alpha=first.figures.alpha,
        k=first.k,
        min_p=first.min_p,
        top_k=first.top_k,
        margin=first.margin,
        prompts=len({pair.own.prompt_id for pair in pairs}),
        samples=len(pairs),
        tokens_per_second=median_of(by_prompt(pairs, lambda pair: pair.own.figures.tokens_per_second).values()),
        speedup=speedup,
        answer=answer,
        length=length,
        verdict="-" if baseline else verdict(speedup, answer),
        scores=scores,
        quality_by=quality_by,
        quality_loss="-"
        if baseline
        else SAME
        if all(same)
        else scores[quality_by].loss
        if quality_by
        else NOT_MEASURED,
        acceptance=totals.acceptance,
        kept=totals.share("kept"),
        deferred=totals.share("deferred"),
        tokens_per_expert_call=totals.tokens_per_call,
        speedup_if_flat=totals.speedup_if_flat,
        drafter_share=totals.time("draft_seconds"),
        expert_share=totals.time("verify_seconds"),
        rest_share=totals.time("overhead_seconds"),
        ttft_ms=percentiles([pair.own.figures.ttft_ms for pair in pairs if pair.own.figures.ttft_ms is not None]),
        gap_ms=percentiles([gap for pair in pairs for gap, _ in gaps(pair.own)]),
        inter_token_ms=percentiles([gap / n for pair in pairs for gap, n in gaps(pair.own) for _ in range(n)]),
        agreement=mean_of(agreement(pair) for pair in pairs),
        same_text=fmean(same),
        cut_off=fmean(pair.own.figures.finish == "length" for pair in pairs),
        groups={
            group: grouped([pair for pair in pairs if pair.own.group == group])
            for group in dict.fromkeys(pair.own.group for pair in pairs)
        },
        per_prompt=per_prompt(pairs),
    )


def scored(name: str, pairs: Sequence[PairedSample]) -> QualityScore | None:
    """A quality figure over the prompts that have it."""
    own = by_prompt_mean(pairs, lambda pair: value_of(name, pair.own))
    expert = by_prompt_mean(pairs, lambda pair: value_of(name, pair.expert))
    prompts = [prompt for prompt in own if prompt in expert]
    if not prompts:
        return None
    change = mean([own[prompt] - expert[prompt] for prompt in prompts])
    right_wrong = None
    if name == RIGHT:
        right_wrong = mcnemar([expert[p] >= 0.5 for p in prompts], [own[p] >= 0.5 for p in prompts])
    margin = LOG_PROB_MARGIN if name == "log-prob" else MARGIN
    word = loss(change, margin, right_wrong.most_lost if right_wrong else 0.0)
    if word == BETTER and name == "log-prob":
        word = SMALL  # likelier under the expert is not better
    value = mean([own[prompt] for prompt in prompts])
    return QualityScore(prompts=len(prompts), value=value, change=change, right_wrong=right_wrong, loss=word)


def value_of(name: str, sample: Sample) -> float | None:
    if name == "log-prob":
        return sample.figures.expert_logprob
    if sample.scorer is None or sample.score is None:
        return None
    decides = SCORERS[sample.scorer].decides
    return sample.score if (name == RIGHT and decides) or (name == sample.scorer and not decides) else None


def grouped(pairs: Sequence[PairedSample]) -> GroupFigures:
    totals = Totals(pairs)
    return GroupFigures(
        prompts=len({pair.own.prompt_id for pair in pairs}),
        speedup=median_of(by_prompt(pairs, speed_ratio).values()),
        acceptance=totals.acceptance,
        tokens_per_expert_call=totals.tokens_per_call,
        same_text=mean_of(float(pair.own.ids == pair.expert.ids) for pair in pairs),
        score=mean_of(pair.own.score for pair in pairs),
    )


def per_prompt(pairs: Sequence[PairedSample]) -> dict[str, dict[str, float | None]]:
    """What `--compare` pairs with another run."""
    speeds = by_prompt(pairs, lambda pair: pair.own.figures.tokens_per_second)
    ratios = by_prompt(pairs, speed_ratio)
    scores = by_prompt_mean(pairs, lambda pair: pair.own.score)
    log_probs = by_prompt_mean(pairs, lambda pair: pair.own.figures.expert_logprob)
    return {
        prompt: {
            "tokens_per_second": speeds.get(prompt),
            "speedup": ratios.get(prompt),
            "score": scores.get(prompt),
            "expert_logprob": log_probs.get(prompt),
        }
        for prompt in dict.fromkeys(pair.own.prompt_id for pair in pairs)
    }
