"""An arm is one way to write the answer: a rule, or a baseline without one. Reads what was typed."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import NoDial, UnknownRule, UsageError
from ..nearest import did_you_mean, nearest
from .deferral import Dial, Rule
from .rules import RULES, rule_of
from .sampling import Sampling


@dataclass(frozen=True, slots=True)
class Baseline:
    """One way to write the answer without a rule. `speccas rules` prints the texts."""

    name: str
    formula: str
    ends: str
    paper: str
    models: tuple[str, ...]
    """The roles that write: "expert", "drafter", or both."""
    dial: Dial | None = None


DRAFTER = "drafter"
"""Name of the arm that is the drafter alone."""
REFERENCE = "expert"
"""Name of the arm that all others are measured against: the expert alone."""
BASELINES = {
    each.name: each
    for each in (
        Baseline(REFERENCE, "the expert alone", "takes no alpha", "-", ("expert",)),
        Baseline(DRAFTER, "the drafter alone", "takes no alpha", "-", ("drafter",)),
        Baseline(
            "token-cascade",
            "token by token: the drafter where max q >= 1 - alpha, else the expert",
            "0: the expert; 1: the drafter, and the expert every eleventh token",
            "TokenCascade, Alg. 2",
            ("expert", "drafter"),
            Dial(0.3),
        ),
        Baseline(
            "answer-cascade",
            "the drafter's answer if the geometric mean of q over it is >= 1 - alpha, else the expert from scratch",
            "0: the expert (after the drafter); 1: the drafter",
            "SeqCascade, eq. 1",
            ("expert", "drafter"),
            Dial(0.4),
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Arm:
    """`name` as typed (`token:0.5`); `method` the rule's or baseline's name; `alpha` None where there is none, and for
    -inf, for which JSON has no number; `rule` None for a baseline."""

    name: str
    method: str
    alpha: float | None
    rule: Rule | None
    models: tuple[str, ...] = ("expert", "drafter")
    """The roles that write."""
    reference: bool = False
    """Whether this is the expert alone, which the others are measured against."""

    @property
    def alone(self) -> bool:
        """Whether one model writes everything."""
        return len(self.models) == 1

    def lossless(self, sampling: Sampling | None = None) -> bool:
        """Whether the answer is the expert's own, at this sampling (None: at any)."""
        if self.rule is None:
            return self.reference
        return self.rule.lossless(sampling) or (sampling is not None and sampling.budget == 0)


def parse_arm(text: str) -> Arm:
    """`NAME` or `NAME:ALPHA`. Raises UsageError with the nearest name, or the range."""
    name = text.strip()
    method, colon, value = name.partition(":")
    typed = value if colon else None
    if baseline := BASELINES.get(method):
        alpha = parse_alpha(method, typed, baseline.dial)
        return Arm(name, method, alpha, None, baseline.models, reference=method == REFERENCE)
    if method not in RULES:
        if near := nearest(method, BASELINES, cutoff=0.8):
            raise UnknownRule(f"there is no rule {method!r}", f"did you mean {near!r}?")
        raise UnknownRule(f"there is no rule {method!r}", did_you_mean(method, RULES, cutoff=0.4).strip())
    kind = RULES[method]
    rule = rule_of(kind, parse_alpha(method, typed, kind.dial))
    return Arm(name, method, None if rule.alpha == -math.inf else rule.alpha, rule)


def distinct(arms: Iterable[Arm]) -> list[Arm]:
    """The arms in order, each method at each alpha once: `token` is `token:0.5`, and keeps the name typed first."""
    found: dict[tuple[str, float | None], Arm] = {}
    for arm in arms:
        found.setdefault((arm.method, arm.alpha), arm)
    return list(found.values())


def parse_alpha(name: str, text: str | None, dial: Dial | None) -> float | None:
    """A number within the dial's range; its default where none was typed, None where there is no dial.
    Raises UsageError."""
    if dial is None:
        if text is not None:
            raise NoDial(f"{'rule ' * (name in RULES)}{name!r} takes no alpha", rule=name)
        return None
    if text is None:
        return dial.default
    hint = f"alpha of {name} is a {'whole ' * dial.whole}number {dial.range}, for example {name}:{dial.default:g}"
    try:
        alpha = float(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a number, in rule {name}:{text}", hint) from None
    if not dial.allows(alpha):
        raise UsageError(f"alpha {text} is out of range for rule {name}", hint)
    return alpha


def every_arm() -> list[Arm]:
    """All rules and baselines at their default alphas, the expert first: it is what the others are measured against."""
    return [parse_arm(name) for name in (REFERENCE, *RULES, *(name for name in BASELINES if name != REFERENCE))]
