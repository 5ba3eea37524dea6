"""What an expert elsewhere tells of a row: its most likely tokens with their probabilities, that of the drafted token,
and perhaps a token that it drew.

It answers as `Distribution` does. A number that was not sent is asked for where that is possible (`More`), and else
raises NotSent: none is ever made up.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import NotSent
from .sampling import Distribution, Floats, Ids, Probabilities, Sampling, probabilities

Told = tuple[int, float]
"""A token and ln of its probability at temperature 1."""
FEW, MANY = 16, 128
"""Tokens that are drawn in one request: at first, and at most."""


class More(Protocol):
    """Asks for what was not sent of one row."""

    def log_prob(self, token: int) -> float:
        """ln p of a token. Raises ExpertLost, Stopped."""

    def draws(self, count: int) -> Sequence[Told]:
        """So many tokens, each drawn from p by itself, with their ln p. Raises ExpertLost, Stopped."""


class SparseDistribution(Distribution):
    """p at temperature 1, as far as it was sent."""

    def __init__(
        self,
        size: int,
        likeliest: Iterable[Told],
        others: Iterable[Told] = (),
        drawn: Told | None = None,
        more: More | None = None,
    ) -> None:
        """`size`: of the vocabulary. `likeliest`: its most likely tokens, all those that are likelier than the last of
        them. `others`: what else was sent. `drawn`: a token that the server drew from p, for one use."""
        best = sorted(likeliest, key=lambda each: (-each[1], each[0]))  # the first of equals, as `highest` has it
        self.size = size
        self.shared = None
        self.ids: Ids = np.array([token for token, _ in best], dtype=np.int32)
        self.log_probs: NDArray[np.float64] = np.array([log_p for _, log_p in best], dtype=np.float64)
        self.known = {**dict(others), **dict(best)}
        self.more = more
        self._places = {token: place for place, (token, _) in enumerate(best)}
        self._drawn = [] if drawn is None else [drawn]
        self._dense: tuple[Sampling, Probabilities] | None = None

    def __len__(self) -> int:
        return self.size

    @property
    def logits(self) -> Floats:  # type: ignore[override]
        raise NotSent(f"all of the expert's probabilities are wanted, and its server sent {len(self.ids)}")

    @property
    def complete(self) -> bool:
        return False

    @cached_property
    def best(self) -> int:
        return int(self.ids[0])

    @cached_property
    def log_mass(self) -> float:
        return 0.0

    @cached_property
    def max(self) -> float:
        return math.exp(self.log_probs[0])

    @cached_property
    def entropy(self) -> float:
        raise NotSent(f"the entropy is of all probabilities, and the expert's server sent {len(self.ids)}")

    @cached_property
    def gap(self) -> float:
        if len(self.ids) < 2:
            raise NotSent("the gap is between two tokens, and the expert's server sent one")
        return float(self.log_probs[0] - self.log_probs[1])

    @cached_property
    def sent(self) -> Probabilities:
        """The probabilities of `ids`."""
        return np.exp(self.log_probs).astype(np.float32)

    def told(self, token: int) -> float | None:
        return self.known.get(token)

    def log_prob(self, token: int) -> float:
        found = self.known.get(token)
        if found is None:
            if self.more is None:
                raise NotSent(f"the probability of token {token} was not sent, and nobody is there to ask")
            found = self.known[token] = self.more.log_prob(token)
        return found

    def lists(self, token: int) -> bool:
        return token in self._places

    def listed(self) -> NDArray[np.float64]:
        found = np.full(self.size, -np.inf)
        found[self.ids] = np.exp(self.log_probs)
        return found

    def all(self) -> NDArray[np.float64]:
        raise NotSent(f"all of the expert's probabilities are wanted, and its server sent {len(self.ids)}")

    def chance(self, token: int, sampling: Sampling) -> float:
        if sampling.temperature == 1 and not sampling.filters:
            return self.prob(token)
        return float(self.sampled(sampling)[token])

    def sampled(self, sampling: Sampling) -> Probabilities:
        """Dense over the vocabulary: top-k leaves none but tokens that were sent."""
        if self._dense is None or self._dense[0] is not sampling:
            self._dense = sampling, self._filtered(sampling)
        return self._dense[1]

    def _filtered(self, sampling: Sampling) -> Probabilities:
        if not sampling.greedy and not 0 < sampling.top_k <= len(self.ids):
            raise NotSent(
                f"what this sampling draws from is wider than the {len(self.ids)} tokens that the expert's server sent"
            )
        order = np.argsort(self.ids)  # as in a row, where the first of equals counts
        found = np.zeros(self.size, dtype=np.float32)
        found[self.ids[order]] = probabilities(self.log_probs[order].astype(np.float32), sampling)
        return found

    def rank(self, token: int) -> int:
        """Of one that is not among the most likely ones that were sent: so many as those are, or more."""
        if token not in self._places:
            return len(self.ids)
        return int((self.log_probs > self.log_probs[self._places[token]]).sum())

    def ranks(self, most: int) -> NDArray[np.int64]:
        if most > len(self.ids):
            raise NotSent(f"the {most} most likely tokens are wanted, and the expert's server sent {len(self.ids)}")
        found = np.full(self.size, self.size, dtype=np.int64)
        found[self.ids] = np.searchsorted(-self.log_probs, -self.log_probs, side="left")
        return found

    def top(self, count: int) -> list[tuple[int, float]]:
        return [(int(i), math.exp(p)) for i, p in zip(self.ids[:count], self.log_probs[:count], strict=True)]

    def draws(self) -> Iterator[Told]:
        """Tokens drawn from p by the server, each by itself: the one that came with the row, then as many as are
        asked for. Their probabilities are known from then on."""
        count = FEW
        while True:
            while self._drawn:
                token, log_p = self._drawn.pop(0)
                self.known.setdefault(token, log_p)
                yield token, log_p
            if self.more is None:
                raise NotSent("a further token from the expert is wanted, and nobody is there to ask")
            self._drawn.extend(self.more.draws(count))
            count = min(2 * count, MANY)
