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
    """What a round teaches. `buckets` of the positions where the drafter was asked, none where the draft was looked up;
    `read`: tokens that the drafter read before its first one."""

    looked_up: bool
    buckets: list[int]
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
        idle_seconds: float | None = None,
        lookup: LookupStatistics | None = None,
        lookup_always: bool = False,
        unread: int = 0,
        careful: bool = False,
        constants: PolicyConstants = CONSTANTS,
    ) -> None:
        """`idle_seconds`: decoded without the drafter since it was last asked, where this rule's acceptance is known
        from earlier answers; None where it is not, so that trying may lose a little. `lookup`: draft from the text as
        well, where that pays, or `lookup_always`. `unread`: tokens that the drafter would have to read before its first
        draft. `careful`: the answer depends on what is drafted and on chance, so no decision may know of draws at
        positions that are still to be written. A round whose drafts reach beyond its tokens counts when the answer is
        past them, and until then nothing is tried."""
        self.k: int | str = "auto"
        self.lookup = lookup
        self.latency = latency
        self.acceptance = acceptance
        self.constants = constants
        self._costs = RelativeCosts(latency, constants)
        self._speed = RecentSpeed(latency, constants)
        self._back_off = BackOff(latency, self._costs, idle_seconds, unread, constants)
        self._draft_length = DraftLength(acceptance, self._costs, self._speed, constants)
        statistics = lookup or LookupStatistics(constants=constants)
        self._lookup_length = LookupLength(statistics, self._costs, self._speed, lookup_always, constants)
        self._looked_up = False  # in this round
        self._careful = careful
        self._written = 0
        self._put_off: list[tuple[int, Round]] = []  # by where the answer must be before it counts

    @property
    def idle_seconds(self) -> float:
        """Seconds decoded without the drafter since it was last asked."""
        return self._back_off.idle_seconds

    @property
    def would_draft(self) -> bool:
        """Whether it would ask the drafter at the beginning of an answer."""
        return self._back_off.budget > 0 or self._draft_length.pays(self.constants.longest_draft)

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
        forced = self._back_off.begin(self._draft_length.pays_at_start(room), room, not self._put_off)
        self._draft_length.forced = forced or 1
        return forced is not None

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
        read = self._back_off.catching_up
        this = Round(self._looked_up, buckets, read, accepted, tokens, batch, draft_seconds, verify_seconds)
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
        drafted = len(round.buckets)
        if not drafted:
            self._back_off.learn_idle(tokens, verify_seconds)
            return
        self._back_off.learn_drafted(seconds - tokens * single)
        if round.read > self.constants.longest_draft:  # a long reading is no step
            self.latency.learn_catch_up((draft_seconds - drafted * self.latency.step) / round.read)
        else:
            self.latency.learn_step(draft_seconds / drafted)
        self.acceptance.learn(round.buckets, round.accepted)
