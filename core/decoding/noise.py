"""Coupled sampling: one noise for each position of an answer and each token, shared by all who draw there.

The Gumbel trick, as a race of exponentials: from weights w the token is argmin E(v) / w(v), which is argmax
ln w(v) + g(v) with g = -ln E. Whoever draws it, each draw follows its own w; and drafter and expert, who share E, draw
the same token the more often the nearer their distributions are (arXiv 2408.07978).
"""

import functools
import hashlib
import math

import numpy as np
from numpy.typing import NDArray

from .sampling import Distribution, Probabilities, Sampling, edges

Numbers = NDArray[np.uint32]
RARE = 2.0**-12
"""Tokens whose E is below this are looked for among all; one that is not can win only with a weight that large, so that
few logarithms are taken."""
ALIKE = 0.5
"""Two scores that differ by less than this, in logits, may change places when a model reads in other batches."""
FEW = 4096
BLOCK = 8192  # tokens that are hashed together, in the processor's first cache
KEPT = 40  # positions whose rare tokens are remembered


@functools.lru_cache(maxsize=64)
def keyed(seed: int, turn: int, again: int, position: int) -> tuple[np.uint32, np.uint32]:
    """An odd factor and an offset, for the hash of one position."""
    digest = hashlib.blake2b(f"{seed} {turn} {again} {position}".encode(), digest_size=8).digest()
    factor, offset = np.frombuffer(digest, dtype="<u4")
    return np.uint32(factor | 1), np.uint32(offset)


def hashed(ids: Numbers, key: tuple[np.uint32, np.uint32]) -> Numbers:
    """A number of 32 bits for each token (n,), the same whatever other tokens there are. The mixing steps are those of
    Chris Wellons' lowbias32."""
    factor, offset = key
    h = ids * factor
    h += offset
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x7FEB352D)
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x846CA68B)
    h ^= h >> np.uint32(16)
    return h


def exponentials(numbers: Numbers) -> NDArray[np.float64]:
    """E = -ln U of each number, U = (number + 1/2) / 2^32."""
    return np.asarray(-np.log((numbers + 0.5) * 2.0**-32))


class Noise:
    """The noise of one answer: a function of seed, turn, regeneration, position in the answer, and token."""

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        self._rare: dict[int, tuple[int, Numbers]] = {}

    def first(self, weights: Probabilities, position: int) -> int:
        """The token drawn from weights over the expert's vocabulary, which need not sum to 1."""
        if self.sampling.filters and np.count_nonzero(weights) <= FEW:
            ids = np.flatnonzero(weights).astype(np.uint32)
        else:
            top = weights.argmax()
            bound = float(self._noise(np.array([top]), position)[0]) / float(weights[top])  # who wins is not behind it
            rare = self._rare_at(position, len(weights))
            likely = np.flatnonzero(weights >= RARE / bound * (1 - 1e-6))
            ids = np.union1d(likely, rare[weights[rare] > 0])
        return int(ids[(self._noise(ids, position) / weights[ids]).argmin()])

    def gap(self, p1: Distribution, chosen: int, position: int) -> float:
        """How far `chosen`, the token drawn from the expert's distribution, was from being another one, in logits: no
        change of them by less than half of this draws another one, but for what top-p makes of the others. ALIKE where
        it is more."""
        sampling, t, logits = self.sampling, self.sampling.temperature, p1.logits
        weights = p1.sampled(sampling)
        own = float(logits[chosen]) - t * math.log(self._noise(np.array([chosen]), position)[0])
        likely = np.flatnonzero(logits >= own - ALIKE + t * math.log(RARE))
        ids = np.union1d(likely, self._rare_at(position, len(logits)))
        ids = ids[ids != chosen]
        behind = own - (logits[ids] - t * np.log(self._noise(ids, position)))
        if not sampling.filters:
            return float(min([ALIKE, *behind]))
        cut = edges(p1, sampling)
        to_keep = [0.0 if weights[each] > 0 else cut.below(p1.log_prob(int(each))) for each in ids]
        return float(min([ALIKE, cut.above(p1.log_prob(chosen)), *np.maximum(behind, to_keep)]))

    def _noise(self, ids: Numbers | NDArray[np.int64], position: int) -> NDArray[np.float64]:
        return exponentials(hashed(ids.astype(np.uint32), self._key(position)))

    def _key(self, position: int) -> tuple[np.uint32, np.uint32]:
        s = self.sampling
        return keyed(s.seed, s.turn, s.again, position)

    def _rare_at(self, position: int, size: int) -> Numbers:
        """Tokens of the vocabulary whose E is below RARE: one pass over it, and then remembered."""
        known = self._rare.get(position)
        if known is None or known[0] < size:
            least, key = np.uint32(math.ceil(math.exp(-RARE) * 2**32 - 1.0)), self._key(position)
            blocks = []
            for start in range(0, size, BLOCK):
                ids = np.arange(start, min(start + BLOCK, size), dtype=np.uint32)
                blocks.append(ids[hashed(ids, key) >= least])
            known = size, np.concatenate(blocks)
            self._rare[position] = known
            self._rare.pop(position - KEPT, None)
        return known[1] if known[0] == size else known[1][known[1] < size]
