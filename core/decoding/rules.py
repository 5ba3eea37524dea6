"""The deferral rules: when to keep the drafter's token, and which distribution pi the output follows.

Letters, here and everywhere: q is the drafter's distribution, p the expert's, pi what the rule wants sampled, v the
drafted token, alpha the rule's dial (larger: fewer deferrals). q1 and p1 are at temperature 1 and serve decisions; q
and p are scaled and filtered and serve sampling. Equations: Narasimhan et al., arXiv 2405.19261v2.

A rule keeps v when the two sides of its inequality stand as `sense` says (equality keeps). A token that it does not
keep is not yet turned down: `verify.py` accepts v with probability min(1, pi(v) / q(v)).
To add one: a class here, a line in RULES, a row of vectors in tests/core/decoding/test_rules.py.
`make docs` then writes docs/rules.md.
"""

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from .events import Opinion
from .sampling import Distribution, Probabilities, Sampling, residual, spread

Sense = Literal[">=", "<="]
STANDS: dict[Sense, Callable[[Any, Any], Any]] = {">=": operator.ge, "<=": operator.le}


class Position:
    """The two distributions at one position, at temperature 1 (q1, p1) and as sampled (q, p, dense over the expert's
    vocabulary). Nothing is computed before a rule asks for it."""

    def __init__(self, q1: Distribution, p1: Distribution, sampling: Sampling, asked: bool = True) -> None:
        """`asked`: q1 is what the drafter said. Otherwise the draft was looked up (q1 is all mass on it), or there is
        none (q1 is p1), and no rule that reads q may judge it."""
        self.q1 = q1
        self.p1 = p1
        self.sampling = sampling
        self.asked = asked

    @cached_property
    def q(self) -> Probabilities:
        return spread(self.q1.sampled(self.sampling), self.q1.shared)

    @cached_property
    def p(self) -> Probabilities:
        return self.p1.sampled(self.sampling)

    @cached_property
    def total_variation(self) -> float:
        """D_TV(p, q) of the sampled distributions; at temperature 0 whether the argmaxes differ (Lemma 8)."""
        if self.sampling.greedy:
            return float(self.q1.argmax != self.p1.argmax)
        return float(np.maximum(self.p - self.q, 0.0).sum())


@dataclass(frozen=True, slots=True)
class Dial:
    """Where a rule's alpha lies, and where it stands unless told otherwise."""

    default: float
    low: float = 0.0
    high: float = 1.0
    below: bool = False
    """alpha must be below `high`, not at it."""
    whole: bool = False
    """alpha is a whole number."""

    def allows(self, alpha: float) -> bool:
        """Whether alpha is a number within the range; of infinite ones only the end below."""
        inside = self.low <= alpha < self.high if self.below else self.low <= alpha <= self.high
        return inside and alpha < math.inf and (not self.whole or alpha == int(alpha))

    @property
    def range(self) -> str:
        """The range in words, such as "0 to 1"."""
        if self.high == math.inf:
            return "of any size, or -inf" if self.low == -math.inf else f"from {self.low:g}"
        return f"{self.low:g} to {'below ' * self.below}{self.high:g}"


class Rule(ABC):
    """What each rule says of itself. This base is for the three that compare p with q by the exact test or a more
    lenient one; the others are a PositionRule or a TokenRule, which have their pi."""

    __slots__ = ()
    alpha: float | None
    """The dial as it is set; None for a rule without one."""
    formula: ClassVar[str]
    """When v is kept, as `speccas rules` and the docs print it."""
    paper: ClassVar[str]
    """Where the rule comes from."""
    ends: ClassVar[str]
    """What the two ends of alpha do."""
    samples: ClassVar[str] = "accepts by its own test, replaces from norm(max(0, p - q))"
    """What pi is, in words."""
    dial: ClassVar[Dial | None]
    sense: ClassVar[Sense] = ">="
    """How the two sides must stand for v to be kept."""
    reads_q: ClassVar[bool] = False
    """Whether the decision needs q: then it cannot judge a draft that no drafter gave a distribution for."""
    reads_p: ClassVar[bool] = False
    """Whether the decision needs p. One that needs q alone is known while drafting."""

    def lossless(self, sampling: Sampling | None = None) -> bool:
        """Whether pi is p at this alpha and this temperature and filter (None: at any): nothing is kept, and the exact
        test decides."""
        return False

    @abstractmethod
    def sides(self, v: int, at: Position) -> tuple[float, float]:
        """Left and right side of the inequality for token v, an expert id."""

    @abstractmethod
    def pi(self, at: Position) -> Probabilities:
        """The distribution the rule samples from, dense over the expert's vocabulary."""

    def first(self, at: Position) -> int:
        """At temperature 0 the token in place of one that is turned down."""
        return at.p1.argmax

    @property
    def min_p(self) -> float | None:
        """The min-p filter on p that passes the tokens that the rule keeps, for the bench to measure the expert with;
        None where there is none to compare with."""
        return None


class PositionRule(Rule):
    """A rule that keeps or defers whatever v is: its sides look at the two distributions only."""

    __slots__ = ()
    samples: ClassVar[str] = "q where it keeps, p where it defers (eq 6)"

    def pi(self, at: Position) -> Probabilities:
        return at.q if keeps(self, at.q1.argmax, at) else at.p


class TokenRule(Rule):
    """A rule that keeps some tokens of a position and not others: those likely enough for its limit."""

    __slots__ = ()
    samples: ClassVar[str] = "q on the tokens it keeps, and p times q's mass on the others (eq 11)"

    @abstractmethod
    def limit(self, at: Position) -> float:
        """The right side of the inequality, which all tokens share."""

    def judged(self, at: Position) -> Distribution:
        """The distribution whose probabilities are the left sides."""
        return at.p1

    def sides(self, v: int, at: Position) -> tuple[float, float]:
        return self.judged(at).prob(v), self.limit(at)

    def every(self, at: Position) -> tuple[NDArray[np.float64], float]:
        """`sides` of all tokens at once: the left sides (vocabulary,), and the right side."""
        return self.judged(at).all(), self.limit(at)

    def approved(self, at: Position) -> NDArray[np.bool_]:
        """Which tokens are kept (vocabulary,)."""
        return np.asarray(STANDS[self.sense](*self.every(at)))

    def pi(self, at: Position) -> Probabilities:
        kept = at.q * self.approved(at)
        return np.asarray(kept + at.p * max(0.0, 1.0 - float(kept.sum())))


def keeps(rule: Rule, v: int, at: Position) -> bool:
    """Whether the rule's inequality holds for v: then v is accepted whatever the exact test says."""
    return not rule.lossless(at.sampling) and bool(STANDS[rule.sense](*rule.sides(v, at)))


def only_first(first: bool, sampling: Sampling | None) -> bool:
    """Whether a list that holds `first` choice alone is lossless: at temperature 0, where that is what exact keeps."""
    return first and sampling is not None and sampling.greedy


def tested(accept: Probabilities, at: Position) -> Probabilities:
    """The true marginal when v is accepted with probability accept(v) and replaced from norm(max(0, p - q))."""
    kept = at.q * accept
    rest = residual(at.p, at.q, at.p)
    return np.asarray(kept + rest * (max(0.0, 1.0 - float(kept.sum())) / rest.sum()))


def over(numerator: Probabilities, q: Probabilities) -> Probabilities:
    """min(1, numerator / q), 1 where q is 0: such a token is never drafted."""
    with np.errstate(over="ignore"):
        return np.minimum(1.0, np.divide(numerator, q, out=np.ones_like(q), where=q > 0))


@dataclass(frozen=True, slots=True)
class Exact(Rule):
    """Speculative decoding: nothing is kept that the expert would not have written."""

    alpha: None = None
    formula = "the exact test alone: accepted with probability min(1, p(v) / q(v))"
    paper = "SpecDecode, Alg. 1"
    ends = "takes no alpha; the output is the expert's own"
    dial = None
    samples = "p, the expert's own distribution"

    def lossless(self, sampling: Sampling | None = None) -> bool:
        return True

    def sides(self, v: int, at: Position) -> tuple[float, float]:
        if at.sampling.greedy:
            return at.p1.prob(v), at.p1.max
        return float(at.p[v]), float(at.q[v])

    def pi(self, at: Position) -> Probabilities:
        return at.p


@dataclass(frozen=True, slots=True)
class Confidence(PositionRule):
    """Keep the draft where the drafter is sure of itself."""

    alpha: float
    formula = "max q >= 1 - alpha"
    paper = "Chow, eq. 2"
    ends = "0: keeps only certainty; 1: keeps every draft"
    dial = Dial(0.3)
    reads_q = True

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

    def sides(self, v: int, at: Position) -> tuple[float, float]:
        return at.q1.entropy, self.alpha


@dataclass(frozen=True, slots=True)
class Comparative(PositionRule):
    """Keep the draft unless the expert is clearly surer than the drafter."""

    alpha: float
    formula = "max q >= max p - alpha"
    paper = "Diff, eq. 5"
    ends = "-1: defers always; 0: keeps wherever q is as peaked as p (not lossless); 1: keeps every draft"
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
    dial = Dial(0.5, low=-math.inf, high=math.inf)
    reads_q = True
    reads_p = True

    def lossless(self, sampling: Sampling | None = None) -> bool:
        """max q - max p is at most TV of the distributions at temperature 1, so below -1 it keeps only where p is q,
        as long as TV is of those; greedy TV is 1 wherever it matters."""
        if sampling is None or self.alpha >= -1 or self.alpha == -math.inf:
            return self.alpha == -math.inf
        return sampling.greedy or (sampling.temperature == 1 and not sampling.filters)

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
    dial = Dial(0.5)
    reads_p = True

    @property
    def min_p(self) -> float:
        return 1 - self.alpha

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
    dial = Dial(0.2, low=-1.0)
    reads_p = True

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
    dial = Dial(0.5)
    reads_p = True

    def lossless(self, sampling: Sampling | None = None) -> bool:
        return only_first(self.alpha <= 0, sampling)

    def limit(self, at: Position) -> float:
        return (1 - self.alpha) * at.p1.max

    def pi(self, at: Position) -> Probabilities:
        return tested(np.where(self.approved(at), 1.0, over(at.p, at.q)), at)


@dataclass(frozen=True, slots=True)
class TopK(TokenRule):
    """Keep a token that is among the expert's first alpha choices."""

    alpha: float
    formula = "v is among the expert's alpha most likely tokens"
    paper = "the token-specific check of the blog, by rank"
    ends = "1: only the expert's first choice is free; the vocabulary's size: keeps every draft"
    dial = Dial(5.0, low=1.0, high=math.inf, whole=True)
    sense = "<="
    reads_p = True

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
    dial = Dial(0.3, below=True)
    reads_q = True
    reads_p = True

    def lossless(self, sampling: Sampling | None = None) -> bool:
        return self.alpha == 0

    def sides(self, v: int, at: Position) -> tuple[float, float]:
        if at.sampling.greedy:  # one-hot distributions leave nothing to scale (method.md 3.4)
            return at.p1.prob(v), (1 - self.alpha) * at.p1.max
        return float(at.p[v]), float((1 - self.alpha) * at.q[v])

    def pi(self, at: Position) -> Probabilities:
        return tested(over(at.p / (1 - self.alpha), at.q), at)


@dataclass(frozen=True, slots=True)
class Bild(PositionRule):
    """Keep the draft unless the two models differ too much."""

    alpha: float
    formula = "cross-entropy -sum q ln p <= alpha (at temperature 0: -ln p(v))"
    paper = "BiLD*, App. E.1"
    ends = "0: defers nearly always; large: keeps every draft"
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
    dial = Dial(0.3)
    reads_q = True
    reads_p = True

    def lossless(self, sampling: Sampling | None = None) -> bool:
        return self.alpha == 0

    def sides(self, v: int, at: Position) -> tuple[float, float]:
        if at.sampling.greedy:
            mixed = self.mixed(at)
            return float(mixed[v]), float(mixed.max())
        return float(self.pi(at)[v]), float(at.q[v])

    def mixed(self, at: Position) -> Probabilities:
        """The mixture of the distributions at temperature 1."""
        return np.asarray((1 - self.alpha) * at.p1.all() + self.alpha * at.q1.all())

    def first(self, at: Position) -> int:
        return int(self.mixed(at).argmax())

    def pi(self, at: Position) -> Probabilities:
        return np.asarray((1 - self.alpha) * at.p + self.alpha * at.q)


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
    """What every rule at its default alpha says of token v; those that read q only where the drafter was asked."""
    return tuple(
        opinion(name if kind.dial is None else f"{name}:{kind.dial.default:g}", rule_of(kind), v, at)
        for name, kind in RULES.items()
        if at.asked or not kind.reads_q
    )
