"""Intervals, tests and verdicts over per-prompt pairs.

Every interval is a percentile bootstrap over prompts (scipy): prompts are what the result should carry over to, repeats
of one prompt are not. Below LEAST prompts there is none: even the range of five values misses a median too often.
scipy is imported where it is needed: a plan is told without it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

LEAST = 6  # prompts: 2 * 0.5**6 = 3 % is the chance that a median lies outside the range of six values
CONFIDENCE = 0.95
RESAMPLES = 4000
FASTER, SLOWER, UNDECIDED = "faster", "slower", "no difference shown"
BETTER, LOSS, SMALL, NOT_SHOWN = "better", "loss", "small at most", "not shown"
SAME, NOT_MEASURED = "none: same text", "not measured"


@dataclass(frozen=True, slots=True)
class IntervalEstimate:
    """A figure over `n` prompts with its 95 % interval; without one where the prompts are too few."""

    value: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Percentiles:
    """How a time is spread over `n` samples. `p99` is None below 100 samples: nothing would lie behind it."""

    n: int
    p5: float | None = None
    p25: float | None = None
    p50: float | None = None
    p75: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None


def median(values: Sequence[float]) -> IntervalEstimate:
    """The median, with its interval."""
    return _estimate(values, np.median, CONFIDENCE)


def mean(values: Sequence[float]) -> IntervalEstimate:
    """The mean, with its interval: for scores and for differences of log-probabilities, which are often 0.

    The percentile interval of a mean is too narrow for few values (it covered 87 % at 12 prompts); Hesterberg's
    expanded one (The American Statistician 69:371, 2015) takes the percentiles that make up for it.
    """
    n = len(values)
    if n < LEAST:
        return _estimate(values, np.mean, CONFIDENCE)
    from scipy import stats

    tail = stats.norm.cdf(-math.sqrt(n / (n - 1)) * stats.t.ppf((1 + CONFIDENCE) / 2, n - 1))
    return _estimate(values, np.mean, 1 - 2 * float(tail))


def geometric_mean(ratios: Sequence[float]) -> IntervalEstimate:
    """Of ratios above 0, with its interval: how many times as fast a mix of prompts is. Of few prompts that differ much
    the median says less: its interval is the second to the last but one of eight."""
    logs = mean([math.log(each) for each in ratios])
    value, low, high = (None if each is None else math.exp(each) for each in (logs.value, logs.low, logs.high))
    return IntervalEstimate(value, low, high, logs.n)


def _estimate(values: Sequence[float], statistic: Callable[..., Any], level: float) -> IntervalEstimate:
    data = np.asarray(values, dtype=float)
    if not len(data):
        return IntervalEstimate(None, None, None, 0)
    value = float(statistic(data))
    if len(data) < LEAST:
        return IntervalEstimate(value, None, None, len(data))
    from scipy import stats

    found = stats.bootstrap(
        (data,), statistic, n_resamples=RESAMPLES, confidence_level=level, method="percentile", rng=0
    )  # one seed, so the same samples give the same report
    low, high = found.confidence_interval
    return IntervalEstimate(value, float(low), float(high), len(data))


def percentiles(values: Sequence[float]) -> Percentiles:
    data = np.asarray(values, dtype=float)
    if not len(data):
        return Percentiles(0)
    p5, p25, p50, p75, p90, p95, p99 = (float(x) for x in np.percentile(data, (5, 25, 50, 75, 90, 95, 99)))
    return Percentiles(len(data), p5, p25, p50, p75, p90, p95, p99 if len(data) >= 100 else None)


def verdict(speedup: IntervalEstimate, answer: IntervalEstimate) -> str:
    """Faster only where the interval of the speed-up lies above 1 and answers do not take longer as well: a rule that
    makes answers longer is not faster."""
    if speedup.low is None or speedup.high is None:
        return UNDECIDED
    if speedup.low > 1 and (answer.value or 0) > 1:
        return FASTER
    return SLOWER if speedup.high < 1 else UNDECIDED


@dataclass(frozen=True, slots=True)
class RightWrong:
    """The same questions answered by the expert alone and by an arm. `p_value`: McNemar's exact test."""

    lost: int
    """Questions that the expert got right and the arm wrong."""
    won: int
    p_value: float
    most_lost: float
    """Upper end of the 95 % interval (Clopper-Pearson) of the share lost. A bootstrap of pairs that never differ has no
    width, and would call any loss small."""


def mcnemar(expert: Sequence[bool], arm: Sequence[bool]) -> RightWrong:
    """Paired right/wrong answers."""
    from scipy import stats

    lost = sum(a and not b for a, b in zip(expert, arm, strict=True))
    won = sum(b and not a for a, b in zip(expert, arm, strict=True))
    p_value = stats.binomtest(lost, lost + won, 0.5).pvalue if lost + won else 1.0
    most = stats.binomtest(lost, len(expert)).proportion_ci(CONFIDENCE).high if expert else 1.0
    return RightWrong(lost, won, float(p_value), float(most))


def loss(change: IntervalEstimate, margin: float, most_lost: float = 0.0) -> str:
    """What the interval of a paired change of quality shows: small only where it excludes more than the margin."""
    if change.low is None or change.high is None:
        return NOT_SHOWN
    if change.low > 0:
        return BETTER
    if change.low > -margin and most_lost <= margin:
        return SMALL
    return LOSS if change.high < 0 else NOT_SHOWN
