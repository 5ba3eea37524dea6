"""The clock of one arm: time in the models, and time that consumers held the generator."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from .answer import Answer
from .events import Event, Finish, Finished

Clock = Callable[[], float]


class Timed(Protocol):
    """Anything that counts the seconds it has computed."""

    @property
    def seconds(self) -> float: ...


class TimedDrafts(Timed, Protocol):
    """A source of drafts, as the clock sees it."""

    @property
    def steps(self) -> int: ...


class Meter:
    """Wall clock of one arm, in seconds, from its construction to the last committed token."""

    def __init__(self, clock: Clock, expert: Timed, drafting: Sequence[TimedDrafts]) -> None:
        """`drafting`: everything whose time counts as drafting."""
        self.clock = clock
        self.expert = expert
        self.drafting = drafting
        self.consumers = 0.0
        self.start = clock()
        self.before = self.now()
        self.steps_before = self.steps()
        self.mark()

    def now(self) -> tuple[float, float]:
        """Seconds spent so far in drafting and in the expert."""
        return sum(source.seconds for source in self.drafting), self.expert.seconds

    def steps(self) -> int:
        """Calls of drafters so far."""
        return sum(source.steps for source in self.drafting)

    def mark(self) -> None:
        """A token was committed: the arm is told up to here. A round that is cut short later counts for nothing."""
        self.stop = self.clock()
        self.marked = (*self.now(), self.consumers, self.steps())

    @property
    def elapsed_ms(self) -> float:
        """From the start to the last mark."""
        return 1e3 * (self.stop - self.start)

    def show(self, event: Event) -> Iterator[Event]:
        """Hand an event out and note how long the consumer keeps it."""
        at = self.clock()
        yield event
        self.consumers += self.clock() - at

    def finished(self, arm: str, answer: Answer) -> Finished:
        draft, verify, held, steps = self.marked
        return Finished(
            arm=arm,
            finish=answer.finish or Finish.INTERRUPTED,
            tail=answer.text.flush(),
            seconds=self.stop - self.start,
            draft_seconds=draft - self.before[0],
            verify_seconds=verify - self.before[1],
            held=held,
            drafter_steps=steps - self.steps_before,
        )
