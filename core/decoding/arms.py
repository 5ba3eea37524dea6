"""An arm is one way to write the answer: a rule, or an ancestor. Knows their names, and which loop runs them."""

from collections.abc import Generator
from dataclasses import dataclass

from ..errors import UsageError
from ..nearest import nearest
from .answer import Lexicon, Request
from .baselines import ANCESTORS, sequential
from .engine import Clock, Speculation, speculate
from .events import Event
from .length.policy import Policy
from .model import Drafter, LanguageModel
from .rules import RULES, Rule, parse_alpha, parse_rule


@dataclass(frozen=True, slots=True)
class Arm:
    """`name` as typed (`token:0.5`); `method` the rule's or ancestor's name; `rule` None for an ancestor."""

    name: str
    method: str
    alpha: float | None
    rule: Rule | None

    @property
    def alone(self) -> bool:
        """Whether one model writes everything."""
        return self.method in ("expert", "drafter")


def parse_arm(text: str) -> Arm:
    """`NAME` or `NAME:ALPHA`. Raises UsageError with the nearest name, or the range."""
    name = text.strip()
    method, colon, value = name.partition(":")
    if method in ANCESTORS:
        default = ANCESTORS[method].default
        if default is None and colon:
            raise UsageError(f"{method!r} takes no alpha", f"write --rule {method}")
        alpha = None if default is None else parse_alpha(method, value if colon else None, default, 0.0, 1.0)
        return Arm(name, method, alpha, None)
    if method not in RULES and (near := nearest(method, ANCESTORS, cutoff=0.8)):
        raise UsageError(f"there is no rule {method!r}", f"did you mean {near!r}? `speccas rules` lists them")
    rule = parse_rule(name)
    return Arm(name, method, rule.alpha, rule)


def every_arm() -> list[Arm]:
    """All rules and ancestors at their default alphas, the expert first: it is what the others are measured against."""
    return [parse_arm(name) for name in ("expert", *RULES, *(name for name in ANCESTORS if name != "expert"))]


def play(
    arm: Arm,
    drafting: Policy,
    expert: LanguageModel,
    drafter: Drafter,
    request: Request,
    lexicon: Lexicon,
    clock: Clock,
) -> Generator[Event]:
    """The events of one arm. Both caches must hold the prompt but its last token; afterwards they hold a prefix of the
    prompt and the answer."""
    speculation = speculation_of(arm, drafting)
    if speculation is None:
        return sequential(arm.name, arm.method, arm.alpha, expert, drafter, request, lexicon, clock)
    return speculate(speculation, expert, drafter, request, lexicon, clock)


def speculation_of(arm: Arm, drafting: Policy) -> Speculation | None:
    """What the engine's loop needs of an arm; None for an ancestor."""
    return None if arm.rule is None else Speculation(arm.name, arm.rule, arm.method, drafting)
