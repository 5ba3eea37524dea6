"""How well a drafter can say what its expert says, over the expert's greedy answers to the built-in prompts."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..conversation.template import Message
from ..decoding.sampling import Sampling, spread
from ..errors import CannotPair, UsageError
from ..runtime.beside import beside
from ..runtime.pair import Pair
from ..runtime.prompt import prompt_of, require_room
from .suites import Item

LEAST_MASS = 0.2  # of the drafter's probability on tokens of the expert; below it the pair is refused
AT_1 = Sampling(1.0)


class NoPromptFits(UsageError):
    """The context is too small for every prompt."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Means over `positions` of the expert's answers, each from 0 to 1."""

    prompts: int
    positions: int
    mass: float
    """Of the drafter's probability, what lies on tokens of the expert."""
    agreement: float
    """Share of positions where the drafter's best token that the expert has is the expert's best: what `exact` accepts
    of a greedy draft's first token."""
    acceptance: float
    """Sum of min(p, q) at temperature 1, q renormalised over what is shared: what `exact` accepts of a sampled one."""
    below_half: float
    """Share of positions where less than half of the drafter's probability is shared: no draft goes over them."""

    @property
    def verdict(self) -> str:
        """For people, from what a greedy draft of one token would win."""
        if self.mass < LEAST_MASS:
            return "the drafter hardly ever says what the expert could"
        if self.agreement >= 0.7:
            return "a good drafter for this expert"
        if self.agreement >= 0.4:
            return "a drafter worth trying where it is much cheaper than the expert"
        return "a poor drafter for this expert: most drafts will be turned down"


def require_overlap(found: Overlap, drafter: str, expert: str) -> None:
    """Raises CannotPair where the drafter's probability is nearly all on what the expert cannot say."""
    if found.mass < LEAST_MASS:
        raise CannotPair(
            f"only {found.mass:.0%} of the probability of {drafter} is on tokens of {expert}, on the built-in prompts",
            f"at least {LEAST_MASS:.0%} is needed: use a drafter of the expert's own family",
        )


def spread_over(items: Sequence[Item], most: int) -> list[Item]:
    """At most `most` items, the first of each group, then the second of each, and so on."""
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.group, []).append(item)
    turns = itertools.zip_longest(*groups.values())
    return [item for turn in turns for item in turn if item is not None][:most]


def measure(
    pair: Pair, items: Sequence[Item], tokens: int, tell: Callable[[int, int], None] = lambda done, of: None
) -> Overlap:
    """Ask both models at each of the first `tokens` tokens of the expert's greedy answer to each prompt; `tell` hears
    after each prompt. Prompts that do not fit the context are left out. Raises NoPromptFits, Stopped."""
    prompts, rows = 0, []
    for i, item in enumerate(items):
        try:
            prompt = require_room(pair, prompt_of(pair, [Message("user", item.prompt)]))
        except UsageError:
            continue
        prompts += 1
        for proposal, p in beside(pair, prompt, tokens):
            q = proposal.q1
            least = np.minimum(p.sampled(AT_1), spread(q.sampled(AT_1), q.shared))
            rows.append((proposal.mass, q.argmax == p.argmax, float(least.sum()), proposal.mass < 0.5))
        tell(i + 1, len(items))
    if not rows:
        raise NoPromptFits("no built-in prompt fits the context")
    mass, agreement, acceptance, below = (float(each) for each in np.mean(np.array(rows, dtype=np.float64), axis=0))
    return Overlap(prompts, len(rows), mass, agreement, acceptance, below)
