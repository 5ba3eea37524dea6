"""The loop: draft, let the expert read the draft in one call, judge, trim both caches. A generator of events.

Knows token ids and numbers; not llama.cpp, files or the terminal. Closing it at any event leaves both caches holding
a prefix of the answer, so the next run goes on from there.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from ..errors import ContextFull, Stopped
from .answer import Answer, Lexicon, Request
from .drafts.lookup import Lookup
from .events import Drafted, Event, Finish, Finished, Judged, Piece, Started, Status, Token
from .length.policy import Policy, ends_draft
from .model import Drafter, LanguageModel, Proposal
from .rules import Exact, Position, Rule, all_opinions, opinion
from .sampling import Distribution, Floats, Sampling, draw, point
from .verify import judge

Clock = Callable[[], float]
LEAST_MASS = 0.5  # of the drafter's probability on tokens of the expert; below it a draft ends before the position
EXPERT = Exact()  # what decides in a round without a draft while speculation is off: the expert's own token


class Meter:
    """Wall clock of one arm: time in the two models, and time that consumers held the generator."""

    def __init__(self, clock: Clock, expert: LanguageModel | None, drafter: Drafter | LanguageModel | None) -> None:
        self.clock = clock
        self.models = (drafter, expert)
        self.held = 0.0
        self.start = clock()
        self.before = self.now()
        self.mark()

    def now(self) -> tuple[float, float]:
        drafter, expert = self.models
        return 0.0 if drafter is None else drafter.seconds, 0.0 if expert is None else expert.seconds

    def mark(self) -> None:
        """All that is told of the arm ends here, with a token; a round that is cut short later counts for nothing."""
        self.stop = self.clock()
        self.told = (*self.now(), self.held)

    def show(self, event: Event) -> Iterator[Event]:
        """Hand an event out and note how long the consumer keeps it."""
        at = self.clock()
        yield event
        self.held += self.clock() - at

    def finished(self, arm: str, answer: Answer) -> Finished:
        draft, verify, held = self.told
        seconds, finish = self.stop - self.start, answer.finish or Finish.INTERRUPTED
        draft, verify = draft - self.before[0], verify - self.before[1]
        return Finished(arm, finish, answer.text.flush(), seconds, draft, verify, held)


@dataclass(frozen=True, slots=True)
class Speculation:
    """An arm with a rule: what it is called, what it asks of each draft, and how much is drafted."""

    name: str
    rule: Rule
    rule_name: str
    drafting: Policy


def speculate(
    arm: Speculation,
    expert: LanguageModel,
    drafter: Drafter,
    request: Request,
    lexicon: Lexicon,
    clock: Clock,
) -> Generator[Event]:
    """Speculative decoding under a rule (Alg. 5 of arXiv 2405.19261v2). Before every round the expert's cache holds
    all of the answer but its last token; that token leads the batch that judges the draft."""
    answer = Answer(request, lexicon)
    uniform = np.random.default_rng(request.sampling.seed).random
    trim(expert, drafter, answer)
    yield Started(arm.name, arm.rule_name, arm.rule.alpha, arm.drafting.k, len(request.prompt))
    meter = Meter(clock, expert, drafter)
    lookup = lookup_for(arm, answer)
    number = 0
    try:
        while answer.finish is None:
            number, at, before = number + 1, answer.length, meter.now()
            copied = copy(arm, lookup, answer)
            on = bool(copied) or arm.drafting.begin(answer.room)
            drafted, proposals = copied, None
            if not copied:
                drafted, proposals = draft(arm, drafter, answer.room, request.sampling, uniform) if on else ([], [])
            pending = answer.pieces(drafted)
            if drafted:
                yield from meter.show(Drafted(arm.name, number, pending))
            read = arm.drafting.batch_size(len(drafted) + 1, min(expert.max_rows, request.context - len(expert)))
            padding = [answer.ids[-1]] * (read - len(drafted) - 1)  # rows that nobody looks at
            rows = expert.extend([answer.ids[-1], *drafted, *padding], rows=read)
            rule = arm.rule if on else EXPERT
            position = Positions(rows, drafted, proposals, drafter, rule, request)
            verdict = judge(rule, drafted, position, uniform)
            chosen = [*drafted[: len(verdict.statuses)], verdict.token]
            statuses = [*verdict.statuses, verdict.status if on else Status.EXPERT]
            tokens: list[Token] = []
            for i, (token, status) in enumerate(zip(chosen, statuses, strict=True)):
                text = answer.commit(token)
                down = pending[i] if status is Status.DEFERRED else None
                tokens.append(describe(token, text, status, position.seen(i), answer, down, arm))
                if answer.finish is not None:
                    break
            trim(expert, drafter, answer)
            meter.mark()
            spent = [now - was for now, was in zip(meter.now(), before, strict=True)]
            arm.drafting.learn(len(verdict.statuses), len(tokens), read, *spent)
            unjudged = pending[len(tokens) :]  # behind a deferral, or behind the end of the answer
            yield from meter.show(
                Judged(
                    arm.name,
                    number,
                    at,
                    arm.drafting.k,
                    tuple(tokens),
                    unjudged,
                    len(drafted),
                    1,
                    1e3 * (meter.stop - meter.start),
                    1e3 * spent[0],
                    1e3 * spent[1],
                    "on" if on else "off",
                    "lookup" if copied else "drafter",
                )
            )
    except Stopped:
        answer.finish = Finish.INTERRUPTED
    except ContextFull:
        answer.finish = Finish.CONTEXT
    finally:
        trim(expert, drafter, answer)
    yield meter.finished(arm.name, answer)


def lookup_for(arm: Speculation, answer: Answer) -> Lookup | None:
    """The text so far to look drafts up in, where that is wanted and the rule does not trust q: there is none."""
    statistics = arm.drafting.lookup
    if statistics is None or arm.rule.reads_q:
        return None
    lookup = Lookup(statistics)
    lookup.follow(answer.ids, learn=False)
    return lookup


def copy(arm: Speculation, lookup: Lookup | None, answer: Answer) -> list[int]:
    """A draft that stood in the text before, where that is likely enough to be right again."""
    if lookup is None:
        return []
    lookup.follow(answer.ids)
    return lookup.draft(arm.drafting.lookup_length(lookup.length, answer.room)) if lookup.length else []


def draft(
    arm: Speculation, drafter: Drafter, room: int, sampling: Sampling, uniform: Callable[[], float]
) -> tuple[list[int], list[Proposal]]:
    """At most `room` tokens, each drawn from q, with what the drafter thought of each position, and perhaps of the one
    behind: that one was asked for and not taken."""
    drafted: list[int] = []
    proposals: list[Proposal] = []
    while arm.drafting.more(len(drafted), room):
        if drafted:
            drafter.push(drafted[-1])
        proposal = drafter.next()
        if proposal is None:
            break
        proposals.append(proposal)
        if proposal.mass < LEAST_MASS or not arm.drafting.takes(proposal.q1):
            break
        drafted.append(pick(proposal.q1, sampling, uniform))
        if ends_draft(arm.rule, proposal.q1, sampling):
            break
    return drafted, proposals


def pick(row: Distribution, sampling: Sampling, uniform: Callable[[], float]) -> int:
    """The most likely token, or one drawn from the scaled and filtered distribution."""
    if sampling.greedy:
        return row.argmax
    entry = draw(row.sampled(sampling), uniform())
    ids = None if row.shared is None else row.shared.ids
    return entry if ids is None else int(ids[entry])


class Positions:
    """The positions of one round, made when they are asked for. The one behind the draft costs the drafter a step, and
    only where the rule wants to know q there."""

    def __init__(
        self,
        rows: Floats,
        drafted: Sequence[int],
        proposals: list[Proposal] | None,
        drafter: Drafter,
        rule: Rule,
        request: Request,
    ) -> None:
        """`proposals` None: the draft was looked up."""
        self.rows = rows
        self.drafted = drafted
        self.proposals = proposals
        self.drafter = drafter
        self.rule = rule
        self.request = request
        self.made: dict[int, Position] = {}

    def __call__(self, i: int) -> Position:
        if i not in self.made:
            p1 = Distribution(self.rows[i])
            q1 = self._looked_up(i, p1) if self.proposals is None else self._proposed(i, self.proposals)
            self.made[i] = Position(q1 or p1, p1, self.request.sampling, self.proposals is not None and q1 is not None)
        return self.made[i]

    def _proposed(self, i: int, proposals: list[Proposal]) -> Distribution | None:
        if i == len(proposals) and not self.rule.lossless:
            if self.drafted:
                self.drafter.push(self.drafted[-1])
            beyond = self.drafter.next()
            if beyond is not None:
                proposals.append(beyond)
        return proposals[i].q1 if i < len(proposals) else None

    def _looked_up(self, i: int, p1: Distribution) -> Distribution | None:
        if i == len(self.drafted) or self.request.sampling.greedy:  # greedy, nothing is drawn, and nothing reads q
            return None
        return point(self.drafted[i], len(p1.logits))

    def seen(self, i: int) -> Position:
        """A position that was judged already."""
        return self.made[i]


def describe(
    token: int,
    text: str,
    status: Status,
    at: Position,
    answer: Answer,
    down: Piece | None,
    arm: Speculation | None,
    gap: float | None = None,
) -> Token:
    """A committed token with what the expert's row says of it, and all the rest where detail was asked for."""
    data = answer.lexicon.piece(token)
    log_p = at.p1.log_prob(token)
    if not answer.request.detail:
        return Token(token, data, text, status, log_p, turned_down=down, gap=gap)
    asked = token if down is None else down.id
    if down is not None:
        down = replace(down, q=at.q1.prob(down.id) if at.asked else None, p=at.p1.prob(down.id))
    return Token(
        token,
        data,
        text,
        status,
        log_p,
        q=at.q1.prob(token) if at.asked else None,
        p=at.p1.prob(token),
        expert_top=tuple((i, answer.lexicon.piece(i).decode("utf-8", "replace"), p) for i, p in at.p1.top(3)),
        opinion=None if arm is None else opinion(arm.name, arm.rule, asked, at),
        others=() if arm is None else all_opinions(asked, at),
        turned_down=down,
        gap=gap,
    )


def review(
    arm: Speculation | None, expert: LanguageModel, drafter: Drafter, request: Request, lexicon: Lexicon, judged: Judged
) -> Judged:
    """A round that was judged before, once more with every number. `request.prompt` is the text before it, which both
    caches hold but for its last token; they are trimmed to that again. `arm` None is one model alone."""
    request = replace(request, detail=True)
    answer = Answer(request, lexicon)
    drafted = [token.turned_down.id if token.turned_down else token.id for token in judged.tokens][: judged.drafted]
    drafter.follow(answer.ids)
    proposals = []
    for i in range(len(judged.tokens) if arm is not None and judged.source == "drafter" else 0):
        if i:
            drafter.push(drafted[i - 1])
        proposal = drafter.next()
        if proposal is not None:
            proposals.append(proposal)
    rows = expert.extend([answer.ids[-1], *drafted], rows=len(drafted) + 1)
    tokens = []
    for i, token in enumerate(judged.tokens):
        p1 = Distribution(rows[i])
        asked = i < len(proposals)
        position = Position(proposals[i].q1 if asked else p1, p1, request.sampling, asked)
        tokens.append(describe(token.id, token.text, token.status, position, answer, token.turned_down, arm))
    trim(expert, drafter, answer)
    return replace(judged, tokens=tuple(tokens))


def trim(expert: LanguageModel, drafter: Drafter, answer: Answer) -> None:
    """Leave in both caches what is committed, and nothing of a draft that was not kept. A recurrent drafter reads on
    for that; where it cannot, for a stop or for want of room, its cache is a true prefix still."""
    expert.truncate(min(len(expert), len(answer.ids) - 1))
    with suppress(Stopped, ContextFull):
        drafter.follow(answer.ids)


def prefill(model: LanguageModel, ids: Sequence[int], chunk: int = 512) -> Iterator[int]:
    """Read all of a prompt but its last token, in chunks; yields how many tokens the cache holds. Keeps what the cache
    already holds of it. The caller says what the cache held; see `LoadedPair.prefill`."""
    while len(model) < len(ids) - 1:
        model.extend(ids[len(model) : min(len(model) + chunk, len(ids) - 1)], rows=0)
        yield len(model)
