"""One round: drafted tokens, the distributions at their positions and a rule give statuses and a next token.

Pure: knows no model, no cache and no text. How chance decides is a verifier: the same noise for drafter and expert
(coupled), the optimal test of each token on its own (token), or that of the whole draft (block). To add one: a class
here, and a line in VERIFIERS.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..errors import BlockRefused, BudgetRefused
from .block import reach
from .deferral import Position, PositionRule, Rule, Shares, keeps
from .events import Status
from .noise import Noise
from .sampling import Distribution, Sampling, draw, residual, spread
from .sparse import SparseDistribution
from .thinning import from_rest


@dataclass(frozen=True, slots=True)
class Outcome:
    """`statuses` of the accepted tokens, then one more token and its status; what follows a deferral is discarded."""

    statuses: tuple[Status, ...]
    token: int
    status: Status
    charges: tuple[float, ...] = ()
    """Nats of a budget, of the accepted tokens and the one more; empty where there is no budget."""

    @property
    def accepted(self) -> int:
        """Drafted tokens that were accepted."""
        return len(self.statuses)


@dataclass(frozen=True, slots=True)
class Verdict:
    """On a drafted token: whether it stands, whether exact speculative decoding would have accepted it on the same
    chance, and the token in its place where it does not stand."""

    accepted: bool
    agreed: bool
    instead: int = -1


class Verifier(Protocol):
    """Draws the tokens of one answer. `position` is a token's index in the answer."""

    def draw(self, of: Distribution, position: int) -> int:
        """A token from a model's scaled and filtered distribution: of a draft, or of one model alone."""

    def verdicts(
        self, rule: Rule, drafted: Sequence[int], at: Callable[[int], Position], first: int
    ) -> Iterable[Verdict]:
        """On drafted tokens in order, each drawn from q at its position or a point mass, up to the first that does not
        stand; the first one's position is `first`."""

    def extra(self, rule: Rule, at: Position, position: int) -> int:
        """The token behind an accepted draft, from the rule's own pi: from p the output would not follow the rule. From
        p it comes only where the drafter was not asked: `exact` needs no q there, or it has no room, or it did not
        draft."""

    def gap(self, p1: Distribution, token: int, position: int) -> float | None:
        """How near a token drawn from the expert was to being another, in logits; None where that tells nothing."""


def judge(rule: Rule, drafted: Sequence[int], at: Callable[[int], Position], verifier: Verifier, first: int) -> Outcome:
    """Judge a draft left to right, its first token at position `first` of the answer. `at(i)` gives position i, the one
    behind the draft included; it is asked in order and no further than needed, since the last position may cost the
    drafter a step."""
    statuses: list[Status] = []
    for verdict in verifier.verdicts(rule, drafted, at, first):
        if not verdict.accepted:
            return Outcome(tuple(statuses), verdict.instead, Status.DEFERRED)
        statuses.append(Status.AGREED if verdict.agreed else Status.KEPT)
    n = len(drafted)
    return Outcome(tuple(statuses), verifier.extra(rule, at(n), first + n), Status.BONUS)


class OneByOne(ABC):
    """A verifier that judges each token on its own."""

    @abstractmethod
    def verdict(self, rule: Rule, v: int, at: Position, position: int) -> Verdict:
        """On v, which was drawn from q at this position, or is a point mass."""

    @abstractmethod
    def extra(self, rule: Rule, at: Position, position: int) -> int:
        """As of a Verifier."""

    def twice(self) -> "tuple[OneByOne, OneByOne]":
        """Two of this verifier, whose next verdict or extra token is decided by the same chance."""
        return self, self

    def verdicts(
        self, rule: Rule, drafted: Sequence[int], at: Callable[[int], Position], first: int
    ) -> Iterator[Verdict]:
        return (self.verdict(rule, v, at(i), first + i) for i, v in enumerate(drafted))


class GreedyVerifier(OneByOne):
    """Temperature 0: every draw is the most likely token."""

    def draw(self, of: Distribution, position: int) -> int:
        return of.argmax

    def verdict(self, rule: Rule, v: int, at: Position, position: int) -> Verdict:
        agreed = v == at.p1.argmax
        if agreed or keeps(rule, v, at):
            return Verdict(True, agreed)
        return Verdict(False, agreed, rule.first(at))

    def extra(self, rule: Rule, at: Position, position: int) -> int:
        return at.q1.argmax if keeps(rule, at.q1.argmax, at) else rule.first(at)

    def gap(self, p1: Distribution, token: int, position: int) -> float | None:
        return p1.gap


class CoupledVerifier(OneByOne):
    """The drafter proposes the first token of q's race, the verdict is the first of pi's with the same noise. So
    `exact` writes what the expert alone writes with this seed, however much is drafted and by whom."""

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        self.noise = Noise(sampling)

    def draw(self, of: Distribution, position: int) -> int:
        return self.noise.first(spread(of.sampled(self.sampling), of.shared), position)

    def verdict(self, rule: Rule, v: int, at: Position, position: int) -> Verdict:
        own = self.noise.first(at.p, position)
        chosen = own
        if not rule.lossless(at.sampling):
            # pi is q: v is the first of its race already
            kept = isinstance(rule, PositionRule) and keeps(rule, v, at)
            chosen = v if kept else self.noise.first(rule.pi(at), position)
        return Verdict(chosen == v, own == v, chosen)

    def extra(self, rule: Rule, at: Position, position: int) -> int:
        return self.noise.first(rule.pi(at) if at.asked else at.p, position)

    def gap(self, p1: Distribution, token: int, position: int) -> float | None:
        return self.noise.gap(p1, token, position)


class TokenVerifier(OneByOne):
    """The optimal test, token by token: Alg. 4 of arXiv 2405.19261v2 (GenSpecSample). No test of single tokens accepts
    more; its draws depend on how much was drafted before."""

    def __init__(self, sampling: Sampling, uniform: Callable[[], float] | None = None) -> None:
        """`uniform`: numbers in [0, 1); else those of the seed."""
        self.sampling = sampling
        self.uniform = uniform or np.random.default_rng((sampling.seed, sampling.turn, sampling.again)).random

    def twice(self) -> tuple[OneByOne, OneByOne]:
        numbers = [self.uniform(), self.uniform()]
        return TokenVerifier(self.sampling, iter(numbers).__next__), TokenVerifier(
            self.sampling, iter(numbers).__next__
        )

    def draw(self, of: Distribution, position: int) -> int:
        entry = draw(of.sampled(self.sampling), self.uniform())
        ids = None if of.shared is None else of.shared.ids
        return entry if ids is None else int(ids[entry])

    def verdict(self, rule: Rule, v: int, at: Position, position: int) -> Verdict:
        threshold = self.uniform() * float(at.q[v])
        agreed = threshold < float(at.p[v])
        if keeps(rule, v, at):  # then pi(v) >= q(v), under every rule
            return Verdict(True, agreed)
        if threshold < float(rule.pi(at)[v]):
            return Verdict(True, agreed)
        return Verdict(False, agreed, draw(residual(rule.pi(at), at.q, at.p), self.uniform()))

    def extra(self, rule: Rule, at: Position, position: int) -> int:
        return draw(rule.pi(at) if at.asked else at.p, self.uniform())

    def gap(self, p1: Distribution, token: int, position: int) -> float | None:
        return None


class ThinningVerifier(TokenVerifier):
    """The same test against an expert of whom p is known of its most likely tokens and of the drafted one: what stands
    for a token that is turned down, or behind a draft, is drawn by `thinning.py`. At temperature 1 without filters,
    where p as sampled is p as sent."""

    def draw(self, of: Distribution, position: int) -> int:
        return from_rest(of, self.uniform) if isinstance(of, SparseDistribution) else super().draw(of, position)

    def verdict(self, rule: Rule, v: int, at: Position, position: int) -> Verdict:
        q, p = float(at.q[v]), at.chance(v)
        threshold = self.uniform() * q
        agreed = threshold < p
        if keeps(rule, v, at):
            return Verdict(True, agreed)
        blend = self.blend(rule, at)
        passes = rule.passes(v, at) if blend is None else float(blend.part[v]) + blend.share * p
        if threshold < passes:
            return Verdict(True, agreed)
        less, share = (at.q, 1.0) if blend is None else (at.q - blend.part, blend.share)
        return Verdict(False, agreed, from_rest(sent(at), self.uniform, less, share))

    def extra(self, rule: Rule, at: Position, position: int) -> int:
        if not at.asked:
            return from_rest(sent(at), self.uniform)
        blend = self.blend(rule, at)
        if blend is None:  # what the rule's own test makes of a token of q follows pi
            token = draw(at.q, self.uniform())
            verdict = self.verdict(rule, token, at, position)
            return token if verdict.accepted else verdict.instead
        if self.uniform() < float(blend.part.sum()):
            return draw(blend.part, self.uniform())
        return from_rest(sent(at), self.uniform)

    def blend(self, rule: Rule, at: Position) -> Shares | None:
        """Of the rule; of one that is lossless here, p alone."""
        return Shares(np.zeros_like(at.q), 1.0) if rule.lossless(self.sampling) else rule.blend(at)


def sent(at: Position) -> SparseDistribution:
    """p as it was sent."""
    assert isinstance(at.p1, SparseDistribution), "thinning is for an expert elsewhere"
    return at.p1


class BlockVerifier(TokenVerifier):
    """The optimal test of a whole draft (`block.py`), against pi. On average it accepts no fewer tokens than the test
    of each, and as many of a draft of one. Raises BlockRefused where it cannot judge."""

    def verdicts(
        self, rule: Rule, drafted: Sequence[int], at: Callable[[int], Position], first: int
    ) -> Iterator[Verdict]:
        if not drafted:
            return
        require_block(rule, at(0).p1)
        n, chance = len(drafted), [self.uniform() for _ in drafted]
        p = [at(i).p for i in range(n)]
        exact = reach(p.__getitem__, drafted, at, chance)
        pi, stands = p, exact
        if not rule.lossless(self.sampling):
            pi = [rule.pi(at(i)) for i in range(n)]
            stands = reach(pi.__getitem__, drafted, at, chance)
        yield from (Verdict(True, i < exact.accepted) for i in range(stands.accepted))
        if stands.accepted < n:
            i = stands.accepted
            rest = residual(np.asarray(stands.share * pi[i]), at(i).q, at(i).p)
            yield Verdict(False, i < exact.accepted, draw(rest, self.uniform()))


def require_block(rule: Rule, p1: Distribution | None = None) -> None:
    """Raises BlockRefused where block verification cannot judge under this rule, or by this row of the expert."""
    if not rule.pi_of_prefix:
        raise BlockRefused("block verification needs a rule whose pi depends on the text before a token alone")
    if p1 is not None and not p1.complete:
        raise BlockRefused("block verification needs all of the expert's probabilities, and this expert sends some")


def require_test(rule: Rule | None, sampling: Sampling) -> None:
    """Raises BlockRefused where the test that this sampling names cannot judge under the rule (at temperature 0 none is
    needed), and BudgetRefused where it cannot keep to a budget."""
    if sampling.budget is not None and sampling.test == "block":
        raise BudgetRefused("a budget is kept token by token, and block verification judges whole drafts")
    if rule is not None and sampling.test == "block" and not sampling.greedy:
        require_block(rule)


VERIFIERS: dict[str, Callable[[Sampling], Verifier]] = {
    "coupled": CoupledVerifier,
    "token": TokenVerifier,
    "block": BlockVerifier,
}
"""By the name that `--test` takes, the default first."""


def verifier_of(sampling: Sampling) -> Verifier:
    """The verifier of one answer."""
    if sampling.thinned:
        return ThinningVerifier(sampling)
    return GreedyVerifier() if sampling.greedy else VERIFIERS[sampling.test](sampling)
