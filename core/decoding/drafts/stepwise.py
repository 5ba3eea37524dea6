"""Drafts that are written token by token from q: what a second model and a head have in common."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from ..length.policy import Policy
from ..penalty import Penalty
from ..sampling import GREEDY, Distribution, Floats, Sampling, Shared
from ..snapshot import Snapshot
from .draft_source import LEAST_MASS, Draft, DraftSource, Drawing, Proposal


class Drafter(DraftSource, Protocol):
    """The source that a pair is made of: it reads the text along with the expert, and writes on from it."""

    @property
    def unread(self) -> int:
        """How much of the text it has not read yet, in tokens of its own."""

    @property
    def mean_mass(self) -> float | None:
        """Of its probability, what lay on tokens of the expert so far; None where that is not known or all of it."""

    def reach(self, ids: Sequence[int]) -> int:
        """How many of the first `ids` the expert's cache may keep for it to go on: of those behind, it must hear again
        what the expert computed."""

    def note(self, first: int, states: Floats | None) -> None:
        """What the expert computed of the observed text from token `first` on, as `LanguageModel.states`."""

    def catch_up(self, chunk: int) -> Iterator[tuple[int, int]]:
        """Read what is pending of the text, but for what will be read when q is asked for; yields (read, of how
        many). Raises Stopped."""

    def text(self) -> Snapshot:
        """What it knows of the text besides what its model's cache holds; of a draft nothing is left."""

    def resume(self, text: Snapshot) -> None:
        """Know that again, over a cache that holds what it held then."""

    def push(self, token: int) -> None:
        """Go on as if `token` (an expert id) came next."""

    def next(self, sampling: Sampling = GREEDY) -> Proposal | None:
        """q of the token after what was observed and pushed, held back as `sampling` has it; None where it has no
        room, or cannot tell."""


def proposal(row: Floats, shared: Shared | None, penalty: Penalty, ids: Sequence[int]) -> Proposal:
    """What a drafter's row (n,) says, tokens that stand in `ids` held back. The row is copied."""
    if penalty.on:
        last = penalty.window(ids)
        row = penalty.of(row, last if shared is None else shared.places(last))
    elif shared is None:
        row = row.copy()
    if shared is None:
        return Proposal(Distribution(row))
    mine = Distribution(shared.of(row), shared)
    if shared.whole:
        return Proposal(mine)
    log_mass = Distribution(row).log_mass
    mass = math.exp(mine.log_mass - log_mass)
    return Proposal(Distribution(mine.logits, shared, log_mass), mass)


def write(drafter: Drafter, room: int, policy: Policy, drawing: Drawing) -> Draft | None:
    """A draft of tokens drawn one by one from q, as long as the policy wants a further one; None where it wants none
    in this round."""
    if not policy.begin(room):
        return None

    def behind(drafted: Sequence[int]) -> Proposal | None:
        """Costs a step."""
        if drafted:
            drafter.push(drafted[-1])
        return drafter.next(drawing.sampling)

    def ahead(drafted: Sequence[int]) -> Ahead | None:
        found = behind(drafted)
        return None if found is None else (found, lambda: drawing.token(found.q1, len(drafted)))

    drafted, proposals = gather(room, policy, drawing, ahead)
    return Draft(drafted, proposals, lambda: behind(drafted))


Ahead = tuple[Proposal, Callable[[], int]]
"""What a token is to be drawn from, and how: it is drawn only where it is taken."""


def gather(
    room: int, policy: Policy, drawing: Drawing, ahead: Callable[[Sequence[int]], Ahead | None]
) -> tuple[list[int], list[Proposal]]:
    """Tokens as long as the policy wants a further one, and what they were drawn from, with the one that was left.
    `ahead` goes on behind the tokens so far; None where it cannot."""
    drafted: list[int] = []
    proposals: list[Proposal] = []
    while policy.more(len(drafted), room) and (found := ahead(drafted)) is not None:
        proposal, token = found
        proposals.append(proposal)
        if proposal.mass < LEAST_MASS or not policy.takes(proposal.q1):
            break
        drafted.append(token())
        if drawing.last(proposal.q1):
            break
    return drafted, proposals
