"""Both models beside each other along the expert's own greedy answer."""

from collections.abc import Iterator

from ..decoding.drafts.draft_source import ExpertRead, Proposal
from ..decoding.sampling import Distribution, distribution
from .generate import drain, read_prompt
from .pair import Pair
from .prompt import Prompt


def beside(pair: Pair, prompt: Prompt, tokens: int) -> Iterator[tuple[Proposal, Distribution]]:
    """What the drafter proposes and what the expert says, p at temperature 1, at each of the first `tokens` tokens of
    the expert's greedy answer; fewer where it ends before, or the drafter has no room. Each is valid until the next one
    is asked for. Raises Stopped."""
    drain(read_prompt(pair, prompt))
    token = prompt.ids[-1]
    for _ in range(min(tokens, pair.context - len(prompt.ids))):
        rows = pair.expert.extend([token])
        p = distribution(rows[0])
        proposal = pair.drafts.next()
        if proposal is None:
            return
        yield proposal, p
        token = p.argmax
        pair.cached.append(token)
        if pair.lexicon.ends(token):
            return
        pair.drafts.observe(pair.cached, ExpertRead(len(pair.cached) - 2, rows, pair.expert.states))
