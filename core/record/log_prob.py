"""What the expert thinks of a text that it did not write: mean ln p at temperature 1.

For arms whose tokens the expert never judged. Outside any timing; knows a language model and ids only.
"""

from collections.abc import Sequence

from ..decoding.model import LanguageModel
from ..decoding.penalty import NO_PENALTY, Penalty
from ..decoding.positions import ExpertRows


def mean_log_prob(
    expert: LanguageModel, prompt: Sequence[int], answer: Sequence[int], penalty: Penalty = NO_PENALTY
) -> float | None:
    """Nats a token; None for an empty answer. With a penalty it is of what that leaves, as for every token that the
    expert judged itself. The cache must hold a prefix of prompt and answer; it may hold more than
    the prompt, which is taken back first."""
    if not answer:
        return None
    expert.truncate(min(len(expert), len(prompt) - 1))
    ids = [*prompt, *answer]
    total = 0.0
    while len(expert) < len(ids) - 1:
        at = len(expert)
        chunk = ids[at : min(at + expert.max_rows, len(ids) - 1)]
        rows = ExpertRows(expert.extend(chunk, rows=len(chunk)), ids[: at + 1], chunk[1:], penalty)
        for i in range(len(chunk)):
            if at + i + 1 >= len(prompt):
                total += rows(i).log_prob(ids[at + i + 1])
    return total / len(answer)
