"""The loop of speculative decoding: draft, let the expert read the draft in one call, judge, settle the caches.

A generator of events. Closing it at any event leaves every cache holding a prefix of the answer, so the next run goes
on from there.
"""

from collections.abc import Generator, Sequence
from dataclasses import replace

from ..errors import ContextFull, ExpertLost, Stopped
from .answer import Answer, Lexicon, Request
from .arms import Arm
from .budget import Purse, charged
from .detail import describe
from .drafts.draft_source import Draft, DraftSource, Drawing, ExpertRead, settle
from .events import Drafted, Event, Finish, Judged, Piece, Started, Status, Token
from .length.policy import Policy
from .meter import Clock, Meter
from .model import LanguageModel, Rows
from .positions import Positions
from .rules import Exact
from .verify import Outcome, verifier_of

EXPERT = Exact()  # decides in a round that no source drafts in: the expert's own token


def speculate(
    arm: Arm,
    expert: LanguageModel,
    sources: Sequence[DraftSource],
    policy: Policy,
    request: Request,
    lexicon: Lexicon,
    clock: Clock,
) -> Generator[Event]:
    """Speculative decoding under the arm's rule (Alg. 5 of arXiv 2405.19261v2). Before every round the expert's cache
    holds all of the answer but its last token; that token leads the batch that judges the draft."""
    assert arm.rule is not None
    sources = [source for source in sources if source.gives_q or not arm.rule.reads_q]
    answer = Answer(request, lexicon)
    verifier = verifier_of(request.sampling)
    settle(expert, sources, answer.ids)
    purse = Purse(request.sampling.budget)
    yield Started(arm.name, arm.method, arm.alpha, policy.k, len(request.prompt), budget=purse.budget)
    meter = Meter(clock, expert, sources)
    number, lost = 0, None
    try:
        while answer.finish is None:
            number, at, before = number + 1, answer.length, meter.now()
            drawing = Drawing(arm.rule, request.sampling, verifier, at)
            source, draft = first_draft(sources, policy, min(answer.room, expert.max_rows - 1), drawing)
            rule = EXPERT if source is None or purse.empty else arm.rule
            pending = answer.pieces(draft.tokens)
            if pending:
                yield from meter.show(Drafted(arm.name, number, pending))
            rows = read(expert, answer, draft, policy)
            positions = Positions(rows, answer.ids, draft, rule, request.sampling)
            outcome = purse.judge(rule, draft.tokens, positions, verifier, at)
            tokens = commit(answer, outcome, positions, pending, arm, drafting=source is not None)
            purse.pay(tokens)
            settle(expert, sources, answer.ids, ExpertRead(len(request.prompt) + at - 1, rows, expert.states))
            meter.mark()
            draft_seconds, verify_seconds = (now - was for now, was in zip(meter.now(), before, strict=True))
            policy.learn(outcome.accepted, len(tokens), len(rows), draft_seconds, verify_seconds)
            judged = Judged(
                arm=arm.name,
                round=number,
                at=at,
                k=policy.k,
                tokens=tokens,
                discarded=pending[len(tokens) :],  # behind a deferral, or behind the end of the answer
                drafted=len(draft.tokens),
                expert_calls=1,
                t_ms=meter.elapsed_ms,
                draft_ms=1e3 * draft_seconds,
                verify_ms=1e3 * verify_seconds,
                mode="off" if source is None else "on",
                source="drafter" if source is None else source.name,
            )
            yield from meter.show(judged)
    except Stopped:
        answer.finish = Finish.INTERRUPTED
    except ContextFull:
        answer.finish = Finish.CONTEXT
    except ExpertLost as error:  # what was written stands, and is told before the error is
        answer.finish, lost = Finish.INTERRUPTED, error
    finally:
        policy.end()
        settle(expert, sources, answer.ids)
    yield meter.finished(arm.name, answer)
    if lost is not None:
        raise lost


def first_draft(
    sources: Sequence[DraftSource], policy: Policy, room: int, drawing: Drawing
) -> tuple[DraftSource | None, Draft]:
    """What the first source that drafts in this round proposes; no source and an empty draft where none does."""
    for source in sources:
        draft = source.propose(room, policy, drawing)
        if draft is not None:
            return source, draft
    return None, Draft([], [])


def read(expert: LanguageModel, answer: Answer, draft: Draft, policy: Policy) -> Rows:
    """The expert's rows behind the last committed token and each drafted one, perhaps with padding rows that nobody
    looks at: a padded call may be cheaper."""
    ids = [answer.ids[-1], *draft.tokens]
    size = policy.batch_size(len(ids), min(expert.max_rows, answer.request.context - len(expert)))
    return expert.extend([*ids, *[answer.ids[-1]] * (size - len(ids))], rows=size)


def commit(
    answer: Answer, outcome: Outcome, positions: Positions, pending: Sequence[Piece], arm: Arm, drafting: bool
) -> tuple[Token, ...]:
    """Commit the accepted tokens and the one behind them, up to the end of the answer."""
    chosen = [*positions.draft.tokens[: outcome.accepted], outcome.token]
    statuses = [*outcome.statuses, outcome.status if drafting else Status.EXPERT]
    tokens: list[Token] = []
    levels = positions.draft.levels
    for i, (token, status) in enumerate(zip(chosen, statuses, strict=True)):
        text = answer.commit(token)
        down = pending[i] if status is Status.DEFERRED else None
        told = describe(token, text, status, positions(i), answer, arm, down)
        tokens.append(replace(told, level=levels[i]) if i < min(outcome.accepted, len(levels)) else told)
        if answer.finish is not None:
            break
    return charged(tokens, outcome)
