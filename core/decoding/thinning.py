"""Draws from what an expert elsewhere leaves over, of whom only the most likely tokens are known.

Wanted is a token from max(0, share * p - less), which needs not sum to 1. Of the tokens that were sent all of that is
known. For the others the server draws x from p, and x is kept with probability max(0, 1 - less(x) / (share * p(x))):
rejection sampling, whose proposal is the wanted weight on what was sent and share * p elsewhere. Where x is not kept
all begins anew, the choice between the two sides included, so each token comes exactly as often as it is wanted.
"""

from collections.abc import Callable

import numpy as np

from .sampling import Probabilities, draw
from .sparse import SparseDistribution

ROUNDING = 1e-6
"""Probability that counts as nothing: a sum of log-probs that were sent is no surer."""


def from_rest(
    p1: SparseDistribution, uniform: Callable[[], float], less: Probabilities | None = None, share: float = 1.0
) -> int:
    """A token from max(0, share * p - less); `less` (vocabulary,) None: from p itself. From p where nothing is left
    (rounding). `uniform`: numbers in [0, 1). Raises ExpertLost, Stopped."""
    known = p1.sent
    inside = known if less is None else np.maximum(np.float32(share) * known - less[p1.ids], 0.0)
    unknown = max(0.0, 1.0 - float(known.sum(dtype=np.float64)))
    outside = 0.0 if unknown < ROUNDING else share * unknown
    within = float(inside.sum(dtype=np.float64))
    if within + outside <= 0:
        return from_rest(p1, uniform) if less is not None else p1.best
    draws = p1.draws()
    while True:
        if uniform() * (within + outside) < within:
            return int(p1.ids[draw(inside, uniform())])
        token, log_p = next(each for each in draws if not p1.lists(each[0]))
        if less is None or uniform() * share * float(np.exp(log_p)) >= float(less[token]):
            return token
