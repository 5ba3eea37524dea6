"""From a row of logits to a distribution, and draws from it.

Letters as in the papers: q is the drafter's distribution, p the expert's, pi the one a rule wants sampled.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import NativeError
from .penalty import NO_PENALTY, Penalty

Floats = NDArray[np.float32]
Probabilities = NDArray[np.float32]
"""float32 as the logits they come from: over a vocabulary four to eight times as fast as float64."""
Ids = NDArray[np.int32]
Float = TypeVar("Float", np.float32, np.float64)

BLOCK = 256
CACHED = 8192
"""Entries of a row that are worked on together: what is written of them stays in the processor's first cache."""
BELOW_1 = math.nextafter(1.0, 0.0)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. Temperature 0 is greedy; the filters are off at top_k 0, top_p 1, min_p 0,
    margin 1 (tokens within so much of the most likely one's probability)."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int = 0
    turn: int = 0
    """Of a conversation, and `again`: how often the turn was asked again. Each has chance of its own."""
    again: int = 0
    test: str = "coupled"
    """How chance decides above temperature 0, a name in verify.VERIFIERS."""
    budget: float | None = None
    """Nats that a rule may cost in an answer, from 0 (`budget.py`); None is no limit."""
    penalty: Penalty = NO_PENALTY
    """Of repeated tokens: q and p are what it leaves of them, at temperature 1 too."""
    margin: float = 1.0
    confidence: float = 1.0
    """Temperature at which rules read q; drafts are drawn as ever. Fitted by `tune --calibrate`, so that the drafter is
    as sure as it is right (temperature scaling, Guo et al., arXiv 1706.04599)."""
    sent: int = 0
    """How many of its most likely tokens an expert elsewhere tells of each row; 0 is all (`sparse.py`)."""

    @property
    def greedy(self) -> bool:
        return self.temperature == 0.0

    @property
    def thinned(self) -> bool:
        """Whether tokens are drawn from an expert of whom only some probabilities are known, and no filter leaves out
        the others."""
        return self.sent > 0 and not self.greedy and self.top_k == 0

    @property
    def comparable(self) -> bool:
        """Whether `exact` writes what the expert alone writes with this seed, not only as likely."""
        return self.greedy or self.test == "coupled"

    @property
    def filters(self) -> bool:
        return self.top_k > 0 or self.top_p < 1.0 or self.min_p > 0.0 or self.margin < 1.0


GREEDY = Sampling()


class Shared:
    """Which entries of a drafter's row are tokens of the expert, and which ones.

    `rows` (n,) are entries of the row, `ids` (n,) the expert's ids for them; `size` is the expert's vocabulary.
    `rows` None means the first n entries, `ids` None that entry i is token i.
    """

    __slots__ = ("count", "entry", "ids", "rows", "size", "whole")

    def __init__(
        self, size: int, count: int, ids: Ids | None = None, rows: Ids | None = None, whole: bool = False
    ) -> None:
        """`whole`: every entry of the row is shared, so no probability mass is left out."""
        self.size = size
        self.count = count
        self.ids = ids
        self.rows = rows
        self.whole = whole
        self.entry: Ids | None = None
        if ids is not None:
            self.entry = np.full(size, -1, dtype=np.int32)
            self.entry[ids] = np.arange(len(ids), dtype=np.int32)

    def of(self, row: Floats) -> Floats:
        """The shared entries of a row, as a copy that outlives it."""
        return row[: self.count].copy() if self.rows is None else row[self.rows]

    def places(self, ids: Ids) -> Ids:
        """Where these tokens of the expert stand in a row; without those that have no place there."""
        entries = ids if self.entry is None else self.entry[ids]
        entries = entries[(entries >= 0) & (entries < self.count)]
        return entries if self.rows is None else self.rows[entries]


class Distribution:
    """Softmax of a row of logits at temperature 1; each number is computed when it is first asked for.

    `logits` (n,) float32. With `shared` entry i is the expert's token `shared.ids[i]`, and `log_mass` is the
    log of the whole row's exponentials, so that probabilities sum to the shared mass.
    The array is not copied: the owner keeps it unchanged for as long as the numbers are wanted.
    """

    def __init__(self, logits: Floats, shared: Shared | None = None, log_mass: float | None = None) -> None:
        self.logits = logits
        self.shared = shared
        self._sampled: tuple[Sampling, Probabilities] | None = None
        if log_mass is not None:
            self.log_mass = log_mass  # fills the cached property below

    def __len__(self) -> int:
        return len(self.logits)

    @property
    def complete(self) -> bool:
        """Whether every token of the expert's vocabulary has its number here."""
        return self.shared is None

    @cached_property
    def best(self) -> int:
        """Entry of the highest logit (the first one of equals, as llama.cpp's greedy sampler). Raises NativeError."""
        return highest(self.logits)

    @property
    def argmax(self) -> int:
        """The most likely token, an expert id."""
        ids = None if self.shared is None else self.shared.ids
        return self.best if ids is None else int(ids[self.best])

    @cached_property
    def log_mass(self) -> float:
        peak, total = self.logits[self.best], 0.0
        part = np.empty(min(CACHED, len(self.logits)), dtype=np.float32)
        for at in range(0, len(self.logits), CACHED):
            row = self.logits[at : at + CACHED]
            weights = np.subtract(row, peak, out=part[: len(row)])
            total += float(np.exp(weights, out=weights).sum())
        return float(peak) + math.log(total)

    @cached_property
    def max(self) -> float:
        return float(np.exp(np.float64(self.logits[self.best]) - self.log_mass))

    @cached_property
    def entropy(self) -> float:
        """H in nats; what is not shared counts as one more token."""
        peak = self.logits[self.best]
        log_q = (self.logits - peak) - np.float32(self.log_mass - float(peak))  # near 0 where the mass is
        weights = np.exp(log_q)
        shared = -float((weights * np.where(weights > 0, log_q, 0.0)).sum(dtype=np.float64))
        partial = self.shared is not None and not self.shared.whole
        rest = max(0.0, 1.0 - float(weights.sum(dtype=np.float64))) if partial else 0.0
        return shared - (rest * float(np.log(rest)) if rest > 1e-6 else 0.0)

    @cached_property
    def gap(self) -> float:
        """Distance between the two highest logits."""
        if len(self.logits) < 2:
            return float("inf")
        before, after = self.logits[: self.best], self.logits[self.best + 1 :]
        second = max(part.max() for part in (before, after) if len(part))
        return float(self.logits[self.best] - second)

    def log_prob(self, token: int) -> float:
        """ln of the probability of an expert id; -inf where this row has no such token."""
        entry = token
        if self.shared is not None:
            entry = int(self.shared.entry[token]) if self.shared.entry is not None else token
            if not 0 <= entry < len(self.logits):
                return float("-inf")
        return float(self.logits[entry]) - self.log_mass

    def prob(self, token: int) -> float:
        return float(np.exp(np.float64(self.log_prob(token))))  # as `all` does: a threshold may lie exactly here

    def told(self, token: int) -> float | None:
        """`log_prob` where it is known by now, without asking anybody."""
        return self.log_prob(token)

    def lists(self, token: int) -> bool:
        """Whether the token can stand on a list of approved ones: not one whose probability nobody need have sent."""
        return True

    def listed(self) -> NDArray[np.float64]:
        """`all` of those that can stand on such a list, -inf elsewhere."""
        return self.all()

    def chance(self, token: int, sampling: Sampling) -> float:
        """Of one token, scaled and filtered."""
        return float(self.sampled(sampling)[token])

    def sampled(self, sampling: Sampling) -> Probabilities:
        """The row's `probabilities`, computed once: a draft is drawn from them, and judged by them later."""
        if self._sampled is None or self._sampled[0] is not sampling:
            self._sampled = sampling, probabilities(self.logits, sampling)
        return self._sampled[1]

    def rank(self, token: int) -> int:
        """How many tokens are more likely than this one."""
        return int((self.logits > self.logits[token]).sum())

    def all(self) -> NDArray[np.float64]:
        """Every probability, dense over the expert's vocabulary."""
        return spread(np.exp(self.logits.astype(np.float64) - self.log_mass), self.shared)

    def ranks(self, most: int) -> NDArray[np.int64]:
        """`rank` of the `most` likeliest tokens and of their equals; the vocabulary's size for all others."""
        size = len(self.logits)
        last = np.partition(self.logits, size - most)[size - most] if most < size else -np.inf
        first = np.flatnonzero(self.logits >= last)
        found = np.full(size, size, dtype=np.int64)
        found[first] = np.searchsorted(np.sort(-self.logits[first]), -self.logits[first], side="left")
        return found

    def top(self, count: int) -> list[tuple[int, float]]:
        """The most likely tokens with their probabilities, best first."""
        entries = np.argpartition(-self.logits, min(count, len(self.logits) - 1))[:count]
        entries = entries[np.argsort(-self.logits[entries], kind="stable")]
        ids = entries if self.shared is None or self.shared.ids is None else self.shared.ids[entries]
        return [
            (int(i), float(np.exp(float(self.logits[e]) - self.log_mass))) for i, e in zip(ids, entries, strict=True)
        ]


def distribution(row: Floats | Distribution) -> Distribution:
    """A row of `LanguageModel.extend`: dense logits, or a distribution that the model made itself."""
    return row if isinstance(row, Distribution) else Distribution(row)


def calibrated(of: Distribution, temperature: float) -> Distribution:
    """A distribution at another temperature. What is not shared keeps its part: of those tokens only that is known."""
    if temperature == 1:
        return of
    scaled = Distribution(of.logits / np.float32(temperature), of.shared)
    if of.shared is None or of.shared.whole:
        return scaled
    log_share = Distribution(of.logits).log_mass - of.log_mass
    return Distribution(scaled.logits, of.shared, scaled.log_mass - log_share)


def point(token: int, size: int) -> Distribution:
    """All mass on one token of a vocabulary of `size`."""
    return Distribution(np.zeros(1, dtype=np.float32), Shared(size, 1, np.array([token], dtype=np.int32), whole=True))


def highest(logits: Floats) -> int:
    """Entry of the highest logit. Raises NativeError where that is no number (a NaN counts as the highest)."""
    entry = int(logits.argmax())
    if not math.isfinite(logits[entry]):
        raise NativeError("the model returned logits that are not numbers", "the file may be damaged")
    return entry


def spread(weights: NDArray[Float], shared: Shared | None) -> NDArray[Float]:
    """A row's weights placed at the expert's ids, zeros elsewhere."""
    if shared is None or (shared.ids is None and len(weights) == shared.size):
        return weights
    dense = np.zeros(shared.size, dtype=weights.dtype)
    dense[slice(len(weights)) if shared.ids is None else shared.ids] = weights
    return dense


def probabilities(logits: Floats, sampling: Sampling) -> Probabilities:
    """The scaled and filtered distribution of a row, over the row's own entries, summing to 1.

    Order of the filters as in llama.cpp's default chain (top-k, top-p, min-p, temperature): the filters see the
    distribution at temperature 1. Temperature 0 is all mass on the argmax. Raises NativeError on NaN logits.
    """
    best = highest(logits)
    if sampling.greedy:
        point = np.zeros(len(logits), dtype=np.float32)
        point[best] = 1.0
        return point
    shifted = logits - logits[best]
    temperature = max(sampling.temperature, 1e-20)  # below that it would overflow, and is greedy anyway
    weights: Probabilities = np.exp(shifted / temperature)
    if sampling.filters:
        weights *= allowed(shifted, sampling)
    weights /= weights.sum()
    return weights


def allowed(shifted: Floats, sampling: Sampling) -> NDArray[np.bool_]:
    """Which entries the filters leave, by their logits less the highest one. At least one is left."""
    keep = np.ones(len(shifted), dtype=bool)
    if 0 < sampling.top_k < len(shifted):
        last = np.partition(shifted, -sampling.top_k)[-sampling.top_k]
        keep = shifted > last
        keep[np.flatnonzero(shifted == last)[: sampling.top_k - int(keep.sum())]] = True
    if sampling.top_p < 1.0:
        mass = np.exp(shifted) * keep
        total = float(mass.sum(dtype=np.float64))
        entries = np.flatnonzero(mass * len(mass) > (1.0 - sampling.top_p) * total)  # all others weigh too little
        entries = entries[np.argsort(-mass[entries], kind="stable")]
        enough = int(np.searchsorted(np.cumsum(mass[entries], dtype=np.float64), sampling.top_p * total)) + 1
        keep[:] = False
        keep[entries[:enough]] = True
    if sampling.min_p > 0.0:
        keep &= shifted >= np.log(sampling.min_p)
    if sampling.margin < 1.0:
        weights = np.exp(shifted)
        keep &= weights >= 1.0 - sampling.margin * float(weights.sum(dtype=np.float64))
    return keep


@dataclass(frozen=True, slots=True)
class Edges:
    """Between what filters keep of a row and what they drop, in ln of probability at temperature 1."""

    kept: float
    """The least likely token that is kept."""
    dropped: float
    """The most likely one that is dropped; -inf where none is."""
    floor: float
    """Where min-p or a margin cuts; -inf where neither does."""

    def above(self, log_prob: float) -> float:
        """How far a kept token is from being dropped."""
        return max(0.0, log_prob - max(self.dropped, self.floor))

    def below(self, log_prob: float) -> float:
        """How far a dropped token is from being kept."""
        return max(0.0, (self.floor if log_prob < self.floor else self.kept) - log_prob)


def edges(of: Distribution, sampling: Sampling) -> Edges:
    """Where the filters of `sampling` cut this row."""
    keep = allowed(of.logits - of.logits[of.best], sampling)
    log_probs = of.logits.astype(np.float64) - of.log_mass
    dropped = float(log_probs[~keep].max()) if not keep.all() else -math.inf
    best = math.exp(float(log_probs[of.best]))
    least = max(sampling.min_p * best, best - sampling.margin)
    floor = math.log(least) if least > 0 else -math.inf
    return Edges(float(log_probs[keep].min()), dropped, floor)


def draw(weights: Probabilities, uniform: float) -> int:
    """The entry that `uniform` in [0, 1) picks from weights that need not sum to 1. From many: first a block of them,
    since a running sum over a vocabulary costs more than all else here."""
    if len(weights) > BLOCK:
        sums = np.add.reduceat(weights, np.arange(0, len(weights), BLOCK))
        block = draw(sums, uniform)
        below, total = (float(part.sum(dtype=np.float64)) for part in (sums[:block], sums))
        within = (uniform * total - below) / float(sums[block])
        return block * BLOCK + draw(weights[block * BLOCK :][:BLOCK], min(max(within, 0.0), BELOW_1))
    cumulative = np.cumsum(weights, dtype=np.float64)
    entry = int(np.searchsorted(cumulative, uniform * cumulative[-1], side="right"))
    if entry < len(weights) and weights[entry] > 0:
        return entry
    return int(np.flatnonzero(weights)[-1])  # rounding put uniform at the very end


def residual(pi: Probabilities, q: Probabilities, p: Probabilities) -> Probabilities:
    """What a turned-down draft is replaced from: max(0, pi - q), or p where that is empty (rounding)."""
    rest = np.maximum(pi - q, 0.0)
    return rest if rest.sum() > 0 else p


def from_probabilities(values: Sequence[float]) -> Distribution:
    """A distribution given by its probabilities, for tables and tests."""
    with np.errstate(divide="ignore"):
        return Distribution(np.log(np.asarray(values, dtype=np.float64)).astype(np.float32))
