"""What is told of a token: always its ln p, q and p where they are asked for, and with detail every opinion."""

from dataclasses import replace

from .answer import Answer, Lexicon, Request
from .arms import Arm
from .deferral import Position
from .drafts.draft_source import settle
from .drafts.stepwise import Drafter
from .events import Judged, Piece, Status, Token
from .model import LanguageModel
from .positions import ExpertRows
from .rules import all_opinions, opinion


def describe(
    token: int,
    text: str,
    status: Status,
    at: Position,
    answer: Answer,
    arm: Arm,
    turned_down: Piece | None = None,
    gap: float | None = None,
) -> Token:
    """A committed token with what the expert's row says of it, and all the rest where the request asks for detail."""
    data = answer.piece(token)
    log_p = at.p1.told(token)
    request = answer.request
    if not (request.numbers or request.detail):
        return Token(token, data, text, status, log_p, turned_down=turned_down, gap=gap)
    judged = token if turned_down is None else turned_down.id
    if turned_down is not None:
        q = at.said.prob(turned_down.id) if at.asked else None
        turned_down = replace(turned_down, q=q, p=at.p1.prob(turned_down.id))
    q, p = at.said.prob(token) if at.asked else None, at.p1.prob(token)
    told = Token(token, data, text, status, log_p, turned_down=turned_down, gap=gap, q=q, p=p)
    if not request.detail:
        return told
    return replace(
        told,
        expert_top=tuple(
            (i, answer.lexicon.piece(i).decode("utf-8", "replace"), p) for i, p in at.p1.top(request.best)
        ),
        opinion=None if arm.rule is None else opinion(arm.name, arm.rule, judged, at),
        others=() if arm.rule is None else all_opinions(judged, at),
    )


def review(
    arm: Arm, expert: LanguageModel, drafter: Drafter, request: Request, lexicon: Lexicon, judged: Judged
) -> Judged:
    """A round that was judged before, evaluated once more with every number. `request.prompt` is the text before it,
    which both caches hold but for its last token; they are trimmed to that again."""
    answer = Answer(replace(request, detail=True), lexicon)
    drafted = [token.turned_down.id if token.turned_down else token.id for token in judged.tokens][: judged.drafted]
    drafter.observe(answer.ids)
    proposals = []
    for i in range(len(judged.tokens) if arm.rule is not None and judged.source == drafter.name else 0):
        if i:
            drafter.push(drafted[i - 1])
        proposal = drafter.next(request.sampling)
        if proposal is not None:
            proposals.append(proposal)
    rows = expert.extend([answer.ids[-1], *drafted], rows=len(drafted) + 1)
    behind = ExpertRows(rows, answer.ids, drafted, request.sampling.penalty)
    tokens = []
    for i, token in enumerate(judged.tokens):
        p1 = behind(i)
        asked = i < len(proposals)
        position = Position(proposals[i].q1 if asked else p1, p1, request.sampling, asked)
        told = describe(token.id, token.text, token.status, position, answer, arm, token.turned_down)
        tokens.append(replace(told, bytes=token.bytes, charged=token.charged))
    settle(expert, [drafter], answer.ids)
    return replace(judged, tokens=tuple(tokens))
