"""Back-off: whether to ask the drafter at all, and what hope may cost where drafting is not expected to pay."""

from .constants import CONSTANTS, PolicyConstants
from .latency import LatencyModel


class BackOff:
    """Drafts where that is expected to pay; where it is not, in the hope that this text is better than others.

    Hope has a budget: `first_hope` expert steps, and `first_hope_share` of the time that was decoded since, later on
    `hope_share`. A hopeful round
    costs what it is expected to lose, whatever comes of it. The more of a text was judged, the less is left to hope
    for, so such rounds end by themselves; and where not even the best text would pay, there is none.
    """

    def __init__(
        self,
        latency: LatencyModel,
        balance: float | None,
        unread: int,
        constants: PolicyConstants = CONSTANTS,
    ) -> None:
        """`balance`, `unread`: as for `AutoPolicy`."""
        self.latency = latency
        self.constants = constants
        self.balance = constants.first_hope if balance is None else min(balance, constants.largest_hope)
        """Expert steps that hope may still cost."""
        self._share = constants.first_hope_share if balance is None else constants.hope_share
        self.drafting = True
        """What was decided last."""
        self.catching_up = 0
        """Tokens that the drafter reads in this round before its first draft."""
        self._unread = unread

    @property
    def price(self) -> float:
        """Expert steps that reading what the drafter has not read takes."""
        return self._unread * self.latency.catch_up / self.latency.verify(1)

    def begin(self, shortfall: float, hopeful: bool) -> bool:
        """Whether to ask the drafter in this round. `shortfall`: expert steps that a draft is expected to lose, not
        above 0 where it pays; `hopeful`: it would pay in a better text, and may be tried."""
        self.drafting = shortfall <= 0
        cost = shortfall + self.price
        if not self.drafting and hopeful and cost <= self.balance:
            self.balance -= cost
            self.drafting = True
        self.catching_up = self._unread if self.drafting else 0
        return self.drafting

    def earn(self, seconds: float) -> None:
        """A round took so long: hope may cost a share of it."""
        earned = self._share * seconds / self.latency.verify(1)
        self.balance = min(self.balance + earned, self.constants.largest_hope)

    def learn(self, tokens: int, asked: int, whole: bool) -> None:
        """A round gave so many tokens, for which the drafter was asked for so many steps. It has read all but the last
        one of them, and where its whole draft stands not that draft's last one either; without a step, none."""
        self._unread = int(whole) if asked else self._unread + tokens
