"""What a deferral rule is: when to keep the drafter's token, and which distribution pi the output follows.

Letters, here and everywhere: q is the drafter's distribution, p the expert's, pi what the rule wants sampled, v the
drafted token, alpha the rule's dial (larger: fewer deferrals). q1 and p1 are at temperature 1 (q1
at the one that makes the drafter as sure as it is right, where that was fitted) and serve decisions; q and p are scaled
and filtered and serve sampling. Equations: Narasimhan et al., arXiv 2405.19261v2.

A rule keeps v when the two sides of its inequality stand as `sense` says (equality keeps). A token that it does not
keep is not yet turned down: `verify.py` accepts v with probability min(1, pi(v) / q(v)), or
judges the draft as a whole.
The rules themselves are in `rules.py`.
"""

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from .sampling import Distribution, Probabilities, Sampling, calibrated, residual, spread

Sense = Literal[">=", "<="]
STANDS: dict[Sense, Callable[[Any, Any], Any]] = {">=": operator.ge, "<=": operator.le}


class Position:
    """The two distributions at one position, as rules read them (q1, p1) and as sampled (q, p, dense over the expert's
    vocabulary). Nothing is computed before a rule asks for it."""

    def __init__(self, said: Distribution, p1: Distribution, sampling: Sampling, asked: bool = True) -> None:
        """`said`: q at temperature 1. `asked`: it is what the drafter said. Otherwise the draft was looked up (all mass
        on it), or there is none (it is p1), and no rule that reads q may judge it."""
        self.said = said
        self.p1 = p1
        self.sampling = sampling
        self.asked = asked

    @cached_property
    def q1(self) -> Distribution:
        return calibrated(self.said, self.sampling.confidence) if self.asked else self.said

    @cached_property
    def q(self) -> Probabilities:
        return spread(self.said.sampled(self.sampling), self.said.shared)

    @cached_property
    def p(self) -> Probabilities:
        return self.p1.sampled(self.sampling)

    def chance(self, v: int) -> float:
        """p(v): the others need not be known."""
        return self.p1.chance(v, self.sampling)

    @cached_property
    def total_variation(self) -> float:
        """D_TV(p, q) of the sampled distributions; at temperature 0 whether the argmaxes differ (Lemma 8)."""
        if self.sampling.greedy:
            return float(self.q1.argmax != self.p1.argmax)
        return float(np.maximum(self.p - self.q, 0.0).sum())


class OfExpert(StrEnum):
    """How much of the expert's probabilities a rule reads to decide on v."""

    NOTHING = "nothing"
    BEST = "the best"
    TOKEN = "the best and p(v)"
    LIST = "the most likely ones"
    SAMPLED = "all that the filters leave"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Shares:
    """pi as a `part` of q, and a `share` of p."""

    part: Probabilities
    share: float


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
    of_expert: ClassVar[tuple[OfExpert, OfExpert]] = (OfExpert.ALL, OfExpert.ALL)
    """What of the expert's probabilities the decision reads, at temperature 0 and above it: whether an expert can judge
    of whom a server tells only some (`partly.py`)."""
    pi_of_prefix: ClassVar[bool] = True
    """Whether pi at a position is a function of the text before it, and of who drafts there, as all that `Position` has
    is: not of other positions, nor of what was drawn. Block verification against pi needs that. The three whose `pi` is
    the true marginal of a test of their own have it too; one that looks ahead in the draft has not."""

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

    def blend(self, at: Position) -> Shares | None:
        """pi as it is blended from q and p; None where it is the marginal of a test (`passes`)."""
        return None

    def passes(self, v: int, at: Position) -> float:
        """Of a test: what v's q is held against, times chance. One that fails is replaced from max(0, p - q)."""
        return at.chance(v)

    def first(self, at: Position) -> int:
        """At temperature 0 the token in place of one that is turned down."""
        return at.p1.argmax

    def twin(self, sampling: Sampling) -> Sampling | None:
        """The sampling that leaves of p only what the rule keeps: what the expert would gain by that alone is measured
        beside the rule (arXiv 2607.26627). None where no filter does it."""
        return None


class PositionRule(Rule):
    """A rule that keeps or defers whatever v is: its sides look at the two distributions only."""

    __slots__ = ()
    samples: ClassVar[str] = "q where it keeps, p where it defers (eq 6)"

    def pi(self, at: Position) -> Probabilities:
        return at.q if keeps(self, at.q1.argmax, at) else at.p

    def blend(self, at: Position) -> Shares:
        return Shares(at.q, 0.0) if keeps(self, at.q1.argmax, at) else Shares(np.zeros_like(at.q), 1.0)


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
        """`sides` of all tokens at once: the left sides (vocabulary,), and the right side. Of an expert of whom only
        some are known the others have none that is enough: above temperature 0 the list is of those that were sent."""
        return self.judged(at).listed(), self.limit(at)

    def approved(self, at: Position) -> NDArray[np.bool_]:
        """Which tokens are kept (vocabulary,)."""
        return np.asarray(STANDS[self.sense](*self.every(at)))

    def blend(self, at: Position) -> Shares | None:
        kept = np.asarray(at.q * self.approved(at))
        return Shares(kept, max(0.0, 1.0 - float(kept.sum())))

    def pi(self, at: Position) -> Probabilities:
        kept = at.q * self.approved(at)
        return np.asarray(kept + at.p * max(0.0, 1.0 - float(kept.sum())))


def keeps(rule: Rule, v: int, at: Position) -> bool:
    """Whether the rule's inequality holds for v: then v is accepted whatever the exact test says."""
    return not rule.lossless(at.sampling) and listable(rule, v, at) and bool(STANDS[rule.sense](*rule.sides(v, at)))


def listable(rule: Rule, v: int, at: Position) -> bool:
    """Whether v can stand on the rule's list, where it has one. Of what was drafted p is always known: above
    temperature 0 pi would depend on the draft if that alone put it on the list."""
    return at.sampling.greedy or not isinstance(rule, TokenRule) or rule.judged(at).lists(v)


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
