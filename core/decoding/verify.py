"""One round: drafted tokens, the distributions at their positions, a rule and an rng give statuses and a next token.

Pure: knows no model, no cache and no text. Alg. 4 of arXiv 2405.19261v2 (GenSpecSample), with each accepted token told
apart by whether the exact test would have accepted it too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .events import Status
from .rules import Position, Rule, keeps
from .sampling import draw, residual

Uniform = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Outcome:
    """`statuses` of the accepted tokens, then one more token and its status; what follows a deferral is discarded."""

    statuses: tuple[Status, ...]
    token: int
    status: Status

    @property
    def accepted(self) -> int:
        """Drafted tokens that were accepted."""
        return len(self.statuses)


def judge(rule: Rule, drafted: Sequence[int], at: Callable[[int], Position], uniform: Uniform) -> Outcome:
    """Judge a draft left to right. `at(i)` gives position i, the one behind the draft included; it is asked in order
    and no further than needed, since the last position may cost the drafter a step."""
    statuses: list[Status] = []
    for i, v in enumerate(drafted):
        here = at(i)
        agreed, accepted = test(rule, v, here, uniform)
        if not accepted:
            return Outcome(tuple(statuses), replacement(rule, here, uniform), Status.DEFERRED)
        statuses.append(Status.AGREED if agreed else Status.KEPT)
    return Outcome(tuple(statuses), extra(rule, at(len(drafted)), uniform), Status.BONUS)


def test(rule: Rule, v: int, at: Position, uniform: Uniform) -> tuple[bool, bool]:
    """Whether the exact test accepts v, and whether the rule does, on the same random draw."""
    if at.sampling.greedy:
        agreed = v == at.p1.argmax
        return agreed, agreed or keeps(rule, v, at)
    threshold = uniform() * float(at.q[v])
    agreed = threshold < float(at.p[v])
    if keeps(rule, v, at):  # then pi(v) >= q(v), under every rule
        return agreed, True
    return agreed, threshold < float(rule.pi(at)[v])


def replacement(rule: Rule, at: Position, uniform: Uniform) -> int:
    """The token put in place of one that was turned down: from norm(max(0, pi - q))."""
    if at.sampling.greedy:
        return at.p1.argmax
    return draw(residual(rule.pi(at), at.q, at.p), uniform())


def extra(rule: Rule, at: Position, uniform: Uniform) -> int:
    """The token behind an accepted draft, from the rule's own pi: from p the output would not follow the rule. From p
    it comes only where the drafter was not asked: `exact` needs no q there, or it has no room, or it did not draft."""
    if not at.sampling.greedy:
        return draw(rule.pi(at) if at.asked else at.p, uniform())
    expert = at.p1.argmax
    if rule.lossless:
        return expert
    return at.q1.argmax if keeps(rule, at.q1.argmax, at) else expert
