"""What the expert thinks of a text that it did not write: mean ln p at temperature 1.

For arms whose tokens the expert never judged. Outside any timing; knows a language model and ids only.
"""

from collections.abc import Sequence

from ..decoding.model import LanguageModel
from ..decoding.sampling import distribution


def mean_log_prob(expert: LanguageModel, prompt: Sequence[int], answer: Sequence[int]) -> float | None:
    """Nats a token; None for an empty answer. The cache must hold a prefix of prompt and answer; it may hold more than
    the prompt, which is taken back first."""
    if not answer:
        return None
    expert.truncate(min(len(expert), len(prompt) - 1))
    ids = [*prompt, *answer]
    total = 0.0
    while len(expert) < len(ids) - 1:
        at = len(expert)
        chunk = ids[at : min(at + expert.max_rows, len(ids) - 1)]
        rows = expert.extend(chunk, rows=len(chunk))
        for i, row in enumerate(rows):
            if at + i + 1 >= len(prompt):
                total += distribution(row).log_prob(ids[at + i + 1])
    return total / len(answer)
