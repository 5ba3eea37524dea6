"""Draft length: how many tokens to draft with the drafter, decided position by position."""

from ..sampling import Distribution
from .acceptance import START, AcceptanceModel
from .constants import CONSTANTS, PolicyConstants
from .relative import RecentSpeed, RelativeCosts


class DraftLength:
    """Draft on while some number of further tokens is expected to give more than the time they take gives otherwise.

    With S the chance that all j drafted tokens are accepted, a1.. those of the next ones, d a drafter step and C the
    cost of an expert call, both in expert steps, and L the recent speed in tokens a step: on, if for some m
    S (a1 + a1 a2 + ... + a1..am) > L (m d + C(j+m+1) - C(j+1)). Costs are not monotone, so looking one token ahead is
    too short.
    """

    def __init__(
        self,
        acceptance: AcceptanceModel,
        costs: RelativeCosts,
        speed: RecentSpeed,
        constants: PolicyConstants = CONSTANTS,
    ) -> None:
        self.acceptance = acceptance
        self.costs = costs
        self.speed = speed
        self.constants = constants
        self.buckets: list[int] = []
        """Of max q at each position drafted in this round."""
        self.forced = 1
        """Tokens that are drafted in this round whether or not they pay."""
        self._all_accepted = 1.0  # chance, of the draft so far
        self._room = 0
        self._opening = (-1, False)  # version of the costs, and whether a draft paid at the beginning of a round

    def restart(self) -> None:
        """A round begins: nothing is drafted."""
        self.buckets, self._all_accepted = [], 1.0

    def pays_at_start(self, room: int) -> bool:
        """Whether some draft length pays in a round that has just begun; with full room, decided once for as long as
        the costs are kept."""
        if room < self.constants.longest_draft:
            return self.pays(room)
        if self._opening[0] != self.costs.version:
            self._opening = self.costs.version, self.pays(self.constants.longest_draft)
        return self._opening[1]

    def more(self, drafted: int, room: int) -> bool:
        self._room = min(room, self.constants.longest_draft)
        if drafted >= self._room:
            return False
        return drafted < self.forced or self.pays(self._room)

    def takes(self, q1: Distribution) -> bool:
        bucket = self.acceptance.bucket(q1.max)
        if len(self.buckets) >= self.forced and not self.pays(self._room, bucket):
            return False  # the drafter's step is spent; reading the token would cost more than it is likely to give
        self.buckets.append(bucket)
        self._all_accepted *= self.acceptance.chance(bucket)
        return True

    def pays(self, room: int, known: int | None = None) -> bool:
        """Whether some number of further tokens pays. `known`: the bucket of the first of them, where the drafter's
        step is spent already."""
        j = len(self.buckets)
        here, speed, step = self.costs.call(j + 1), self.speed.value, self.costs.step
        chance, gain, steps = self._all_accepted, 0.0, 0.0
        bucket, beyond = self.buckets[-1] if self.buckets else START, self.acceptance.next_chance(START)
        for m in range(1, room - j + 1):
            if m == 1 and known is not None:
                chance *= self.acceptance.chance(known)
                bucket = known
            else:
                chance *= beyond if bucket == START else self.acceptance.next_chance(bucket)
                bucket = START
                steps += step
            gain += chance
            if gain > speed * (steps + self.costs.call(j + m + 1) - here):
                return True
        return False
