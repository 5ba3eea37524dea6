"""The positions of one round, each with q and p, made when a rule asks for them."""

from collections.abc import Sequence

import numpy as np

from .deferral import Position, Rule
from .drafts.draft_source import Draft
from .model import Rows
from .penalty import Penalty
from .sampling import Distribution, Sampling, distribution, point


class ExpertRows:
    """The expert's p1 behind the last committed token and behind each one that follows it, from the rows of one call.
    Repeated tokens are held back in each row by what stands before it, drafted tokens included."""

    def __init__(self, rows: Rows, committed: Sequence[int], drafted: Sequence[int], penalty: Penalty) -> None:
        """Row 0 stands behind all of `committed`, row i behind i tokens of `drafted`."""
        self.rows = rows
        self.penalty = penalty
        if penalty.on:
            kept = penalty.window(committed)
            self.ids = np.concatenate([kept, np.array(drafted, dtype=np.int32)])
            self.kept = len(kept)

    def __call__(self, i: int) -> Distribution:
        p1 = distribution(self.rows[i])
        if not self.penalty.on:
            return p1
        before = self.kept + i
        first = 0 if self.penalty.last_n < 0 else max(0, before - self.penalty.last_n)
        return Distribution(self.penalty.of(p1.logits, self.ids[first:before]))


class Positions:
    """Position i is drafted token i's; the last one is behind the draft. That one may cost the source a step, so q is
    computed there only where the rule reads anything."""

    def __init__(self, rows: Rows, committed: Sequence[int], draft: Draft, rule: Rule, sampling: Sampling) -> None:
        """`rows[i]`: the expert's logits where draft token i was judged; `committed`: prompt and answer before it."""
        self.p1 = ExpertRows(rows, committed, draft.tokens, sampling.penalty)
        self.draft = draft
        self.rule = rule
        self.sampling = sampling
        self.made: dict[int, Position] = {}

    def __call__(self, i: int) -> Position:
        if i not in self.made:
            p1 = self.p1(i)
            q1 = self.draft.q1(i, ask=not self.rule.lossless(self.sampling))
            known = q1 is not None
            if self.draft.proposals is None:
                q1 = self._point_mass(i, p1)
            self.made[i] = Position(q1 or p1, p1, self.sampling, known)
        return self.made[i]

    def _point_mass(self, i: int, p1: Distribution) -> Distribution | None:
        if i == len(self.draft.tokens) or self.sampling.greedy:  # greedy, nothing is drawn, and nothing reads q
            return None
        return point(self.draft.tokens[i], len(p1))
