"""The stages of making a pair's files fit a machine: judge candidates beside the source, trim, prove."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..bench.overlap import spread_over
from ..bench.suites import load_suite
from ..calibration.calibrate import Curve, side_by_side
from ..calibration.planner import Planner, curves_file
from ..conversation.template import Message
from ..decoding.length.latency import LatencyModel
from ..files.profiles import Profile
from ..files.source import Source
from ..headers.architecture import template
from ..headers.vocabulary import Tokens
from ..runtime.backend import ROLES
from ..runtime.generate import drain, read_prompt
from ..runtime.llama import physical_cores
from ..runtime.pair import Pair, load_pair
from ..runtime.prompt import prompt_of, require_room
from ..runtime.stop import StopFlag
from .agreement import TOKENS, Written, agreement, own_answers
from .candidates import CANDIDATES
from .confirm import ConfirmedSpeed, confirm
from .judge import JudgedFiles, best
from .quality import Reference, quality, reader, reference, windows
from .quantize import quantize
from .survey import OptimizePlan, OptimizeSurvey
from .trim import trim
from .usage import usage

Tell = Callable[[str, float], None]
"""Hears what is being done, and the share of it that is."""
PROMPTS = 6
"""Prompts that acceptance is counted on, one of each group."""
DRAFTED = 3
"""Draft length that it is counted at: a call of four is the cheapest of several tokens."""
NEAR = 0.03
"""Of acceptance that a smaller vocabulary may cost: what its cheaper step wins is no more."""
CONFIRMED, LOOK = 16, 8
"""Prompts of the proof at most, groups in turn, and after how many of them it may end; nothing was chosen by them."""


@dataclass(frozen=True)
class SourceFacts:
    """What the expert as it is says and writes: that candidates are held against."""

    row: Reference
    answers: Mapping[str, Sequence[Written]]
    """Its own answers, by prompt set."""


@dataclass(frozen=True, slots=True)
class Workbench:
    """A plan, what its headers said, and the folder that files are made in."""

    plan: OptimizePlan
    survey: OptimizeSurvey
    folder: Path
    tell: Tell
    stop: StopFlag

    @contextlib.contextmanager
    def open(self, profile: Profile, what: str) -> Iterator[Pair]:
        """A loaded pair whose caches hold a prompt."""

        def loading(_role: str, share: float) -> None:
            self.tell(f"loading {what}", share)

        with load_pair(profile, self.plan.options, self.stop, loading) as pair:
            prompt = prompt_of(pair, [Message("user", load_suite("builtin").items[0].prompt)])
            drain(read_prompt(pair, require_room(pair, prompt)))
            yield pair

    def heard(self, what: str) -> Callable[[int, int], None]:
        """A listener to counts, for a stage."""
        return lambda done, of: self.tell(what, done / max(1, of))

    def source_facts(self, source: Pair) -> SourceFacts:
        """Read the built-in texts with the source expert, and let it answer a few prompts."""
        suites = ("builtin", "languages") if self.survey.vocabularies else ("builtin",)
        answers = {
            suite: own_answers(
                source,
                spread_over(load_suite(suite).items, PROMPTS),
                tell=self.heard(f"the expert answers ({suite})"),
            )
            for suite in suites
        }
        expert = source.weights["expert"]
        model = reader(expert, self.plan.options.threads)
        row = reference(model, windows(expert), self.heard("reading texts as they are"))
        return SourceFacts(row, answers)

    def acceptance(self, pair: Pair, facts: SourceFacts, suite: str = "builtin") -> float:
        """Of drafts at draft length 3, along the source expert's own answers."""
        return agreement(pair, facts.answers[suite]).played(DRAFTED).acceptance

    def measure(self, source: Pair, facts: SourceFacts) -> JudgedFiles:
        """The files as they are."""
        self.tell("measuring what calls cost", 0.0)
        curve = side_by_side([source])[0]
        files = {role: file.path for role, file in self.survey.files.items()}
        return JudgedFiles("as they are", files, curve, curve, self.acceptance(source, facts))

    def judge(
        self, source: Pair, facts: SourceFacts, as_is: JudgedFiles
    ) -> tuple[list[JudgedFiles], JudgedFiles | None]:
        """Candidates beside the source, and the best within the limit. Without types of the plan's own the next one is
        made only where none before it will do: making one can take many minutes. Files of the others are deleted as
        soon as they are known to be worse."""
        judged: list[JudgedFiles] = []
        chosen: JudgedFiles | None = None
        for name in self.survey.names:
            if chosen is not None and not self.plan.types:
                break
            judged.append(self.beside(name, self.make(name), source, facts))
            chosen = best(as_is, judged, self.plan.max_loss)
            self.delete(judged, chosen)
        return judged, chosen

    def delete(self, judged: Sequence[JudgedFiles], chosen: JudgedFiles | None) -> None:
        """Made files that nobody needs any more."""
        needed = set() if chosen is None else set(chosen.files.values())
        for path in {path for each in judged for path in each.files.values()} - needed:
            if path.is_relative_to(self.folder):
                path.unlink(missing_ok=True)

    def make(self, name: str) -> dict[str, Path]:
        """Both files as a candidate; one that cannot be is left as it is."""
        made = {}
        for role in ROLES:
            source = made[role] = self.survey.files[role].path
            if name in [each.name for each in self.survey.kinds[role]]:
                target = made[role] = self.place(role, f"{source.stem}-{name}")
                quantize(
                    source,
                    target,
                    CANDIDATES[name],
                    threads=self.plan.options.threads or physical_cores(),
                    tell=self.heard(f"making the {role} as {name}"),
                    stop=self.stop,
                )
        return made

    def place(self, role: str, stem: str) -> Path:
        """Where a file is made. Each role has a folder: both models may be of one name."""
        folder = self.folder / role
        folder.mkdir(exist_ok=True)
        return folder / f"{stem}.gguf"

    def profile_of(self, files: Mapping[str, Path]) -> Profile:
        """A profile for files that are being judged."""
        drafter, expert = (Source(path=str(files[role])) for role in ROLES)
        return replace(self.plan.profile, name=self.plan.name, drafter=drafter, expert=expert, origin="")

    def beside(self, name: str, files: Mapping[str, Path], source: Pair, facts: SourceFacts) -> JudgedFiles:
        """A candidate's curve beside the source's, its quality and its acceptance."""
        with self.open(self.profile_of(files), name) as new:
            self.tell(f"measuring {name}", 0.0)
            theirs, own = side_by_side([source, new])
            model = reader(new.weights["expert"], self.plan.options.threads)
            lost = quality(model, facts.row, self.heard(f"reading texts with {name}"))
            return JudgedFiles(name, files, own, theirs, self.acceptance(new, facts), lost)

    def trim(self, chosen: JudgedFiles, facts: SourceFacts) -> tuple[JudgedFiles, JudgedFiles | None]:
        """The chosen files, and the same with a drafter of fewer tokens: as many as were asked for, or the fewest that
        are accepted nearly as often as all, or None. Both have their acceptance on languages: a smaller vocabulary
        punishes those."""
        header, whole = self.survey.files["drafter"].header, chosen.files["drafter"]
        counts = usage(Tokens.of(header), template(header))
        for size in self.survey.vocabularies:
            cut = self.place("drafter", f"{whole.stem}-{size}")
            made = trim(whole, cut, size, counts, self.stop, self.heard("trimming the drafter"))
            files = {**chosen.files, "drafter": cut}
            with self.open(self.profile_of(files), f"a drafter of {made.tokens:,} tokens") as short:
                accepted = self.acceptance(short, facts)
            if self.plan.vocabulary or accepted >= chosen.acceptance - NEAR:
                return self.beside_whole(chosen, replace(chosen, files=files, vocabulary=made.tokens), accepted, facts)
            cut.unlink()
        return chosen, None

    def beside_whole(
        self, chosen: JudgedFiles, cut: JudgedFiles, accepted: float, facts: SourceFacts
    ) -> tuple[JudgedFiles, JudgedFiles]:
        """The chosen files and those with the trimmed drafter, whose step is measured beside the whole one's."""
        with (
            self.open(self.profile_of(chosen.files), chosen.name) as long,
            self.open(self.profile_of(cut.files), "the trimmed drafter") as short,
        ):
            self.tell("measuring the trimmed drafter", 0.0)
            theirs, own = side_by_side([long, short])
            languages = [self.acceptance(each, facts, "languages") for each in (long, short)]
        before = chosen.own.costs
        step = before.step * (own.costs.step / theirs.costs.step if theirs.costs.step else 1.0)
        costs = LatencyModel(dict(before.seen), step, before.catch_up)
        trimmed = replace(
            cut,
            name=f"{chosen.name}, {cut.vocabulary:,} tokens",
            own=Curve(costs, max(own.spread, chosen.own.spread)),
            acceptance=accepted,
            languages=languages[1],
        )
        return replace(chosen, languages=languages[0]), trimmed

    def prove(self, as_is: JudgedFiles, chosen: JudgedFiles) -> ConfirmedSpeed:
        """The interleaved run of the files as they are and the chosen ones. What calls cost is kept for both."""
        items = spread_over(load_suite("builtin").items, PROMPTS + CONFIRMED)[PROMPTS:]
        new = self.profile_of(chosen.files)
        with self.open(self.plan.profile, "the files as they are") as before, self.open(new, "the new files") as after:
            for pair, judged in ((before, as_is), (after, chosen)):
                planner = Planner(pair, curves_file())
                planner.note_agreement(judged.acceptance, PROMPTS * TOKENS)
                if judged.own.steady:
                    planner.adopt(judged.own.costs)
                planner.save()
            return confirm(
                (before, as_is.own),
                (after, chosen.own),
                items,
                self.plan.tokens,
                self.heard("proving it"),
                LOOK,
            )
