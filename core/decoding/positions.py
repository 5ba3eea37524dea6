"""The positions of one round, each with q and p, made when a rule asks for them."""

from .answer import Request
from .drafts.draft_source import Draft
from .model import Rows
from .rules import Position, Rule
from .sampling import Distribution, distribution, point


class Positions:
    """Position i is drafted token i's; the last one is behind the draft. That one may cost the source a step, so q is
    computed there only where the rule reads anything."""

    def __init__(self, rows: Rows, draft: Draft, rule: Rule, request: Request) -> None:
        """`rows[i]`: the expert's logits where draft token i was judged."""
        self.rows = rows
        self.draft = draft
        self.rule = rule
        self.request = request
        self.made: dict[int, Position] = {}

    def __call__(self, i: int) -> Position:
        if i not in self.made:
            p1 = distribution(self.rows[i])
            q1 = self.draft.q1(i, ask=not self.rule.lossless)
            known = q1 is not None
            if self.draft.proposals is None:
                q1 = self._point_mass(i, p1)
            self.made[i] = Position(q1 or p1, p1, self.request.sampling, known)
        return self.made[i]

    def _point_mass(self, i: int, p1: Distribution) -> Distribution | None:
        if i == len(self.draft.tokens) or self.request.sampling.greedy:  # greedy, nothing is drawn, and nothing reads q
            return None
        return point(self.draft.tokens[i], len(p1))
