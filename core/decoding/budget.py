"""A budget of regret for an answer: how far, in all, a rule may go from what the exact test alone would have written.

Charged is every committed token that the exact test would not have written on the same chance, drafted or not, with
ln max p - ln p(v) at temperature 1, in nats: 0.69 for one that is half as likely as the expert's first choice. One that
the rest cannot pay is written by the exact test instead, and where nothing is left every one is: a budget of 0 is
`exact`. After ASD, arXiv 2608.03447.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..errors import BudgetRefused
from .arms import Arm
from .deferral import Position, Rule
from .events import Status, Token
from .rules import Exact
from .sampling import Distribution, Sampling
from .verify import OneByOne, Outcome, Verdict, Verifier, judge

EXACT = Exact()


def regret(p1: Distribution, token: int) -> float:
    """What a token costs, in nats: how much less likely it is than the expert's first choice."""
    return max(0.0, p1.log_prob(p1.argmax) - p1.log_prob(token))


def require_budget(arm: Arm, sampling: Sampling) -> None:
    """Raises BudgetRefused where this arm cannot keep to a budget by itself."""
    if sampling.budget is not None and arm.rule is None and not arm.reference:
        raise BudgetRefused(f"a budget holds for a rule, and {arm.name} has none")


class Purse:
    """The budget of one answer. None: no limit, and nothing is charged."""

    def __init__(self, budget: float | None) -> None:
        self.budget = budget
        self.spent = 0.0
        """Nats that committed tokens cost, added up in their order: never above the budget."""

    @property
    def empty(self) -> bool:
        """Whether only the exact test decides from here on."""
        return self.budget is not None and self.spent >= self.budget

    def pay(self, tokens: Sequence[Token]) -> None:
        """These tokens were committed."""
        for token in tokens:
            self.spent += token.charged or 0.0

    def judge(
        self, rule: Rule, drafted: Sequence[int], at: Callable[[int], Position], verifier: Verifier, first: int
    ) -> Outcome:
        """`verify.judge` within what is left."""
        if self.budget is None:
            return judge(rule, drafted, at, verifier, first)
        if self.empty:
            exact = judge(EXACT, drafted, at, verifier, first)
            return replace(exact, charges=(0.0,) * (exact.accepted + 1))
        assert isinstance(verifier, OneByOne)
        statuses: list[Status] = []
        charges: list[float] = []
        spent = self.spent
        for i, v in enumerate(drafted):
            by_rule, by_exact = (
                each.verdict(which, v, at(i), first + i)
                for each, which in zip(verifier.twice(), (rule, EXACT), strict=True)
            )
            charge = self.charge(spent, written(by_rule, v), written(by_exact, v), at(i).p1)
            verdict = by_exact if charge is None else by_rule
            spent += charge or 0.0
            charges.append(charge or 0.0)
            if not verdict.accepted:
                return Outcome(tuple(statuses), verdict.instead, Status.DEFERRED, tuple(charges))
            statuses.append(Status.AGREED if verdict.agreed else Status.KEPT)
        n = len(drafted)
        extra, exactly = (
            each.extra(which, at(n), first + n) for each, which in zip(verifier.twice(), (rule, EXACT), strict=True)
        )
        charge = self.charge(spent, extra, exactly, at(n).p1)
        token = exactly if charge is None else extra
        return Outcome(tuple(statuses), token, Status.BONUS, (*charges, charge or 0.0))

    def charge(self, spent: float, token: int, exactly: int, p1: Distribution) -> float | None:
        """What `token` costs where the exact test would have written `exactly`; None where the rest cannot pay it."""
        assert self.budget is not None
        if token == exactly:
            return 0.0
        cost = regret(p1, token)
        return cost if spent < self.budget and spent + cost <= self.budget else None


def written(verdict: Verdict, v: int) -> int:
    """The token that stands after a verdict on v."""
    return v if verdict.accepted else verdict.instead


def charged(tokens: Sequence[Token], outcome: Outcome) -> tuple[Token, ...]:
    """Committed tokens with what each was charged."""
    pairs = zip(tokens, outcome.charges, strict=False)  # the answer may have ended before the last one
    return tuple(replace(token, charged=charge) for token, charge in pairs) if outcome.charges else tuple(tokens)
