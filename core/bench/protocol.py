"""The protocol: every arm answers every prompt, interleaved, each from the same caches.

Order: for each prompt and pair of repeats the arms are shuffled (seeded); the second repeat of the pair plays them in
reverse (ABBA), so that what drifts meets each arm equally. A block is one prompt in one repeat: both caches are
cleared, the prompt is read and timed, and every arm starts from there. One answer of each arm is discarded as warm-up.
"""

import gc
import random
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ..calibration.planner import Planner, Wanted
from ..conversation.template import Message
from ..decoding.answer import Request
from ..decoding.arms import REFERENCE, Arm, distinct, parse_arm
from ..decoding.sampling import Sampling
from ..decoding.verify import require_test
from ..errors import NoThinking, NotSaid, Stopped, UsageError
from ..record.log_prob import mean_log_prob
from ..record.metrics import Figures, Fold
from ..runtime.generate import Length, PromptRead, drain, generate, read_prompt
from ..runtime.pair import Pair
from ..runtime.prompt import Prompt, prompt_of, require_room
from .samples import Sample, SampleFile
from .scoring import Scorer, scorer_of
from .suites import Item

WARM_UP = 24  # tokens of the answers that are discarded: every batch shape has been seen by then
FILTERS = ("min_p", "top_k", "margin")
ORDER = "shuffled for each prompt and pair of repeats, the second of a pair in reverse (ABBA)"


@dataclass(frozen=True, slots=True)
class PlannedArm:
    """An arm of the plan. `arm` None: the peer plays it; `k` None: it drafts nothing."""

    name: str
    arm: Arm | None
    k: Any = None
    filters: Mapping[str, float] = field(default_factory=dict, hash=False)
    """What differs from the run's sampling, by its field."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is played how often; `seed` shuffles the arms."""

    arms: tuple[PlannedArm, ...]
    repeats: int
    seed: int = 0

    def block(self, prompt: str, repeat: int) -> list[PlannedArm]:
        """The arms in the order of this block."""
        order = list(self.arms)
        random.Random(f"{self.seed}/{prompt}/{repeat // 2}").shuffle(order)
        return order[::-1] if repeat % 2 else order


@dataclass(frozen=True, slots=True)
class Played:
    """One answer: its figures, its tokens, and when rounds ended."""

    figures: Figures
    ids: tuple[int, ...]
    gaps: tuple[float | None, ...] | None = None
    round_ends_ms: tuple[float, ...] = ()
    round_tokens: tuple[int, ...] = ()


class Peer(Protocol):
    """Another implementation of speculative decoding, on the same files."""

    def play(self, planned: PlannedArm, request: Request) -> Played:
        """Answer a prompt from cold caches."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is, in samples; `warming` before the first."""

    done: int
    total: int
    warming: bool = False


def sweep(rules: Sequence[str]) -> list[str]:
    """`token:0.1`, `0.3` is token at two alphas: a number goes with the rule before it. Raises UsageError."""
    names: list[str] = []
    for text in rules:
        if is_number(text):
            if not names or ":" not in names[-1]:
                raise UsageError(f"{text} follows no rule with an alpha")
            names.append(f"{names[-1].partition(':')[0]}:{text}")
        else:
            names.append(text)
    return names


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def planned_arms(
    rules: Sequence[str], ks: Sequence[Any], sampling: Sampling, peer: Iterable[PlannedArm] = ()
) -> tuple[PlannedArm, ...]:
    """The expert and the drafter alone, `exact`, each rule at each k, and what belongs beside them: above temperature 0
    the expert with the filter that is part of what a rule gains, and the peer's arms. Raises BlockRefused."""
    found: dict[tuple[str, str], PlannedArm] = {}
    for arm in distinct(parse_arm(name) for name in ("expert", "drafter", "exact", *rules)):
        require_test(arm.rule, sampling)
        for k in ks if arm.rule is not None else (None,):
            found.setdefault((arm.name, str(k)), PlannedArm(arm.name, arm, k))
        if (filters := filters_beside(arm, sampling)) and not sampling.greedy:
            name = " ".join([REFERENCE, *(f"{each.replace('_', '-')}={value:g}" for each, value in filters.items())])
            found.setdefault((name, ""), PlannedArm(name, parse_arm(REFERENCE), None, filters))
    found |= {(each.name, str(each.k)): each for each in peer}
    return tuple(found.values())


def filters_beside(arm: Arm, sampling: Sampling) -> dict[str, float]:
    """The filter that leaves what the arm's rule keeps; empty where there is none, or the run's own leaves no more."""
    twin = None if arm.rule is None else arm.rule.twin(sampling)
    both = {} if twin is None else {name: (getattr(sampling, name), getattr(twin, name)) for name in FILTERS}
    return {name: round(own, 6) for name, (run, own) in both.items() if own != run}


@dataclass(frozen=True, slots=True)
class Conditions:
    """What is the same for every arm. The seed moves on with the repeat."""

    sampling: Sampling = field(default_factory=Sampling)
    length: Length = field(default_factory=Length)
    lookup: str = "auto"
    system: str = ""
    raw: bool = False
    think: bool | None = None


class Bench:
    """A plan on a loaded pair."""

    def __init__(
        self,
        pair: Pair,
        plan: Plan,
        items: Sequence[Item],
        conditions: Conditions,
        allow_code: bool,
        load_seconds: float,
        peer: Peer | None = None,
    ) -> None:
        self.pair = pair
        self.planner = Planner(pair)  # in memory: a benchmark neither reads nor writes what chats have learned
        self.plan = plan
        self.items = items
        self.conditions = conditions
        self.prefill_seconds: dict[str, float] = {}
        """By role, of the prompt that was read last."""
        self.allow_code = allow_code
        self.load_seconds = load_seconds
        self.peer = peer
        self.skipped: dict[str, str] = {}
        """Prompts that were not played, and why."""
        self._log_probs: dict[tuple[tuple[int, ...], tuple[int, ...]], float | None] = {}
        self._scores: dict[tuple[str, str], float] = {}

    def run(self, file: SampleFile, tell: Callable[[Progress], None] = lambda _: None) -> None:
        """Play what the file does not hold yet. Raises Stopped; what was finished before it is in the file."""
        prompts = list(self.prompts())
        total = len(prompts) * self.plan.repeats * len(self.plan.arms)
        warm = False
        for item, prompt in prompts:
            for repeat in range(self.plan.repeats):
                missing = self.missing(file, item, repeat)
                if missing and not warm:
                    tell(Progress(len(file.samples), total, True))
                    self.warm_up(prompt)
                    warm = True
                self.play_block(file, item, prompt, repeat, missing, lambda: tell(Progress(len(file.samples), total)))
        tell(Progress(len(file.samples), total))

    def missing(self, file: SampleFile, item: Item, repeat: int) -> list[tuple[int, PlannedArm]]:
        """What the file does not hold yet of a block, with the place of each arm in it."""
        done = {sample.key for sample in file.samples}
        block = enumerate(self.plan.block(item.id, repeat))
        return [(i, e) for i, e in block if (item.id, repeat, e.name, str(e.k)) not in done]

    def play_block(
        self,
        file: SampleFile,
        item: Item,
        prompt: Prompt,
        repeat: int,
        missing: Sequence[tuple[int, PlannedArm]],
        tell: Callable[[], None],
    ) -> None:
        """Read the prompt and play these arms from there. Raises Stopped."""
        if missing:
            self.read(prompt)
        for order, planned in missing:
            tell()
            file.add(self.sample(planned, item, prompt, repeat, order))

    def prompts(self) -> Iterator[tuple[Item, Prompt]]:
        """The prompts that fit the context; the others go to `skipped`."""
        for item in self.items:
            system = [Message("system", self.conditions.system)] if self.conditions.system else []
            messages = [*system, Message("user", item.prompt)]
            raw, think = self.conditions.raw, self.conditions.think
            try:
                yield item, require_room(self.pair, prompt_of(self.pair, messages, raw=raw, think=think))
            except (NotSaid, NoThinking):  # that is so of every prompt
                raise
            except UsageError as error:
                self.skipped[item.id] = error.message

    def warm_up(self, prompt: Prompt) -> None:
        """One short answer of each arm, which counts for nothing."""
        self.read(prompt)
        most = self.conditions.length.max_tokens
        short = replace(self.conditions.length, max_tokens=min(WARM_UP, most) if most else WARM_UP)
        for planned in self.plan.arms:
            self.play(planned, prompt, self.sampling(planned, 0), short)

    def read(self, prompt: Prompt) -> None:
        """Clear both caches, then read the prompt."""
        self.pair.clear()
        self.prefill_seconds = drain(read_prompt(self.pair, prompt))

    def sampling(self, planned: PlannedArm, repeat: int) -> Sampling:
        """Of an arm. The seed moves on with the repeat: above temperature 0 repeats are other answers."""
        base = self.conditions.sampling
        own: dict[str, Any] = {**planned.filters, "seed": base.seed + repeat}
        return replace(base, **own)

    def play(self, planned: PlannedArm, prompt: Prompt, sampling: Sampling, length: Length) -> Played:
        """One answer of an arm; both caches hold the prompt."""
        gc.collect()
        if planned.arm is None:
            assert self.peer is not None
            request = Request(
                prompt.ids, sampling, length.max_tokens, self.pair.context, length.stop, length.ignore_eos
            )
            return self.peer.play(planned, request)
        drafting = self.planner.drafting(Wanted(4 if planned.k is None else planned.k, self.conditions.lookup))
        fold = Fold()
        seconds = self.prefill_seconds
        for event in generate(self.pair, prompt, planned.arm, sampling, length, drafting, prefill_seconds=seconds):
            if not isinstance(event, PromptRead):
                fold(event)
        comparable = planned.name == REFERENCE and sampling.comparable
        gaps = tuple(None if token.gap is None else round(token.gap, 4) for token in fold.tokens)
        return Played(
            figures=replace(fold.figures(), name=planned.name),
            ids=tuple(token.id for token in fold.tokens),
            gaps=gaps if comparable else None,
            round_ends_ms=tuple(each.t_ms for each in fold.rounds),
            round_tokens=tuple(len(each.tokens) for each in fold.rounds),
        )

    def sample(self, planned: PlannedArm, item: Item, prompt: Prompt, repeat: int, order: int) -> Sample:
        """Play, then score outside the timing. Raises Stopped for an answer that was cut off."""
        played = self.play(planned, prompt, self.sampling(planned, repeat), self.conditions.length)
        figures = played.figures
        if figures.finish == "interrupted":
            raise Stopped("interrupted")
        memory = peak_memory()
        if figures.expert_logprob is None:
            figures = replace(figures, expert_logprob=self.log_prob(prompt.ids, played.ids))
        scorer = scorer_of(item, self.allow_code)
        score = None if scorer is None else self.score(scorer, item, figures.text)
        return Sample(
            figures=figures,
            prompt_id=item.id,
            group=item.group,
            repeat=repeat,
            order=order,
            k=planned.k,
            min_p=planned.filters.get("min_p"),
            top_k=planned.filters.get("top_k"),
            margin=planned.filters.get("margin"),
            ids=played.ids,
            gaps=played.gaps,
            round_ends_ms=played.round_ends_ms,
            round_tokens=played.round_tokens,
            score=score,
            scorer=None if scorer is None else scorer.name,
            peak_memory_bytes=memory,
            load_seconds=self.load_seconds,
        )

    def log_prob(self, prompt: tuple[int, ...], answer: tuple[int, ...]) -> float | None:
        if (prompt, answer) not in self._log_probs:
            self._log_probs[prompt, answer] = mean_log_prob(
                self.pair.expert, prompt, answer, self.conditions.sampling.penalty
            )
        return self._log_probs[prompt, answer]

    def score(self, scorer: Scorer, item: Item, text: str) -> float:
        if (item.id, text) not in self._scores:
            self._scores[item.id, text] = scorer.score(item, text)
        return self._scores[item.id, text]


def peak_memory() -> int | None:
    """Most memory this process has held, in bytes; None where the system does not say."""
    try:
        import resource
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


VOLATILE = {"command", "date", "load_average", "repository"}


def differing(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> list[str]:
    """What two manifests disagree on, of what must be the same for samples to belong to one run."""
    found: list[str] = []
    for key in sorted({*old, *new} - VOLATILE):
        a, b = old.get(key), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found += differing(a, b, f"{path}{key}.")
        elif a != b:
            found.append(f"{path}{key}: {a!r}, now {b!r}")
    return found
