"""The automatic draft length: as many tokens as pay on this machine and this text, and none where none pay."""

from dataclasses import dataclass

from ..sampling import Distribution
from .acceptance import AcceptanceModel, LookupStatistics
from .back_off import BackOff
from .constants import CONSTANTS, PolicyConstants
from .draft_length import DraftLength
from .latency import LatencyModel
from .lookup_length import LookupLength
from .relative import RecentSpeed, RelativeCosts


@dataclass(frozen=True, slots=True)
class Round:
    """What a round teaches. `buckets` of the drafted positions, none where the draft was looked up; `asked`: steps of
    the drafter, with the one whose token was not taken, `refused`: that one's bucket; `read`: tokens that it read
    before its first step."""

    looked_up: bool
    buckets: list[int]
    asked: int
    refused: int | None
    read: int
    accepted: int
    tokens: int
    batch: int
    draft_seconds: float
    verify_seconds: float


class AutoPolicy:
    """Back-off, draft length and lookup length over one latency model and one acceptance model, which learn from every
    round."""

    def __init__(
        self,
        *,
        latency: LatencyModel,
        acceptance: AcceptanceModel,
        balance: float | None = None,
        lookup: LookupStatistics | None = None,
        lookup_always: bool = False,
        unread: int = 0,
        careful: bool = False,
        constants: PolicyConstants = CONSTANTS,
    ) -> None:
        """`balance`: expert steps that hope may cost, as earlier answers left it; None where there was none. `lookup`:
        draft from the text as well, where that pays, or `lookup_always`. `unread`: tokens that the drafter would have
        to read before its first draft. `careful`: the answer depends on what is drafted and on chance, so no decision
        may know of draws at positions that are still to be written. A round whose drafts reach beyond its tokens counts
        when the answer is past them, and until then nothing is tried."""
        self.k: int | str = "auto"
        self.lookup = lookup
        self.latency = latency
        self.acceptance = acceptance
        self.constants = constants
        self._costs = RelativeCosts(latency, constants)
        self._speed = RecentSpeed(latency, constants)
        self._back_off = BackOff(latency, balance, unread, constants)
        self._draft_length = DraftLength(acceptance, self._costs, self._speed, constants)
        statistics = lookup or LookupStatistics(constants=constants)
        self._lookup_length = LookupLength(statistics, self._costs, self._speed, lookup_always, constants)
        self._looked_up = False  # in this round
        self._careful = careful
        self._written = 0
        self._put_off: list[tuple[int, Round]] = []  # by where the answer must be before it counts

    @property
    def balance(self) -> float:
        """Expert steps that hope may still cost."""
        return self._back_off.balance

    @property
    def would_draft(self) -> bool:
        """Whether it would ask the drafter at the beginning of an answer."""
        self._draft_length.restart()
        return self._asks(self.constants.longest_draft, BackOff(self.latency, self.balance, 0, self.constants))

    def lookup_length(self, match: int, room: int) -> int:
        self._draft_length.restart()
        length = self._lookup_length.length(match, room)
        self._looked_up = length > 0
        return length

    def begin(self, room: int) -> bool:
        self._draft_length.restart()
        self._looked_up = False
        if room == 0:
            return self._back_off.drafting
        if self.latency.doubtful(1):  # all is judged against a call of batch size 1
            return False
        return self._asks(room, self._back_off)

    def _asks(self, room: int, back_off: BackOff) -> bool:
        """Whether to ask the drafter, by the mean of what is known of this text, or in hope."""
        draft, hope = self._draft_length, self.constants.optimism
        shortfall = draft.shortfall_at_start(room)
        hopeful = shortfall > 0 and not self._put_off and draft.shortfall_at_start(room, hope) < 0
        asks = back_off.begin(shortfall, hopeful)
        draft.optimism = hope if asks and shortfall > 0 else 0.0
        return asks

    def more(self, drafted: int, room: int) -> bool:
        return self._draft_length.more(drafted, room)

    def takes(self, q1: Distribution) -> bool:
        return self._draft_length.takes(q1)

    def batch_size(self, needed: int, most: int) -> int:
        return self.latency.cheapest_size(needed, most)

    def learn(self, accepted: int, tokens: int, batch: int, draft_seconds: float, verify_seconds: float) -> None:
        buckets = list(self._draft_length.buckets)
        reach = self._written + max(tokens, len(buckets) if self._careful else 0)
        self._written += tokens
        asked, read = self._draft_length.asked, self._back_off.catching_up
        this = Round(
            looked_up=self._looked_up,
            buckets=buckets,
            asked=asked,
            refused=self._draft_length.refused,
            read=read,
            accepted=accepted,
            tokens=tokens,
            batch=batch,
            draft_seconds=draft_seconds,
            verify_seconds=verify_seconds,
        )
        self._back_off.learn(tokens, asked, accepted == len(buckets))
        self._put_off.append((reach, this))
        self._count(self._written)

    def end(self) -> None:
        self._count(max([reach for reach, _ in self._put_off], default=0))

    def _count(self, written: int) -> None:
        due = [each for reach, each in self._put_off if reach <= written]
        self._put_off = [(reach, each) for reach, each in self._put_off if reach > written]
        for each in due:
            self._learn(each)

    def _learn(self, round: Round) -> None:
        draft_seconds, verify_seconds, tokens = round.draft_seconds, round.verify_seconds, round.tokens
        if not round.looked_up:  # the luck of a looked-up draft ends with its place
            self._speed.learn(tokens, draft_seconds, verify_seconds)
        self.latency.learn_verify(round.batch, verify_seconds)
        self._costs.learn(round.batch)
        seconds, single = draft_seconds + verify_seconds, self.latency.verify(1)
        self._lookup_length.learn(tokens - seconds / single if round.looked_up else 0.0)
        self._back_off.earn(seconds)
        if round.asked:
            self.latency.learn_draft(round.asked, round.read, draft_seconds)
        self.acceptance.learn(round.buckets, round.accepted, round.refused)
