"""The draft-length policy: what the engine asks while it drafts, and the fixed draft length."""

from typing import Protocol

from ..deferral import Position, Rule, keeps
from ..sampling import Distribution, Sampling


def ends_draft(rule: Rule, q1: Distribution, sampling: Sampling) -> bool:
    """Whether the draft ends with the position whose distribution is `q1`: a rule that reads q alone knows already that
    it defers there, so what stands behind would be judged on a token that the expert may well replace."""
    known = rule.reads_q and not rule.reads_p
    return known and not keeps(rule, q1.argmax, Position(q1, q1, sampling))


class Policy(Protocol):
    """How much to draft. A policy sees the distribution at a position and never the token that was drawn from it: a
    choice that depends on the token would bias `exact`.

    A round is `lookup_length`, where the text offers a draft; `begin`, unless that was taken; `more` and `takes` for
    each position; `batch_size`; `learn`.
    """

    k: int | str
    """Draft length as it is reported: a number, or "auto"."""

    def lookup_length(self, match: int, room: int) -> int:
        """How many tokens to draft from an earlier place in the text whose last `match` tokens are the text's own, with
        room for `room` tokens; 0 for none."""

    def begin(self, room: int) -> bool:
        """Whether to ask the drafter in this round at all, with room for `room` tokens."""

    def more(self, drafted: int, room: int) -> bool:
        """Whether to ask the drafter for a further position."""

    def takes(self, q1: Distribution) -> bool:
        """Whether a position whose distribution is now known is drafted after all."""

    def batch_size(self, needed: int, most: int) -> int:
        """How many tokens the expert call reads, `needed` to `most`: padding may make it cheaper."""

    def learn(self, accepted: int, tokens: int, batch: int, draft_seconds: float, verify_seconds: float) -> None:
        """A round is over: tokens accepted of its draft, tokens it gave, the call's batch size, and its times."""

    def end(self) -> None:
        """The answer is over."""


class FixedPolicy:
    """Always k tokens, as far as there is room."""

    def __init__(self, k: int) -> None:
        self.k: int | str = k
        self.length = k

    def lookup_length(self, match: int, room: int) -> int:
        return min(self.length, room)

    def begin(self, room: int) -> bool:
        return True

    def more(self, drafted: int, room: int) -> bool:
        return drafted < min(self.length, room)

    def takes(self, q1: Distribution) -> bool:
        return True

    def batch_size(self, needed: int, most: int) -> int:
        return needed

    def learn(self, accepted: int, tokens: int, batch: int, draft_seconds: float, verify_seconds: float) -> None:
        pass

    def end(self) -> None:
        pass
