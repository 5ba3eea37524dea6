"""Back-off: whether to ask the drafter at all, what trying may lose, and when to probe again."""

from .constants import CONSTANTS, PolicyConstants
from .latency import LatencyModel
from .relative import RelativeCosts


class BackOff:
    """Drafts where that is expected to pay; where it is not, for a trial or a probe.

    A trial: the rule's acceptance is not known yet, and drafting may lose `trial_budget` expert steps in the answer. A
    probe: drafting was left off for so long that a short draft costs at most `probe_share` of that time.
    """

    def __init__(
        self,
        latency: LatencyModel,
        costs: RelativeCosts,
        idle_seconds: float | None,
        unread: int,
        constants: PolicyConstants = CONSTANTS,
    ) -> None:
        """`idle_seconds`, `unread`: as for `AutoPolicy`."""
        self.latency = latency
        self.costs = costs
        self.constants = constants
        self.budget = constants.trial_budget if idle_seconds is None else 0.0
        """Expert steps that trying may lose in this answer."""
        self.idle_seconds = idle_seconds or 0.0
        """Decoded without the drafter since it was last asked."""
        self.drafting = True
        """What was decided last."""
        self.catching_up = 0
        """Tokens that the drafter reads in this round before its first draft."""
        self._unread = unread
        self._lost = 0.0  # seconds

    def begin(self, pays: bool, room: int, may_try: bool = True) -> int | None:
        """How many tokens to draft in this round whether or not they pay, or None to leave the drafter alone. `pays`:
        some draft length is expected to pay; then it is one token. `may_try`: it may be drafted on trial."""
        forced = 1
        self.drafting = pays
        if not pays and may_try and (self._lost < self.budget * self.latency.verify(1) or self._probes()):
            self.drafting, forced = True, self._trial_length(room)
        if not self.drafting:
            return None
        self.catching_up = self._unread
        self.idle_seconds, self._unread = 0.0, 0
        return forced

    def _trial_length(self, room: int) -> int:
        """The short draft that would give most if every token were accepted with the hoped-for chance."""

        def rate(m: int) -> float:
            tokens = sum(self.constants.hoped_acceptance**i for i in range(m + 1))
            return tokens / (m * self.costs.step + self.costs.call(m + 1))

        return max(range(1, min(room, self.constants.longest_trial) + 1), key=rate)

    def _probes(self) -> bool:
        """Whether a probe is cheap enough by now: what was not read, some steps, and the wider expert call."""
        model, n = self.latency, self.constants.probe_draft
        price = self._unread * model.catch_up + n * model.step + (self.costs.call(n + 1) - 1) * model.verify(1)
        return self.idle_seconds * self.constants.probe_share > price

    def learn_drafted(self, lost_seconds: float) -> None:
        """A round with a draft of the drafter took so much longer than its tokens take one by one."""
        self._lost += lost_seconds

    def learn_idle(self, tokens: int, seconds: float) -> None:
        """A round without the drafter gave so many tokens, which it has not read."""
        self.idle_seconds += seconds
        self._unread += tokens
