"""The deferral rules. What a rule is, and the letters of the formulas: `deferral.py`.

To add one: a class here, a line in RULES, a row of vectors in tests/core/decoding/test_rules.py.
`make docs` then writes docs/rules.md.
"""

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import NotSent
from .deferral import STANDS, Dial, OfExpert, Position, PositionRule, Rule, Shares, TokenRule, only_first, over, tested
from .events import Opinion
from .sampling import Distribution, Probabilities, Sampling


@dataclass(frozen=True, slots=True)
class Exact(Rule):
    """Speculative decoding: nothing is kept that the expert would not have written."""

    alpha: None = None
    formula = "the exact test alone: accepted with probability min(1, p(v) / q(v))"
    paper = "SpecDecode, Alg. 1"
    ends = "takes no alpha; the output is the expert's own"
    dial = None
    samples = "p, the expert's own distribution"
    of_expert = (OfExpert.BEST, OfExpert.TOKEN)

    def lossless(self, sampling: Sampling | None = None) -> bool:
        return True

    def sides(self, v: int, at: Position) -> tuple[float, float]:
        if at.sampling.greedy:
            return at.p1.prob(v), at.p1.max
        return at.chance(v), float(at.q[v])

    def pi(self, at: Position) -> Probabilities:
        return at.p

    def blend(self, at: Position) -> Shares:
        return Shares(np.zeros_like(at.q), 1.0)


@dataclass(frozen=True, slots=True)
class Confidence(PositionRule):
    """Keep the draft where the drafter is sure of itself."""

    alpha: float
    formula = "max q >= 1 - alpha"
    paper = "Chow, eq. 2"
    ends = "0: keeps only certainty; 1: keeps every draft"
    dial = Dial(0.3)
    reads_q = True
    of_expert = (OfExpert.NOTHING, OfExpert.NOTHING)

    def sides(self, v: int, at: Position) -> tuple[float, float]:
        return at.q1.max, 1 - self.alpha


@dataclass(frozen=True, slots=True)
class Entropy(PositionRule):
    """Keep the draft where the drafter hesitates little."""

    alpha: float
    formula = "H(q) <= alpha (nats)"
    paper = "ChowLog, eq. 24"
    ends = "0: keeps only certainty; ln of the vocabulary's size: keeps every draft"
    dial = Dial(1.0, high=math.inf)
    sense = "<="
    reads_q = True
    of_expert = (OfExpert.NOTHING, OfExpert.NOTHING)

    def sides(self, v: int, at: Position) -> tuple[float, float]:
        return at.q1.entropy, self.alpha


@dataclass(frozen=True, slots=True)
class Comparative(PositionRule):
    """Keep the draft unless the expert is clearly surer than the drafter."""

    alpha: float
    formula = "max q >= max p - alpha"
    paper = "Diff, eq. 5"
    ends = "-1: defers always; 0: keeps wherever q is as peaked as p (not lossless); 1: keeps every draft"
    of_expert = (OfExpert.BEST, OfExpert.BEST)
    dial = Dial(0.2, low=-1.0)
    reads_q = True
    reads_p = True

    def lossless(self, sampling: Sampling | None = None) -> bool:
        return self.alpha <= -1  # max q would have to be above 1

    def sides(self, v: int, at: Position) -> tuple[float, float]:
        return at.q1.max, at.p1.max - self.alpha


@dataclass(frozen=True, slots=True)
class CostBenefit(PositionRule):
    """Keep the draft unless the expert's greater sureness outweighs the cost of turning drafts down."""

    alpha: float
    formula = "max q >= max p - alpha * TV(p, q)"
    paper = "OPT, eq. 10"
    ends = (
        "-inf: exact; below -1: lossless at temperature 0 and 1; 0: as comparative:0 (not lossless); from 1: keeps "
        "nearly every draft; at temperature 0: comparative"
    )
    of_expert = (OfExpert.BEST, OfExpert.SAMPLED)
    dial = Dial(0.5, low=-math.inf, high=math.inf)
    reads_q = True
    reads_p = True

    def lossless(self, sampling: Sampling | None = None) -> bool:
        """max q - max p is at most TV of the distributions at temperature 1, so below -1 it keeps only where p is q,
        as long as TV is of those and max q is as drawn; greedy TV is 1 wherever it matters."""
        if sampling is None or self.alpha >= -1 or self.alpha == -math.inf:
            return self.alpha == -math.inf
        as_drawn = sampling.temperature == 1 and sampling.confidence == 1 and not sampling.filters
        return sampling.greedy or as_drawn

    def sides(self, v: int, at: Position) -> tuple[float, float]:
        scale = 1.0 if at.sampling.greedy else at.total_variation  # where the argmaxes agree v is accepted anyway
        return at.q1.max, at.p1.max - (self.alpha * scale if scale else 0.0)  # -inf times 0 is no number


@dataclass(frozen=True, slots=True)
class TokenList(TokenRule):
    """Keep a token that stands on the expert's approved list."""

    alpha: float
    formula = "p(v) >= (1 - alpha) * max p"
    paper = "Token V3, eq. 15"
    ends = "0: only the expert's first choice is free (not lossless above temperature 0); 1: keeps every draft"
    of_expert = (OfExpert.TOKEN, OfExpert.LIST)
    dial = Dial(0.5)
    reads_p = True

    def twin(self, sampling: Sampling) -> Sampling:
        return replace(sampling, min_p=max(sampling.min_p, 1 - self.alpha))

    def lossless(self, sampling: Sampling | None = None) -> bool:
        return only_first(self.alpha <= 0, sampling)

    def limit(self, at: Position) -> float:
        return (1 - self.alpha) * at.p1.max


@dataclass(frozen=True, slots=True)
class TokenQ(TokenRule):
    """Keep a token that the drafter holds nearly as likely as the expert its best one."""

    alpha: float
    formula = "q(v) >= max p - alpha"
    paper = "Token V1, eq. 13"
    ends = "-1: keeps nothing; 0 is not lossless; 1: keeps every draft"
    of_expert = (OfExpert.BEST, OfExpert.BEST)
    dial = Dial(0.2, low=-1.0)
    reads_q = True
    reads_p = True

    def lossless(self, sampling: Sampling | None = None) -> bool:
        return self.alpha <= -1  # q(v) would have to be above 1

    def judged(self, at: Position) -> Distribution:
        return at.q1

    def limit(self, at: Position) -> float:
        return at.p1.max - self.alpha


@dataclass(frozen=True, slots=True)
class TokenMargin(TokenRule):
    """Keep a token that the expert holds nearly as likely as its best one."""

    alpha: float
    formula = "p(v) >= max p - alpha"
    paper = "Token V2, eq. 14"
    ends = "below 0: keeps nothing; 0 is not lossless above temperature 0; 1: keeps every draft"
    of_expert = (OfExpert.TOKEN, OfExpert.LIST)
    dial = Dial(0.2, low=-1.0)
    reads_p = True

    def twin(self, sampling: Sampling) -> Sampling | None:
        return replace(sampling, margin=min(sampling.margin, self.alpha)) if self.alpha >= 0 else None

    def lossless(self, sampling: Sampling | None = None) -> bool:
        return self.alpha < 0 or only_first(self.alpha <= 0, sampling)

    def limit(self, at: Position) -> float:
        return at.p1.max - self.alpha


@dataclass(frozen=True, slots=True)
class TokenSafe(TokenRule):
    """Keep a token on the approved list; any other one gets the exact test. With `--test token` no more is turned down
    than by exact; coupled sampling draws from the same pi, and does not promise that."""

    alpha: float
    formula = "p(v) >= (1 - alpha) * max p, or else the exact test"
    paper = "Token V3 with the exact test off the list"
    samples = "accepts the list, tests the others exactly, replaces from norm(max(0, p - q))"
    ends = "0: exact, but the expert's first choice is free; 1: keeps every draft"
    of_expert = (OfExpert.TOKEN, OfExpert.LIST)
    dial = Dial(0.5)
    reads_p = True

    def twin(self, sampling: Sampling) -> Sampling:
        return replace(sampling, min_p=max(sampling.min_p, 1 - self.alpha))

    def lossless(self, sampling: Sampling | None = None) -> bool:
        return only_first(self.alpha <= 0, sampling)

    def limit(self, at: Position) -> float:
        return (1 - self.alpha) * at.p1.max

    def pi(self, at: Position) -> Probabilities:
        return tested(np.where(self.approved(at), 1.0, over(at.p, at.q)), at)

    def blend(self, at: Position) -> Shares | None:
        return None


@dataclass(frozen=True, slots=True)
class TopK(TokenRule):
    """Keep a token that is among the expert's first alpha choices."""

    alpha: float
    formula = "v is among the expert's alpha most likely tokens"
    paper = "the token-specific check of the blog, by rank"
    ends = "1: only the expert's first choice is free; the vocabulary's size: keeps every draft"
    of_expert = (OfExpert.LIST, OfExpert.LIST)
    dial = Dial(5.0, low=1.0, high=math.inf, whole=True)
    sense = "<="
    reads_p = True

    def twin(self, sampling: Sampling) -> Sampling:
        most = int(self.alpha)
        return replace(sampling, top_k=min(sampling.top_k or most, most))

    def lossless(self, sampling: Sampling | None = None) -> bool:
        return only_first(self.alpha <= 1, sampling)

    def limit(self, at: Position) -> float:
        return self.alpha

    def sides(self, v: int, at: Position) -> tuple[float, float]:
        return 1 + at.p1.rank(v), self.limit(at)

    def every(self, at: Position) -> tuple[NDArray[np.float64], float]:
        return (1 + at.p1.ranks(int(self.alpha))).astype(np.float64), self.limit(at)


@dataclass(frozen=True, slots=True)
class Lossy(Rule):
    """The exact test made lenient: q is scaled down before the two are compared."""

    alpha: float
    formula = "accepted with probability min(1, p(v) / ((1 - alpha) q(v)))"
    paper = "Leviathan et al. A.5 (beta = 1)"
    ends = "0: exact; near 1: keeps nearly every draft; at temperature 0: p(v) >= (1 - alpha) * max p"
    of_expert = (OfExpert.TOKEN, OfExpert.TOKEN)
    dial = Dial(0.3, below=True)
    reads_q = True
    reads_p = True

    def lossless(self, sampling: Sampling | None = None) -> bool:
        return self.alpha == 0

    def sides(self, v: int, at: Position) -> tuple[float, float]:
        if at.sampling.greedy:  # one-hot distributions leave nothing to scale (method.md 3.4)
            return at.p1.prob(v), (1 - self.alpha) * at.p1.max
        return at.chance(v), float((1 - self.alpha) * at.q[v])

    def passes(self, v: int, at: Position) -> float:
        return at.chance(v) / (1 - self.alpha)

    def pi(self, at: Position) -> Probabilities:
        return tested(over(at.p / (1 - self.alpha), at.q), at)


@dataclass(frozen=True, slots=True)
class Bild(PositionRule):
    """Keep the draft unless the two models differ too much."""

    alpha: float
    formula = "cross-entropy -sum q ln p <= alpha (at temperature 0: -ln p(v))"
    paper = "BiLD*, App. E.1"
    ends = "0: defers nearly always; large: keeps every draft"
    of_expert = (OfExpert.TOKEN, OfExpert.ALL)
    dial = Dial(2.0, high=math.inf)
    sense = "<="
    reads_q = True
    reads_p = True

    def sides(self, v: int, at: Position) -> tuple[float, float]:
        if at.sampling.greedy:
            return -at.p1.log_prob(v), self.alpha
        q1 = at.q1.all()
        log_p1 = at.p1.logits - np.float32(at.p1.log_mass)
        return -float((q1 * np.where(q1 > 0, log_p1, 0.0)).sum()), self.alpha


@dataclass(frozen=True, slots=True)
class Ensemble(Rule):
    """The exact test against a mixture of both models: a drafted token is turned down (1 - alpha) times as often."""

    alpha: float
    formula = "accepted with probability min(1, pi(v) / q(v)), pi = (1 - alpha) p + alpha q"
    paper = "DIVERSED, arXiv 2604.07622"
    samples = "(1 - alpha) p + alpha q; at temperature 0 its most likely token"
    ends = "0: exact; 1: keeps every draft"
    of_expert = (OfExpert.ALL, OfExpert.TOKEN)
    dial = Dial(0.3)
    reads_q = True
    reads_p = True

    def lossless(self, sampling: Sampling | None = None) -> bool:
        return self.alpha == 0

    def sides(self, v: int, at: Position) -> tuple[float, float]:
        if at.sampling.greedy:
            mixed = self.mixed(at)
            return float(mixed[v]), float(mixed.max())
        q = float(at.q[v])
        return (1 - self.alpha) * at.chance(v) + self.alpha * q, q

    def mixed(self, at: Position) -> Probabilities:
        """The mixture of the distributions at temperature 1."""
        return np.asarray((1 - self.alpha) * at.p1.all() + self.alpha * at.q1.all())

    def first(self, at: Position) -> int:
        return int(self.mixed(at).argmax())

    def pi(self, at: Position) -> Probabilities:
        return np.asarray((1 - self.alpha) * at.p + self.alpha * at.q)

    def blend(self, at: Position) -> Shares:
        return Shares(np.asarray(self.alpha * at.q), 1 - self.alpha)


@dataclass(frozen=True, slots=True)
class Typical(TokenRule):
    """Keep a token that the expert holds likely enough, the less the more it hesitates: a baseline."""

    alpha: float
    formula = "p(v) >= min(e, sqrt(e) * exp(-H(p))), e = 1 - alpha"
    paper = "typical acceptance, Medusa, arXiv 2401.10774"
    ends = "0: only what is likelier than exp(-H(p)) (not lossless); 1: keeps every draft"
    dial = Dial(0.91)
    reads_p = True

    def limit(self, at: Position) -> float:
        least = 1 - self.alpha
        return min(least, math.sqrt(least) * math.exp(-at.p1.entropy))


RULES: dict[str, type[Rule]] = {
    "exact": Exact,
    "confidence": Confidence,
    "entropy": Entropy,
    "comparative": Comparative,
    "cost-benefit": CostBenefit,
    "token": TokenList,
    "token-q": TokenQ,
    "token-margin": TokenMargin,
    "token-safe": TokenSafe,
    "top-k": TopK,
    "lossy": Lossy,
    "bild": Bild,
    "ensemble": Ensemble,
    "typical": Typical,
}


def named_lossless(name: str, sampling: Sampling | None = None) -> bool:
    """Whether a record's `NAME` or `NAME:ALPHA` is a lossless rule at this sampling (None: at any); one that is not
    known here is not."""
    method, _, alpha = name.partition(":")
    kind = RULES.get(method)
    try:
        return kind is not None and rule_of(kind, float(alpha) if alpha else None).lossless(sampling)
    except ValueError:
        return False


def lossless_where(kind: type[Rule]) -> str:
    """At which end of its alpha, and at which temperature, a rule is lossless."""
    if kind.dial is None:
        return "always" if rule_of(kind).lossless() else "never"
    low = rule_of(kind, kind.dial.low)
    if low.lossless():
        return f"at alpha {kind.dial.low:g}"
    return f"at alpha {kind.dial.low:g} and temperature 0" if low.lossless(Sampling(0.0)) else "never"


def rule_of(kind: type[Rule], alpha: float | None = None) -> Rule:
    """A rule of this class at its default alpha, or at another one within its range."""
    make: Callable[..., Rule] = kind
    return make() if kind.dial is None else make(kind.dial.default if alpha is None else alpha)


def opinion(name: str, rule: Rule, v: int, at: Position) -> Opinion:
    """What a rule's inequality says of token v, with its numbers. `exact` has none: those are the test's numbers."""
    left, right = (float(side) for side in rule.sides(v, at))
    return Opinion(name, left, rule.sense, right, bool(STANDS[rule.sense](left, right)))


def all_opinions(v: int, at: Position) -> tuple[Opinion, ...]:
    """What every rule at its default alpha says of token v; those that read q only where the drafter was asked, and
    none that reads what an expert elsewhere did not send."""
    found = []
    for name, kind in RULES.items():
        if at.asked or not kind.reads_q:
            named = name if kind.dial is None else f"{name}:{kind.dial.default:g}"
            with suppress(NotSent):
                found.append(opinion(named, rule_of(kind), v, at))
    return tuple(found)
