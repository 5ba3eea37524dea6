"""The seam between the engine and whatever drafts: a second model, the text itself, a head on the expert's states.

The engine asks the sources of an arm in turn; the first that proposes something is judged. Token ids are the expert's.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from ...errors import ContextFull, Stopped
from ..deferral import Rule
from ..length.policy import Policy, ends_draft
from ..model import LanguageModel, Rows
from ..sampling import Distribution, Floats, Sampling
from ..verify import Verifier

LEAST_MASS = 0.5  # of the drafter's probability on tokens of the expert; below it a draft ends before the position


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a source thinks comes next, over the expert's ids."""

    q1: Distribution
    """At temperature 1 and not renormalised: mass on tokens the expert lacks counts as doubt."""
    mass: float = 1.0
    """Share of the source's probability that lies on tokens of the expert."""


class Draft:
    """Drafted tokens (expert ids) with q at each position and, asked for lazily, at the one behind the last."""

    def __init__(
        self,
        tokens: Sequence[int],
        proposals: list[Proposal] | None = None,
        behind: Callable[[], Proposal | None] = lambda: None,
        levels: Sequence[int] = (),
    ) -> None:
        """`proposals` None: the source has no q, and each token stands for a point mass. They may be one more than the
        tokens: a position that was looked at and not taken. `behind` computes q behind the last token. `levels`: of
        a chain, which of its models wrote each."""
        self.tokens = list(tokens)
        self.proposals = proposals
        self.levels = levels
        self._behind = behind

    def q1(self, i: int, ask: bool) -> Distribution | None:
        """q at position `i`, up to the one behind the draft; None where the source has none. `ask`: compute the one
        behind if it is not known yet."""
        if self.proposals is None:
            return None
        if i == len(self.proposals) and ask:
            proposal = self._behind()
            if proposal is not None:
                self.proposals.append(proposal)
        return self.proposals[i].q1 if i < len(self.proposals) else None


@dataclass(frozen=True, slots=True)
class Drawing:
    """How a source draws the tokens of one draft from its q: greedily or sampled, under the arm's rule."""

    rule: Rule
    sampling: Sampling
    verifier: Verifier
    first: int
    """Index in the answer of the draft's first token."""

    def token(self, q1: Distribution, i: int) -> int:
        """Token i of the draft, from the scaled and filtered q; an expert id."""
        return self.verifier.draw(q1, self.first + i)

    def last(self, q1: Distribution) -> bool:
        """Whether the draft ends with this position."""
        return ends_draft(self.rule, q1, self.sampling)


@dataclass(frozen=True, slots=True)
class ExpertRead:
    """What the expert computed in the call that judged the last draft. Valid until its next `extend`."""

    first: int
    """Index in the committed ids of the token that row 0 stands behind."""
    rows: Rows
    states: Floats | None = None
    """Hidden states (rows, width), where the model was loaded to give them."""


class DraftSource(Protocol):
    """Proposes tokens, and hears what was committed."""

    @property
    def name(self) -> str:
        """As events and traces name it."""

    @property
    def gives_q(self) -> bool:
        """Whether its drafts have a distribution. Rules that read q judge no others."""

    @property
    def seconds(self) -> float:
        """Time spent computing drafts so far."""

    @property
    def steps(self) -> int:
        """Calls of a model that computed drafts so far; 0 where drafts cost nothing."""

    def propose(self, room: int, policy: Policy, drawing: Drawing) -> Draft | None:
        """At most `room` tokens that may follow what was observed; None where the source drafts nothing this round.
        Whether a token is drafted may depend on q at its position, never on the token that was drawn there."""

    def observe(self, committed: Sequence[int], read: ExpertRead | None = None) -> None:
        """`committed` (prompt and answer) is what stands now. A source with a cache trims it; it never rebuilds it."""


def settle(
    expert: LanguageModel, sources: Sequence[DraftSource], committed: Sequence[int], read: ExpertRead | None = None
) -> None:
    """Leave in every cache what is committed, and nothing of a draft that was not accepted."""
    expert.truncate(min(len(expert), len(committed) - 1))
    for source in sources:
        with suppress(Stopped, ContextFull):
            source.observe(committed, read)
