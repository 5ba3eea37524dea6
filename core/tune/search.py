"""The search of `speccas tune`: successive halving, then the finalists on the prompts that the halving did not use.

Each round of the halving plays more prompts for fewer candidates (`halving.py` says which); `decide.py` chooses.
Candidates are played in blocks of at most BLOCK, each block with the expert alone in it, shuffled: a ratio is of
answers that lie minutes apart at most. What a file of samples holds already is not played again, and every decision
depends on samples alone, so a search that was stopped goes on where it was.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..bench.protocol import Bench, Plan, PlannedArm, Progress
from ..bench.samples import Sample, SampleFile
from ..bench.suites import Item
from ..decoding.arms import parse_arm
from ..errors import UsageError
from ..runtime.prompt import Prompt
from .candidates import FALLBACK, Candidate
from .decide import Choice, choose_setting
from .halving import FINALISTS, SLOWER_HALF, answers, halving_sizes, prune, search_half, survivors
from .standing import Standing, standings

BLOCK = 7
Asked = tuple[Item, Prompt]


class TooFewPrompts(UsageError):
    """Fewer than two prompts fit the context."""


@dataclass(frozen=True, slots=True)
class HalvingRound:
    """What is known after a round; `confirmed`: the finalists on the other prompts."""

    prompts: int
    standings: list[Standing]
    alive: list[Candidate]
    eliminated: dict[Candidate, str]
    confirmed: bool = False


@dataclass
class Search:
    """One search over a loaded pair. `bench` gives the protocol; its plan is set here, block by block."""

    bench: Bench
    candidates: list[Candidate]
    floor: float
    repeats: int
    eliminated: dict[Candidate, str] = field(default_factory=dict)
    """Who is no longer played, and why; filled as it goes."""
    rounds: list[HalvingRound] = field(default_factory=list)
    _done: int = 0
    _warm: bool = False

    def run(
        self,
        file: SampleFile,
        tell: Callable[[Progress], None] = lambda _: None,
        show: Callable[[HalvingRound], None] = lambda _: None,
    ) -> Choice:
        """Search, confirm, choose. Raises TooFewPrompts, and Stopped; what was finished before it is in the file."""
        prompts = list(self.bench.prompts())
        search = search_half([item for item, _ in prompts])
        if not search:
            raise TooFewPrompts("tune needs at least two prompts that fit the context")
        mine = [prompt for prompt in prompts if prompt[0] in search]
        alive, played = self.candidates, 0
        for size in halving_sizes(len(mine)):
            to_come = answers(len(alive), played, len(mine), len(prompts), self.repeats, BLOCK)
            self._play(file, mine[played:size], alive, 1, to_come, tell)
            played = size
            found = standings(of(file, mine[:played]), alive)
            alive, eliminated = prune(found, self.floor, survivors(len(alive)))
            self.eliminated |= eliminated
            self._reached(HalvingRound(played, found, alive, eliminated), show)
            if len(alive) <= FINALISTS:
                break
        finalists = pick(alive)
        self.eliminated |= {each: SLOWER_HALF for each in alive if each not in finalists}
        rest = [prompt for prompt in prompts if prompt not in mine[:played]]
        self._play(file, rest, finalists, self.repeats, len(rest) * self.repeats * (len(finalists) + 1), tell)
        found = standings(of(file, rest), finalists)
        self._reached(HalvingRound(len(rest), found, finalists, {}, True), show)
        return choose_setting(found, self.floor)

    def _reached(self, halving: HalvingRound, show: Callable[[HalvingRound], None]) -> None:
        self.rounds.append(halving)
        show(halving)

    def _play(
        self,
        file: SampleFile,
        prompts: Sequence[Asked],
        names: Sequence[Candidate],
        repeats: int,
        to_come: int,
        tell: Callable[[Progress], None],
    ) -> None:
        """Every candidate on every prompt. `to_come`: answers until the end of the search, these included."""
        total = self._done + to_come
        for item, prompt in prompts:
            for repeat, arms in blocks(names, repeats):
                self.bench.plan = Plan(arms, repeat + 1, self.bench.plan.seed)
                missing = self.bench.missing(file, item, repeat)
                self._done += len(arms) - len(missing)  # played before the search was stopped
                if missing and not self._warm:
                    tell(Progress(self._done, total, True))
                    self._warm_up(prompt)

                def played(known: int = self._done - len(file.samples)) -> None:
                    tell(Progress(known + len(file.samples), total))

                self.bench.play_block(file, item, prompt, repeat, missing, played)
                self._done += len(missing)
        tell(Progress(self._done, total))

    def _warm_up(self, prompt: Prompt) -> None:
        """One short answer at each draft length: every batch shape has been seen by then."""
        plan = self.bench.plan
        lengths = {each.k: each for each in self.candidates}
        self.bench.plan = Plan((EXPERT, *map(planned_arm, lengths.values())), 1)
        self.bench.warm_up(prompt)
        self.bench.plan = plan
        self._warm = True


def of(file: SampleFile, prompts: Sequence[Asked]) -> list[Sample]:
    """The samples of these prompts."""
    known = {item.id for item, _ in prompts}
    return [sample for sample in file.samples if sample.prompt_id in known]


EXPERT = PlannedArm("expert", parse_arm("expert"))


def planned_arm(candidate: Candidate) -> PlannedArm:
    return PlannedArm(candidate.name, parse_arm(candidate.name), candidate.k)


def blocks(names: Sequence[Candidate], repeats: int) -> list[tuple[int, tuple[PlannedArm, ...]]]:
    """(number, arms) of the blocks that a prompt is played in; the number stands as `repeat` in the samples. The second
    repeat of a pair plays its arms in reverse (`Plan.block`)."""
    parts = [names[at : at + BLOCK] for at in range(0, len(names), BLOCK)]
    return [
        (repeats * number + repeat, (EXPERT, *map(planned_arm, part)))
        for number, part in enumerate(parts)
        for repeat in range(repeats)
    ]


def pick(best_first: Sequence[Candidate]) -> list[Candidate]:
    """The finalists, best first: the fallback and the fastest lossless candidate, and the best of the others."""
    safe = {FALLBACK, *[each for each in best_first if each.lossless][:1]}
    others = [each for each in best_first if each not in safe][: FINALISTS - len(safe)]
    return [each for each in best_first if each in safe or each in others]
