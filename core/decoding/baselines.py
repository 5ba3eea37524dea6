"""What speculative cascades are measured against: each model alone, and the two sequential cascades they come from.

The same events as the engine's loop, one token a round. Alg. 2 of arXiv 2405.19261v2 (TokenCascade) and eq. 1 (the
whole answer by the drafter, or all over by the expert).
"""

import math
from collections.abc import Generator, Iterator

from ..errors import ContextFull, ExpertLost, Stopped
from .answer import Answer, Lexicon, Request
from .arms import Arm
from .deferral import Position
from .detail import describe
from .drafts.draft_source import settle
from .drafts.stepwise import Drafter
from .events import Event, Finish, Judged, Started, Status, Token
from .meter import Clock, Meter
from .model import LanguageModel
from .positions import ExpertRows
from .sampling import Distribution, calibrated
from .verify import verifier_of

LONGEST_RUN = 10  # drafter tokens before the expert is asked all the same (arXiv 2405.19261v2, E.1)


def sequential(
    arm: Arm,
    expert: LanguageModel,
    drafter: Drafter,
    request: Request,
    lexicon: Lexicon,
    clock: Clock,
) -> Generator[Event]:
    """Run one baseline. Both caches must hold the prompt but its last token."""
    writers = Writers(arm, expert, drafter, request, lexicon)
    steps = {
        "expert": writers.expert_alone,
        "drafter": writers.drafter_alone,
        "token-cascade": writers.token_cascade,
        "answer-cascade": writers.answer_cascade,
    }[arm.method]
    settle(expert, [drafter], writers.answer.ids)
    rule = None if arm.alpha is None else arm.method
    yield Started(arm.name, rule, arm.alpha, None, len(request.prompt))
    meter = Meter(clock, expert, [drafter])
    number, before, lost = 0, meter.now(), None
    try:
        for tokens, calls in steps():
            number += 1
            meter.mark()
            draft_ms, verify_ms = (1e3 * (now - was) for now, was in zip(meter.now(), before, strict=True))
            judged = Judged(
                arm=arm.name,
                round=number,
                at=writers.answer.length - len(tokens),
                k=None,
                tokens=tokens,
                discarded=(),
                drafted=0,
                expert_calls=calls,
                t_ms=meter.elapsed_ms,
                draft_ms=draft_ms,
                verify_ms=verify_ms,
                mode="off",
            )
            yield from meter.show(judged)
            before = meter.now()
    except Stopped:
        writers.answer.finish = Finish.INTERRUPTED
    except ContextFull:
        writers.answer.finish = Finish.CONTEXT
    except ExpertLost as error:  # what was written stands, and is told before the error is
        writers.answer.finish, lost = Finish.INTERRUPTED, error
    finally:
        settle(expert, [drafter], writers.answer.ids)
    yield meter.finished(arm.name, writers.answer)
    if lost is not None:
        raise lost


Step = tuple[tuple[Token, ...], int]
"""Tokens committed, and how often the expert was called for them."""


class Writers:
    """The two models taking turns at one answer."""

    def __init__(
        self,
        arm: Arm,
        expert: LanguageModel,
        drafter: Drafter,
        request: Request,
        lexicon: Lexicon,
    ) -> None:
        self.arm = arm
        self.alpha = arm.alpha or 0.0
        self.expert = expert
        self.drafter = drafter
        self.request = request
        self.lexicon = lexicon
        self.answer = Answer(request, lexicon)
        self.verifier = verifier_of(request.sampling)

    def expert_alone(self) -> Iterator[Step]:
        while self.answer.finish is None:
            yield (self.by_expert(),), 1

    def drafter_alone(self) -> Iterator[Step]:
        while self.answer.finish is None:
            yield (self.by_drafter(self.propose()),), 0

    def token_cascade(self) -> Iterator[Step]:
        run = 0
        while self.answer.finish is None:
            q1 = self.propose()
            if run < LONGEST_RUN and self.read(q1).max >= 1 - self.alpha:
                run += 1
                yield (self.by_drafter(q1),), 0
            else:
                run = 0
                yield (self.by_expert(),), 1

    def answer_cascade(self) -> Iterator[Step]:
        tokens: list[Token] = []
        surprise = 0.0
        try:
            while self.answer.finish is None:
                q1 = self.propose()
                tokens.append(self.by_drafter(q1))
                surprise -= self.read(q1).log_prob(tokens[-1].id)
        except ContextFull:  # an answer that does not fit the drafter is none
            tokens.clear()
        except Stopped:
            self.answer = Answer(self.request, self.lexicon)
            raise
        if tokens and math.exp(-surprise / len(tokens)) >= 1 - self.alpha:
            yield tuple(tokens), 0
            return
        self.answer = Answer(self.request, self.lexicon)
        yield from self.expert_alone()

    def propose(self) -> Distribution:
        self.drafter.observe(self.answer.ids)
        proposal = self.drafter.next(self.request.sampling)
        if proposal is None:
            raise ContextFull("the drafter's context is full")
        return proposal.q1

    def read(self, q1: Distribution) -> Distribution:
        """q as a threshold reads it."""
        return calibrated(q1, self.request.sampling.confidence)

    def by_expert(self) -> Token:
        rows = self.expert.extend(self.answer.ids[len(self.expert) :], rows=1)
        p1 = ExpertRows(rows, self.answer.ids, (), self.request.sampling.penalty)(0)
        token = self.verifier.draw(p1, self.answer.length)
        gap = self.verifier.gap(p1, token, self.answer.length)
        text = self.answer.commit(token)
        at = Position(p1, p1, self.request.sampling, asked=False)
        return describe(token, text, Status.EXPERT, at, self.answer, self.arm, gap=gap)

    def by_drafter(self, q1: Distribution) -> Token:
        token = self.verifier.draw(q1, self.answer.length)
        text = self.answer.commit(token)
        q = q1.prob(token) if self.request.numbers or self.request.detail else None
        return Token(token, self.answer.piece(token), text, Status.DRAFTER, q=q)
