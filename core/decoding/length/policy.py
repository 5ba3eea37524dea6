"""How much to draft: a fixed number of tokens, or as many as pay on this machine and this text.

Knows the rule, the drafter's distribution at each position and costs; never the token that was drawn there: a choice
that looked at it would bias `exact`.
"""

from typing import Protocol

from ..drafts.lookup import Record
from ..rules import Position, Rule, keeps
from ..sampling import Distribution, Sampling
from .latency import HOPE, START, Chances, Costs

LONGEST = 16  # tokens a draft holds at most
PROBE_SHARE = 0.01  # of the time: what looking again may cost while speculation is off
TRIALS = 2.0  # expert steps that trying may lose in an answer before speculation is left off
LONGEST_TRIAL = 4
MISLED = 6.0  # expert steps that looked-up drafts may lose lately before they are left off for a while
FORGIVEN = 0.99  # a round: how soon that is forgotten
STABLE = 8  # rounds of single tokens for which the curve's shape is taken as it was
FADE = 0.97  # a round: how soon old rounds stop counting for the present speed


def last(rule: Rule, q1: Distribution, sampling: Sampling) -> bool:
    """Whether the draft ends with this position: a rule that reads q alone knows already that it will defer here, so
    what stands behind would be judged on a draft that the expert may well replace."""
    return rule.reads == "q" and not keeps(rule, None, Position(q1, q1, sampling))


class Drafting(Protocol):
    """What the engine asks while it drafts, and tells when a round is over."""

    k: int | str
    """What was asked for, as it is reported: a number, or "auto"."""
    record: Record | None
    """How often looking a draft up in the text was right; None where that is not wanted."""

    def copies(self, length: int, room: int) -> int:
        """How many tokens to draft from a place in the text that agrees in `length` tokens; 0 for none of them."""

    def begin(self, room: int) -> bool:
        """Whether to draft in this round at all; with room for so many tokens."""

    def more(self, drafted: int, room: int) -> bool:
        """Whether to ask the drafter for a further position."""

    def takes(self, q1: Distribution) -> bool:
        """Whether a position whose q is now known is drafted after all."""

    def rows(self, needed: int, most: int) -> int:
        """How many tokens the expert call had best read: padding rows may make it cheaper."""

    def learn(self, accepted: int, tokens: int, rows: int, draft_seconds: float, verify_seconds: float) -> None:
        """A round is over: drafts accepted, tokens won, tokens the expert read, and what it took."""


class Fixed:
    """Always k tokens, as far as there is room."""

    def __init__(self, k: int, record: Record | None = None) -> None:
        self.k: int | str = k
        self.most = k
        self.record = record

    def copies(self, length: int, room: int) -> int:
        return min(self.most, room)

    def begin(self, room: int) -> bool:
        return True

    def more(self, drafted: int, room: int) -> bool:
        return drafted < min(self.most, room)

    def takes(self, q1: Distribution) -> bool:
        return True

    def rows(self, needed: int, most: int) -> int:
        return needed

    def learn(self, accepted: int, tokens: int, rows: int, draft_seconds: float, verify_seconds: float) -> None:
        pass


class Auto:
    """Draft on while some number of further tokens is expected to win more than the time they take would win otherwise;
    and not at all while no number pays.

    With S the chance that all j drafted tokens are accepted, a1.. those of the next ones, d a drafter's step and C the
    cost of an expert call, both in steps of the expert alone, and L the tokens in the time of one now: on, if for some
    m S (a1 + a1 a2 + ... + a1..am) > L (m d + C(j+m+1) - C(j+1)). Costs are not monotone, so one step ahead is too
    short.
    """

    def __init__(
        self,
        costs: Costs,
        chances: Chances,
        rested: float | None = None,
        record: Record | None = None,
        always: bool = False,
        behind: int = 0,
    ) -> None:
        """`rested`: seconds decoded without drafts since they were last tried, where this rule's drafts are known from
        answers before; None where they are not, so that trying may lose a little. `record`: look drafts up as well,
        where that pays, or `always`. `behind`: tokens that the drafter would have to read before its first draft."""
        self.k: int | str = "auto"
        self.record = record
        self.always = always
        self.costs = costs
        self.chances = chances
        self._buckets: list[int] = []
        self._all = 1.0
        self._won = self._spent = 0.0
        self._trials = TRIALS if rested is None else 0.0
        self._off_seconds = rested or 0.0
        self._off_tokens = behind
        self._unread = 0  # of those, what the drafter reads in this round
        self._lost = 0.0
        self._trial = 0
        self._on = True
        self._room = 0
        self._least: list[float] = []  # of some rounds: the loops below ask for it hundreds of times
        self._opens: bool | None = None  # whether to draft at the beginning of a round: as long as that
        self._plain = 0  # rounds of single tokens since
        self._copied = False
        self._lead = 0.0  # expert steps that looked-up drafts have won lately

    @property
    def speed(self) -> float:
        """Tokens in the time of one expert step: of the last rounds, but for looked-up drafts, whose luck ends with
        the place; and never less than the expert alone."""
        return max(1.0, self._won * self.costs.verify(1) / self._spent) if self._spent else 1.0

    def copies(self, length: int, room: int) -> int:
        """So many that 1 + a1 + a1 a2 + ... exceeds most what their expert call's time is worth at the present speed,
        which is the drafter's where that pays; none for a while where such drafts have misled."""
        assert self.record is not None
        self._buckets = []  # this round's draft is not the drafter's
        if not self.always and (self.costs.doubtful(1) or self._lead < -MISLED):
            return 0
        gain, chance, speed, worth = 1.0, 1.0, self.speed, {}
        for m in range(1, min(room, LONGEST) + 1):
            chance *= self.record.chance(length + m - 1)
            gain += chance
            worth[m] = gain - speed * self._cost(m + 1)
        best = max(worth, key=worth.__getitem__, default=0)
        self._copied = bool(best) and (self.always or worth[best] > 0)
        return best if self._copied else 0

    @property
    def hopes(self) -> bool:
        """Whether it would draft at the beginning of an answer."""
        return self._trials > 0 or self._pays(LONGEST)

    def begin(self, room: int) -> bool:
        self._buckets, self._all = [], 1.0
        self._copied = False
        if room == 0:
            return self._on
        self._trial = 0
        if self.costs.doubtful(1):  # all is judged against a call of one token
            return False
        self._on = self._opening() if room >= LONGEST else self._pays(room)
        if not self._on and (self._lost < self._trials * self.costs.verify(1) or self._looks()):
            self._on, self._trial = True, self._hopeful(min(room, LONGEST))
        if self._on:
            self._unread = self._off_tokens
            self._off_seconds, self._off_tokens = 0.0, 0
        return self._on

    @property
    def rested(self) -> float:
        """Seconds decoded without drafts since they were last tried."""
        return self._off_seconds

    def _hopeful(self, room: int) -> int:
        """The short draft that would serve best if hope were right."""

        def rate(m: int) -> float:
            tokens = sum(HOPE**i for i in range(m + 1))
            return tokens / (m * self._step + self._cost(m + 1))

        return max(range(1, min(room, LONGEST_TRIAL) + 1), key=rate)

    def _looks(self) -> bool:
        """Whether so much time has passed without speculation that drafting once more costs next to nothing."""
        costs = self.costs
        price = self._off_tokens * costs.catch_up + 3 * costs.step + (self._cost(4) - 1) * costs.verify(1)
        return self._off_seconds * PROBE_SHARE > price

    def more(self, drafted: int, room: int) -> bool:
        self._room = min(room, LONGEST)
        if drafted >= self._room:
            return False
        return drafted < max(1, self._trial) or self._pays(self._room)

    def takes(self, q1: Distribution) -> bool:
        bucket = self.chances.bucket(q1.max)
        if len(self._buckets) >= max(1, self._trial) and not self._pays(self._room, bucket):
            return False  # its step is spent; reading it would cost more than it is likely to win
        self._buckets.append(bucket)
        self._all *= self.chances.chance(bucket)
        return True

    def rows(self, needed: int, most: int) -> int:
        return self.costs.cheapest(needed, most)

    def learn(self, accepted: int, tokens: int, rows: int, draft_seconds: float, verify_seconds: float) -> None:
        if not self._copied:
            self._won = FADE * self._won + tokens
            self._spent = FADE * self._spent + draft_seconds + verify_seconds
        self.costs.saw_verify(rows, verify_seconds)
        self._plain = self._plain + 1 if rows == 1 else 0
        if not 1 < self._plain <= STABLE:  # a call like the one before tells of the machine, and not of its curve
            self._least, self._opens = [], None
            self._plain = min(self._plain, 1)
        won = (tokens - (draft_seconds + verify_seconds) / self.costs.verify(1)) if self._copied else 0.0
        self._lead = min(FORGIVEN * self._lead + won, MISLED)
        if self._buckets:
            self._lost += draft_seconds + verify_seconds - tokens * self.costs.verify(1)
            if self._unread > LONGEST:  # its time is not that of steps
                own = draft_seconds - len(self._buckets) * self.costs.step
                self.costs.saw_catch_up(own / self._unread)
            else:
                self.costs.saw_step(draft_seconds / len(self._buckets))
            self.chances.learn(self._buckets, accepted)
        else:
            self._off_seconds += verify_seconds
            self._off_tokens += tokens

    def _cost(self, n: int) -> float:
        """Of the cheapest call that reads n tokens, in expert steps."""
        if not self._least:
            alone = self.costs.verify(1)
            self._least = [seconds / alone for seconds in self.costs.least(LONGEST + 1)]
        return self._least[n]

    @property
    def _step(self) -> float:
        return self.costs.step / self.costs.verify(1)

    def _opening(self) -> bool:
        if self._opens is None:
            self._opens = self._pays(LONGEST)
        return self._opens

    def _pays(self, room: int, asked: int | None = None) -> bool:
        """Whether some m further tokens win more than they cost. `asked`: the bucket of the first of them, where its
        step is spent already."""
        j = len(self._buckets)
        here, speed, step = self._cost(j + 1), self.speed, self._step
        chance, gain, steps = self._all, 0.0, 0.0
        bucket, beyond = self._buckets[-1] if self._buckets else START, self.chances.next(START)
        for m in range(1, room - j + 1):
            if m == 1 and asked is not None:
                chance *= self.chances.chance(asked)
                bucket = asked
            else:
                chance *= beyond if bucket == START else self.chances.next(bucket)
                bucket = START
                steps += step
            gain += chance
            if gain > speed * (steps + self._cost(j + m + 1) - here):
                return True
        return False
