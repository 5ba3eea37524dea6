"""The deferral rules: when to keep the drafter's token, and which distribution pi that samples from.

Knows two distributions at one position; not where they come from, nor what happened before it.

Letters, here and everywhere: q is the drafter's distribution, p the expert's, pi what the rule wants sampled, v the
drafted token, alpha the rule's dial (larger: fewer deferrals). q1 and p1 are at temperature 1 and serve decisions; q
and p are scaled and filtered and serve sampling. Equations: Narasimhan et al., arXiv 2405.19261v2.

A rule keeps v when the two sides of its inequality stand as `sense` says (equality keeps). A token that it does not
keep is not yet turned down: `verify.py` accepts v with probability min(1, pi(v) / q(v)).
To add one: a class here, a line in RULES, a row of vectors in tests/core/decoding/test_rules.py, a line in the README.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np

from ..errors import UsageError
from ..nearest import did_you_mean
from .events import Opinion
from .sampling import Distribution, Probabilities, Sampling, residual, spread


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


Token = Any  # an expert id, or the slice of all of them (then the numbers below are arrays over the vocabulary)
EVERY = slice(None)


def prob(row: Distribution, v: Token) -> Any:
    return row.all() if v is EVERY else row.prob(v)


class Rule(Protocol):
    """What the engine asks of a rule. For `speccas rules` each class also says when v is kept (`formula`), where that
    comes from (`paper`), alpha's range (`default`, `low`, `high`) and what its two ends do (`ends`)."""

    @property
    def alpha(self) -> float | None:
        """The dial; None for `exact`."""

    @property
    def sense(self) -> str:
        """ ">=" or "<=": how the two sides must stand for v to be kept."""

    @property
    def reads(self) -> str:
        """What the decision needs: "q" (known while drafting), "p", "qp", or "" for no decision at all."""

    def sides(self, v: Token, at: Position) -> tuple[Any, Any]:
        """Left and right side of the rule's inequality for token v."""

    def pi(self, at: Position) -> Probabilities:
        """The distribution the rule samples from, dense over the expert's vocabulary."""


def keeps(rule: Rule, v: Token, at: Position) -> Any:
    """Whether the rule's inequality holds for v: then v is accepted whatever the exact test says."""
    return holds(rule, *rule.sides(v, at)) if rule.reads else False


def holds(rule: Rule, left: Any, right: Any) -> Any:
    """Whether the two sides stand as the rule wants them."""
    return left >= right if rule.sense == ">=" else left <= right


# The three shapes of pi (a rule's `pi` is one of these functions).


def either(rule: Rule, at: Position) -> Probabilities:
    """Position rules: q where the rule keeps, p where it defers (eq 6)."""
    return at.q if keeps(rule, None, at) else at.p


def approved(rule: Rule, at: Position) -> Probabilities:
    """Token rules: q on the tokens that are kept, and p times q's mass on the others (eq 11)."""
    kept = at.q * keeps(rule, EVERY, at)
    return np.asarray(kept + at.p * max(0.0, 1.0 - float(kept.sum())))


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
class Exact:
    """Speculative decoding: nothing is kept that the expert would not have written."""

    alpha: None = None
    formula: ClassVar = "the exact test alone: accepted with probability min(1, p(v) / q(v))"
    paper: ClassVar = "SpecDecode, Alg. 1"
    ends: ClassVar = "takes no alpha; the output is the expert's own"
    default: ClassVar = None
    low: ClassVar = 0.0
    high: ClassVar = 0.0
    sense: ClassVar = ">="
    reads: ClassVar = ""

    def sides(self, v: Token, at: Position) -> tuple[Any, Any]:
        if at.sampling.greedy:
            return prob(at.p1, v), at.p1.max
        return at.p[v], at.q[v]

    def pi(self, at: Position) -> Probabilities:
        return at.p


@dataclass(frozen=True, slots=True)
class Confidence:
    """Keep the draft where the drafter is sure of itself."""

    alpha: float
    formula: ClassVar = "max q >= 1 - alpha"
    paper: ClassVar = "Chow, eq. 2"
    ends: ClassVar = "0: keeps only certainty; 1: keeps every draft"
    default: ClassVar = 0.3
    low: ClassVar = 0.0
    high: ClassVar = 1.0
    sense: ClassVar = ">="
    reads: ClassVar = "q"

    def sides(self, v: Token, at: Position) -> tuple[Any, Any]:
        return at.q1.max, 1 - self.alpha

    pi = either


@dataclass(frozen=True, slots=True)
class Entropy:
    """Keep the draft where the drafter hesitates little."""

    alpha: float
    formula: ClassVar = "H(q) <= alpha (nats)"
    paper: ClassVar = "ChowLog, eq. 24"
    ends: ClassVar = "0: keeps only certainty; ln of the vocabulary's size: keeps every draft"
    default: ClassVar = 1.0
    low: ClassVar = 0.0
    high: ClassVar = float("inf")
    sense: ClassVar = "<="
    reads: ClassVar = "q"

    def sides(self, v: Token, at: Position) -> tuple[Any, Any]:
        return at.q1.entropy, self.alpha

    pi = either


@dataclass(frozen=True, slots=True)
class Comparative:
    """Keep the draft unless the expert is clearly surer than the drafter."""

    alpha: float
    formula: ClassVar = "max q >= max p - alpha"
    paper: ClassVar = "Diff, eq. 5"
    ends: ClassVar = "-1: defers always; 0: keeps wherever q is as peaked as p (not lossless); 1: keeps every draft"
    default: ClassVar = 0.2
    low: ClassVar = -1.0
    high: ClassVar = 1.0
    sense: ClassVar = ">="
    reads: ClassVar = "qp"

    def sides(self, v: Token, at: Position) -> tuple[Any, Any]:
        return at.q1.max, at.p1.max - self.alpha

    pi = either


@dataclass(frozen=True, slots=True)
class CostBenefit:
    """Keep the draft unless the expert's greater sureness outweighs the cost of turning drafts down."""

    alpha: float
    formula: ClassVar = "max q >= max p - alpha * TV(p, q)"
    paper: ClassVar = "OPT, eq. 10"
    ends: ClassVar = (
        "0: as comparative:0 (not lossless); from 1: keeps nearly every draft; at temperature 0: comparative"
    )
    default: ClassVar = 0.5
    low: ClassVar = 0.0
    high: ClassVar = float("inf")
    sense: ClassVar = ">="
    reads: ClassVar = "qp"

    def sides(self, v: Token, at: Position) -> tuple[Any, Any]:
        scale = 1.0 if at.sampling.greedy else at.total_variation  # where the argmaxes agree v is accepted anyway
        return at.q1.max, at.p1.max - self.alpha * scale

    pi = either


@dataclass(frozen=True, slots=True)
class TokenList:
    """Keep a token that stands on the expert's approved list."""

    alpha: float
    formula: ClassVar = "p(v) >= (1 - alpha) * max p"
    paper: ClassVar = "Token V3, eq. 15"
    ends: ClassVar = (
        "0: only the expert's first choice is free (not lossless above temperature 0); 1: keeps every draft"
    )
    default: ClassVar = 0.5
    low: ClassVar = 0.0
    high: ClassVar = 1.0
    sense: ClassVar = ">="
    reads: ClassVar = "p"

    def sides(self, v: Token, at: Position) -> tuple[Any, Any]:
        return prob(at.p1, v), (1 - self.alpha) * at.p1.max

    pi = approved


@dataclass(frozen=True, slots=True)
class TokenQ:
    """Keep a token that the drafter holds nearly as likely as the expert its best one."""

    alpha: float
    formula: ClassVar = "q(v) >= max p - alpha"
    paper: ClassVar = "Token V1, eq. 13"
    ends: ClassVar = "-1: keeps nothing; 0 is not lossless; 1: keeps every draft"
    default: ClassVar = 0.2
    low: ClassVar = -1.0
    high: ClassVar = 1.0
    sense: ClassVar = ">="
    reads: ClassVar = "qp"

    def sides(self, v: Token, at: Position) -> tuple[Any, Any]:
        return prob(at.q1, v), at.p1.max - self.alpha

    pi = approved


@dataclass(frozen=True, slots=True)
class TokenMargin:
    """Keep a token that the expert holds nearly as likely as its best one."""

    alpha: float
    formula: ClassVar = "p(v) >= max p - alpha"
    paper: ClassVar = "Token V2, eq. 14"
    ends: ClassVar = "below 0: keeps nothing; 0 is not lossless above temperature 0; 1: keeps every draft"
    default: ClassVar = 0.2
    low: ClassVar = -1.0
    high: ClassVar = 1.0
    sense: ClassVar = ">="
    reads: ClassVar = "p"

    def sides(self, v: Token, at: Position) -> tuple[Any, Any]:
        return prob(at.p1, v), at.p1.max - self.alpha

    pi = approved


@dataclass(frozen=True, slots=True)
class TokenSafe:
    """Keep a token on the approved list; any other one gets the exact test, so no more is turned down than by exact."""

    alpha: float
    formula: ClassVar = "p(v) >= (1 - alpha) * max p, or else the exact test"
    paper: ClassVar = "Token V3 with the exact test off the list"
    ends: ClassVar = "0: exact, but the expert's first choice is free; 1: keeps every draft"
    default: ClassVar = 0.5
    low: ClassVar = 0.0
    high: ClassVar = 1.0
    sense: ClassVar = ">="
    reads: ClassVar = "p"

    def sides(self, v: Token, at: Position) -> tuple[Any, Any]:
        return prob(at.p1, v), (1 - self.alpha) * at.p1.max

    def pi(self, at: Position) -> Probabilities:
        return tested(np.where(keeps(self, EVERY, at), 1.0, over(at.p, at.q)), at)


@dataclass(frozen=True, slots=True)
class TopK:
    """Keep a token that is among the expert's first alpha choices."""

    alpha: float
    formula: ClassVar = "v is among the expert's alpha most likely tokens"
    paper: ClassVar = "the token-specific check of the blog, by rank"
    ends: ClassVar = "1: only the expert's first choice is free; the vocabulary's size: keeps every draft"
    default: ClassVar = 5.0
    low: ClassVar = 1.0
    high: ClassVar = float("inf")
    sense: ClassVar = "<="
    reads: ClassVar = "p"

    def sides(self, v: Token, at: Position) -> tuple[Any, Any]:
        return 1 + (at.p1.ranks(int(self.alpha)) if v is EVERY else at.p1.rank(v)), self.alpha

    pi = approved


@dataclass(frozen=True, slots=True)
class Lossy:
    """The exact test made lenient: q is scaled down before the two are compared."""

    alpha: float
    formula: ClassVar = "accepted with probability min(1, p(v) / ((1 - alpha) q(v)))"
    paper: ClassVar = "Leviathan et al. A.5 (beta = 1)"
    ends: ClassVar = "0: exact; near 1: keeps nearly every draft; at temperature 0: p(v) >= (1 - alpha) * max p"
    default: ClassVar = 0.3
    low: ClassVar = 0.0
    high: ClassVar = float(np.nextafter(1.0, 0.0))
    sense: ClassVar = ">="
    reads: ClassVar = "qp"

    def sides(self, v: Token, at: Position) -> tuple[Any, Any]:
        if at.sampling.greedy:  # one-hot distributions leave nothing to scale (method.md 3.4)
            return prob(at.p1, v), (1 - self.alpha) * at.p1.max
        return at.p[v], (1 - self.alpha) * at.q[v]

    def pi(self, at: Position) -> Probabilities:
        return tested(over(at.p / (1 - self.alpha), at.q), at)


@dataclass(frozen=True, slots=True)
class Bild:
    """Keep the draft unless the two models differ too much."""

    alpha: float
    formula: ClassVar = "cross-entropy -sum q ln p <= alpha (at temperature 0: -ln p(v))"
    paper: ClassVar = "BiLD*, App. E.1"
    ends: ClassVar = "0: defers nearly always; large: keeps every draft"
    default: ClassVar = 2.0
    low: ClassVar = 0.0
    high: ClassVar = float("inf")
    sense: ClassVar = "<="
    reads: ClassVar = "qp"

    def sides(self, v: Token, at: Position) -> tuple[Any, Any]:
        if at.sampling.greedy:
            return -at.p1.log_prob(at.q1.argmax if v is None else v), self.alpha
        q1 = at.q1.all()
        log_p1 = at.p1.logits - np.float32(at.p1.log_mass)
        return -float((q1 * np.where(q1 > 0, log_p1, 0.0)).sum()), self.alpha

    pi = either


RULES: dict[str, type[Any]] = {
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
}


def opinion(name: str, rule: Rule, v: int, at: Position) -> Opinion:
    """What a rule's inequality says of token v, with its numbers. `exact` has none: those are the test's numbers."""
    left, right = (float(side) for side in rule.sides(v, at))
    return Opinion(name, left, rule.sense, right, bool(holds(rule, left, right)))


def all_opinions(v: int, at: Position) -> tuple[Opinion, ...]:
    """What every rule at its default alpha says of token v; those that read q only where the drafter was asked."""
    return tuple(
        opinion(name if kind.default is None else f"{name}:{kind.default:g}", parse_rule(name), v, at)
        for name, kind in RULES.items()
        if at.asked or "q" not in kind.reads
    )


def parse_rule(text: str) -> Rule:
    """`name` or `name:alpha`. Raises UsageError with the nearest name, or the range."""
    name, colon, value = text.strip().partition(":")
    if name not in RULES:
        guess = did_you_mean(name, RULES, cutoff=0.4)
        raise UsageError(f"there is no rule {name!r}", f"{guess}`speccas rules` lists them")
    kind: Any = RULES[name]
    if kind.default is None:
        if colon:
            raise UsageError(f"rule {name!r} takes no alpha", f"write --rule {name}")
        rule: Rule = kind()
        return rule
    chosen: Rule = kind(parse_alpha(name, value if colon else None, kind.default, kind.low, kind.high))
    return chosen


def parse_alpha(name: str, text: str | None, default: float, low: float, high: float) -> float:
    """A number within a rule's range. Raises UsageError."""
    if text is None:
        return default
    whole = name == "top-k"
    span = f"from {low:g}" if high == float("inf") else f"{low:g} to {'below ' * (name == 'lossy')}{high:g}"
    hint = f"alpha of {name} is a {'whole ' * whole}number {span}, for example {name}:{default:g}"
    try:
        alpha = float(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a number, in rule {name}:{text}", hint) from None
    if not low <= alpha <= high or not np.isfinite(alpha) or (whole and alpha != int(alpha)):
        raise UsageError(f"alpha {text} is out of range for rule {name}", hint)
    return alpha
