"""A cascade of three: the drafter is itself a pair. A first drafter writes ahead for it, a rule of its own decides.

Its drafts follow the inner rule's pi, of the first drafter's q and the drafter's p: that is q for the expert, so any
rule may judge them, and `exact` at both levels is lossless. What the inner pair discards is never seen outside.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..deferral import Position, Rule
from ..length.policy import FixedPolicy, Policy
from ..positions import Positions
from ..rules import Exact
from ..sampling import GREEDY, Distribution, Floats, Probabilities, Sampling
from ..snapshot import Snapshot
from ..verify import BlockVerifier, GreedyVerifier, TokenVerifier, Verifier, judge
from .draft_source import Draft, Drawing, ExpertRead, Proposal
from .second_model import SecondModel
from .stepwise import Ahead, gather, write

FIRST, SECOND = 1, 2
"""Levels: the first drafter wrote a token and the inner rule accepted it; the drafter wrote it."""


EXACT = Exact()


@dataclass(frozen=True, slots=True)
class Inner:
    """How the inner pair decides, and the most tokens that its first drafter writes ahead."""

    rule: Rule = EXACT
    k: int = 4
    name: str = "exact"
    """The rule as it was typed."""


class Blend(Distribution):
    """The pi of a rule, dense: of both models at temperature 1 for decisions, and of both as they are scaled and
    filtered where tokens are drawn."""

    def __init__(self, rule: Rule, at: Position) -> None:
        self.rule, self.at = rule, at
        with np.errstate(divide="ignore"):
            super().__init__(np.log(self.pi(Sampling(1.0, confidence=at.sampling.confidence))))

    def pi(self, sampling: Sampling) -> Probabilities:
        at = Position(self.at.said, self.at.p1, sampling, self.at.asked)
        return self.rule.pi(at).astype(np.float32)

    def sampled(self, sampling: Sampling) -> Probabilities:
        if not sampling.greedy and (self._sampled is None or self._sampled[0] is not sampling):
            self._sampled = sampling, self.pi(sampling)
        return super().sampled(sampling)


class Chain:
    """A draft source over two models: `first` writes ahead for `middle`."""

    name = "drafter"
    gives_q = True

    def __init__(self, first: SecondModel, middle: SecondModel, inner: Inner) -> None:
        self.first = first
        self.middle = middle
        self.inner = inner
        self._ids: list[int] = []

    @property
    def seconds(self) -> float:
        return self.first.seconds + self.middle.seconds

    @property
    def steps(self) -> int:
        """Calls of both models."""
        return self.first.steps + self.middle.steps

    @property
    def unread(self) -> int:
        return self.middle.unread

    @property
    def mean_mass(self) -> float | None:
        return self.middle.mean_mass

    def reach(self, ids: Sequence[int]) -> int:
        return len(ids)

    def note(self, first: int, states: Floats | None) -> None:
        """Needs nothing."""

    def observe(self, committed: Sequence[int], read: ExpertRead | None = None) -> None:
        self._ids = list(committed)
        for model in (self.first, self.middle):
            model.observe(committed)

    def catch_up(self, chunk: int = 512) -> Iterator[tuple[int, int]]:
        yield from self.middle.catch_up(chunk)
        yield from self.first.catch_up(chunk)

    def text(self) -> Snapshot:
        """Of the drafter alone: the first one reads again what it lost."""
        return self.middle.text()

    def resume(self, text: Snapshot) -> None:
        self.middle.resume(text)

    def push(self, token: int) -> None:
        self._ids.append(token)
        for model in (self.first, self.middle):
            model.push(token)

    def next(self, sampling: Sampling = GREEDY) -> Proposal | None:
        said = self.first.next(sampling)
        read = self.middle.through(())
        if not read:
            return None
        draft = Draft([], [] if said is None else [said])
        at = Positions([dense(read[0].q1)], self._ids, draft, self.inner.rule, sampling)(0)
        token = GreedyVerifier().extra(self.inner.rule, at, 0) if sampling.greedy else None
        return Proposal(standing(self.inner.rule, at, token, False), read[0].mass)

    def propose(self, room: int, policy: Policy, drawing: Drawing) -> Draft | None:
        if not policy.begin(room):
            return None
        text = list(self._ids)
        most = room if isinstance(policy.k, str) else min(room, policy.k)
        inner = self.write(text, most, drawing)
        levels: list[int] = []

        def ahead(_: Sequence[int]) -> Ahead | None:
            found = next(inner, None)
            if found is None:
                return None
            proposal, token, level = found
            levels.append(level)
            return proposal, lambda: token

        tokens, proposals = gather(room, policy, drawing, ahead)
        del levels[len(tokens) :]

        def behind() -> Proposal | None:
            """Costs a step of each."""
            self.observe([*text, *tokens])
            return self.next(drawing.sampling)

        return Draft(tokens, proposals, behind, levels)

    def write(self, text: Sequence[int], most: int, drawing: Drawing) -> Iterator[tuple[Proposal, int, int]]:
        """At most `most` tokens behind a text, each with what it was drawn from and its level, in rounds of the inner
        pair."""
        rule, written = self.inner.rule, list[int]()
        verifier = one_by_one(drawing.verifier)
        while len(written) < most:
            ids, first = [*text, *written], drawing.first + len(written)
            self.observe(ids)
            ahead = FixedPolicy(min(self.inner.k, most - len(written) - 1))
            draft = write(self.first, most, ahead, Drawing(rule, drawing.sampling, verifier, first))
            assert draft is not None
            read = self.middle.through(draft.tokens)
            if not read:
                return
            del draft.tokens[len(read) - 1 :]  # where it has no rows for more
            rows = [dense(each.q1) for each in read]
            at = Positions(rows, ids, draft, rule, drawing.sampling)
            outcome = judge(rule, draft.tokens, at, verifier, first)
            for i, token in enumerate([*draft.tokens[: outcome.accepted], outcome.token]):
                drafted = i < outcome.accepted
                written.append(token)
                yield (
                    Proposal(standing(rule, at(i), token, drafted), read[i].mass),
                    token,
                    FIRST if drafted else SECOND,
                )


def standing(rule: Rule, at: Position, token: int | None, drafted: bool) -> Distribution:
    """What a token of the inner pair was drawn from, a function of the text before it. At temperature 0 the row of the
    model that wrote it. `drafted`: the first drafter did."""
    if not at.sampling.greedy:
        return at.p1 if rule.lossless(at.sampling) else Blend(rule, at)
    if drafted:
        return at.said
    if token == at.p1.argmax:
        return at.p1
    return at.said if at.asked and token == at.said.argmax else Blend(rule, at)


def one_by_one(verifier: Verifier) -> Verifier:
    """The verifier of the inner pair: the answer's own, but token by token, so that how a round of it ends is a
    function of the text and not of the whole draft."""
    return TokenVerifier(verifier.sampling, verifier.uniform) if isinstance(verifier, BlockVerifier) else verifier


def dense(q1: Distribution) -> Distribution:
    """Over all of the expert's tokens, those that the drafter lacks impossible and the others as likely as among
    each other: p of an inner pair."""
    shared = q1.shared
    if shared is None:
        return q1
    logits = np.full(shared.size, -np.inf, dtype=np.float32)
    logits[slice(len(q1)) if shared.ids is None else shared.ids] = q1.logits
    return Distribution(logits)
