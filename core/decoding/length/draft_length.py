"""Draft length: how many tokens to draft with the drafter, decided position by position."""

from collections.abc import Iterator

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
        self.asked = 0
        """Steps of the drafter in this round."""
        self.refused: int | None = None
        """The bucket of the position that was not taken."""
        self.optimism = 0.0
        """Deviations that this round hopes of the text's level."""
        self._all_accepted = 1.0  # chance, of the draft so far
        self._room = 0
        self._opening: dict[float, tuple[tuple[int, float], float]] = {}  # by optimism: what it holds for, a shortfall

    def restart(self) -> None:
        """A round begins: nothing is drafted."""
        self.buckets, self.asked, self.refused, self._all_accepted, self.optimism = [], 0, None, 1.0, 0.0

    def shortfall_at_start(self, room: int, optimism: float = 0.0) -> float:
        """Expert steps by which a round with a draft is expected to give less than its time gives without, at the best
        length; not above 0 where it pays. With full room it is worked out once for as long as the costs are kept and
        nothing is judged."""
        self.optimism = optimism
        if room < self.constants.longest_draft:
            return self._shortfall(room)
        holds_for = self.costs.version, self.acceptance.precision
        kept = self._opening.get(optimism)
        if kept is None or kept[0] != holds_for:
            kept = self._opening[optimism] = holds_for, self._shortfall(self.constants.longest_draft)
        return kept[1]

    def _shortfall(self, room: int) -> float:
        return min((-worth for worth in self._worth(room)), default=1.0)

    def more(self, drafted: int, room: int) -> bool:
        self._room = min(room, self.constants.longest_draft)
        return drafted < self._room and (drafted == 0 or self.pays(self._room))

    def takes(self, q1: Distribution) -> bool:
        self.asked += 1
        bucket = self.acceptance.bucket(q1.max)
        if not self.pays(self._room, bucket):
            self.refused = bucket
            return False  # the drafter's step is spent; reading the token would cost more than it is likely to give
        self.buckets.append(bucket)
        self._all_accepted *= self.acceptance.chance(bucket, self.optimism)
        return True

    def pays(self, room: int, known: int | None = None) -> bool:
        """Whether some number of further tokens pays. `known`: the bucket of the first of them, where the drafter's
        step is spent already."""
        return any(worth > 0 for worth in self._worth(room, known))

    def _worth(self, room: int, known: int | None = None) -> Iterator[float]:
        """Expert steps that each number of further tokens is expected to win, 1 to what there is room for."""
        j, acceptance, hope = len(self.buckets), self.acceptance, self.optimism
        here, speed, step = self.costs.call(j + 1), self.speed.value, self.costs.step
        chance, gain, steps = self._all_accepted, 0.0, 0.0
        bucket, beyond = self.buckets[-1] if self.buckets else START, acceptance.next_chance(START, hope)
        for m in range(1, room - j + 1):
            if m == 1 and known is not None:
                chance *= acceptance.chance(known, hope)
                bucket = known
            else:
                chance *= beyond if bucket == START else acceptance.next_chance(bucket, hope)
                bucket = START
                steps += step
            gain += chance
            yield gain - speed * (steps + self.costs.call(j + m + 1) - here)
