"""Costs and speed in expert steps (one step: an expert call of batch size 1), kept for the rounds they hold for."""

from .constants import CONSTANTS, PolicyConstants
from .latency import LatencyModel


class RelativeCosts:
    """Costs of the latency model in expert steps. Those of calls are worked out when they are first asked for and kept
    while the curve keeps its shape: the policy asks hundreds of times a round."""

    def __init__(self, latency: LatencyModel, constants: PolicyConstants = CONSTANTS) -> None:
        self.latency = latency
        self.constants = constants
        self.version = 0
        """Changes whenever the kept costs are dropped; what was decided by them holds as long."""
        self._calls: list[float] = []
        self._singles = 0  # rounds of batch size 1 in a row

    def call(self, n: int) -> float:
        """Of the cheapest expert call that reads n tokens."""
        if not self._calls:
            single = self.latency.verify(1)
            seconds = self.latency.cheapest_seconds(self.constants.longest_draft + 1)
            self._calls = [each / single for each in seconds]
        return self._calls[n]

    @property
    def step(self) -> float:
        """Of the drafter."""
        return self.latency.step / self.latency.verify(1)

    def learn(self, batch: int) -> None:
        """The latency model has learned from a round with this batch size."""
        self._singles = self._singles + 1 if batch == 1 else 0
        if not 1 < self._singles <= self.constants.stable_rounds:  # a size like the one before moves all sizes alike
            self._calls = []
            self.version += 1
            self._singles = min(self._singles, 1)


class RecentSpeed:
    """Tokens an expert step of the last rounds: what further drafting has to beat."""

    def __init__(self, latency: LatencyModel, constants: PolicyConstants = CONSTANTS) -> None:
        self.latency = latency
        self.constants = constants
        self._tokens = self._seconds = 0.0

    @property
    def value(self) -> float:
        """Never less than 1, the speed of the expert alone."""
        return max(1.0, self._tokens * self.latency.verify(1) / self._seconds) if self._seconds else 1.0

    def learn(self, tokens: int, draft_seconds: float, verify_seconds: float) -> None:
        self._tokens = self.constants.speed_decay * self._tokens + tokens
        self._seconds = self.constants.speed_decay * self._seconds + draft_seconds + verify_seconds
