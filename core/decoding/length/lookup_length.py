"""Lookup length: how many tokens to draft from an earlier place in the text."""

from .acceptance import LookupStatistics
from .constants import CONSTANTS, PolicyConstants
from .relative import RecentSpeed, RelativeCosts


class LookupLength:
    """So many tokens that 1 + a1 + a1 a2 + ... exceeds most what their expert call's time is worth at the recent speed,
    which is the drafter's where that pays; none for a while where such drafts have lost `lookup_loss` expert steps."""

    def __init__(
        self,
        statistics: LookupStatistics,
        costs: RelativeCosts,
        speed: RecentSpeed,
        always: bool = False,
        constants: PolicyConstants = CONSTANTS,
    ) -> None:
        """`always`: the best length, even if it is not expected to pay."""
        self.statistics = statistics
        self.costs = costs
        self.speed = speed
        self.always = always
        self.constants = constants
        self._balance = 0.0  # expert steps that such drafts have won lately

    def length(self, match: int, room: int) -> int:
        if not self.always and (self.costs.latency.doubtful(1) or self._balance < -self.constants.lookup_loss):
            return 0
        gain, chance, speed = 1.0, 1.0, self.speed.value
        worth: dict[int, float] = {}
        for m in range(1, min(room, self.constants.longest_draft) + 1):
            chance *= self.statistics.chance(match + m - 1)
            gain += chance
            worth[m] = gain - speed * self.costs.call(m + 1)
        best = max(worth, key=worth.__getitem__, default=0)
        return best if best and (self.always or worth[best] > 0) else 0

    def learn(self, won: float) -> None:
        """A round is over, in which such a draft won so many expert steps; 0 where there was none."""
        self._balance = min(self.constants.lookup_decay * self._balance + won, self.constants.lookup_loss)
