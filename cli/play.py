"""From settings to a run: the values that core takes, a loaded pair, and arms played to sinks."""

import contextlib
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from speccas.core.bench.overlap import LEAST_MASS
from speccas.core.calibration.planner import Planner, Wanted
from speccas.core.conversation.template import Message
from speccas.core.decoding.arms import Arm, parse_arm
from speccas.core.decoding.budget import require_budget
from speccas.core.decoding.deferral import Rule
from speccas.core.decoding.drafts.chain import Inner
from speccas.core.decoding.events import Event, Finish
from speccas.core.decoding.partly import require_told
from speccas.core.decoding.penalty import Penalty
from speccas.core.decoding.sampling import Sampling
from speccas.core.decoding.verify import require_test
from speccas.core.errors import ExpertLost, UsageError
from speccas.core.files.profiles import Profile, find_profile
from speccas.core.files.source import HEAD, Source, parse_drafter, parse_source
from speccas.core.record.log_prob import mean_log_prob
from speccas.core.record.manifest import Manifest, manifest
from speccas.core.record.metrics import Fold
from speccas.core.runtime.backend import LoadOptions
from speccas.core.runtime.generate import Length, PromptRead, drain, generate, read_prompt, require_writer
from speccas.core.runtime.pair import Pair, load_pair
from speccas.core.runtime.prompt import Prompt, prompt_of, require_room
from speccas.core.runtime.stop import StopFlag

from .interrupt import interruptible
from .options import with_workers
from .outputs import require_new
from .running import RUNNING
from .settings import Settings
from .view.progress import Waiting
from .view.theme import STYLES, make_console

Sink = Callable[[Event], None]


def load_options(s: Settings) -> LoadOptions:
    inner = Inner(require_rule("--chain-rule", s.chain_rule), s.chain_k, s.chain_rule)
    return LoadOptions(s.ctx, s.threads, s.gpu_layers, s.drafter_gpu_layers, not s.no_memory_check, inner)


def require_rule(flag: str, text: str) -> Rule:
    """A rule as typed. Raises UsageError for one that is none, ancestors included."""
    rule = parse_arm(text).rule
    if rule is None:
        raise UsageError(f"{flag} {text}: that is no rule, it drafts nothing", "see speccas rules")
    return rule


def sampling_of(s: Settings) -> Sampling:
    penalty = Penalty(s.repeat_penalty, s.repeat_last_n)
    return Sampling(
        s.temperature,
        s.top_k,
        s.top_p,
        s.min_p,
        s.seed,
        test=s.test,
        budget=s.budget,
        penalty=penalty,
        confidence=s.confidence_temperature,
    )


def length_of(s: Settings) -> Length:
    return Length(s.max_tokens, s.stop, s.ignore_eos)


def think_of(s: Settings) -> bool | None:
    """Whether the model is to think; None leaves it to the template."""
    return {"on": True, "off": False}.get(s.think)


def wanted_of(s: Settings) -> Wanted:
    return Wanted(s.draft_tokens, s.lookup)


def chosen_profile(settings: Settings) -> Profile:
    """The pair that the settings name: two files or three, or a profile; with the workers that they name, if any.
    Raises UsageError."""
    return with_workers(named_profile(settings), settings)


def named_profile(settings: Settings) -> Profile:
    """The pair without them. Raises UsageError."""
    *first, drafter = settings.drafter or ("",)
    if first and drafter == HEAD:
        raise UsageError("a head drafts by itself, and nothing drafts for it", "give one --drafter")
    if settings.expert_url or settings.expert_api:
        return require_chain(settings, served_profile(settings))
    if bool(settings.drafter) != bool(settings.expert):
        missing = "--drafter" if settings.expert else "--expert"
        hint = "give both --drafter FILE and --expert FILE, or --pair NAME"
        head = "; --drafter head is the head in the expert's own file" if settings.expert else ""
        raise UsageError(f"{missing} is missing", hint + head)
    if settings.expert:
        name = " + ".join(Path(each).name.removesuffix(".gguf") for each in (*settings.drafter, settings.expert))
        chain = parse_source(first[0]) if first else None
        return require_chain(
            settings, Profile(name, parse_drafter(drafter), parse_source(settings.expert), chain=chain)
        )
    return require_chain(settings, find_profile(settings.pair))


def served_profile(settings: Settings) -> Profile:
    """The drafter here and the expert on a server that the settings name. Raises UsageError."""
    from speccas.core.runtime.served_expert.connection import checked_url

    *first, drafter = settings.drafter or ("",)
    if settings.expert:
        raise UsageError("--expert and --expert-url give two experts", "leave one of them out")
    if not settings.expert_url or not settings.expert_api:
        missing = "--expert-api" if settings.expert_url else "--expert-url"
        raise UsageError(f"{missing} is missing", "give --expert-url URL and --expert-api sglang or vllm")
    if not drafter:
        raise UsageError("--drafter is missing", "give --drafter FILE, a small model with the vocabulary of the expert")
    url = checked_url(settings.expert_url)
    name = " + ".join([*(Path(each).name.removesuffix(".gguf") for each in settings.drafter), url.partition("//")[2]])
    chain = parse_source(first[0]) if first else None
    return Profile(name, parse_drafter(drafter), Source(url=url, api=settings.expert_api), chain=chain)


def require_chain(settings: Settings, profile: Profile) -> Profile:
    """The profile. Raises UsageError where a chain is told how to decide, and there is none."""
    for name in ("chain_rule", "chain_k"):
        if profile.chain is None and settings.sources.get(name) == "flag":
            flag = "--" + name.replace("_", "-")
            raise UsageError(
                f"{flag} is of a chain, and one drafter makes none", "give --drafter twice, smallest first"
            )
    return profile


@contextlib.contextmanager
def opened(settings: Settings, arms: Sequence[Arm] = ()) -> Iterator[Pair]:
    """A loaded pair that Ctrl-C can stop at any time. Raises CannotPair where it cannot play one of the arms, and
    BlockRefused or BudgetRefused where the test or the budget does not go with it: of several arms those without a rule
    are what the others are measured against, and have no budget; ServerRefuses where the expert's server tells too
    little for one."""
    for arm in arms:
        require_test(arm.rule, sampling_of(settings))
        if len(arms) == 1:
            require_budget(arm, sampling_of(settings))
    stop = StopFlag()
    with interruptible(stop), load(settings, stop) as pair:
        for arm in arms:
            require_writer(pair, arm)
            require_told(arm, sampling_of(settings), pair.sent)
        yield pair
        warn_of_overlap(pair)


def warn_of_overlap(pair: Pair) -> None:
    """Say on stderr that the drafter hardly ever said what the expert could: no header tells that."""
    mass = pair.drafts.mean_mass
    if mass is not None and mass < LEAST_MASS:
        told = f"note: only {mass:.0%} of the drafter's probability was on tokens of the expert"
        hint = "; `speccas check --measure` tells how well the two go together"
        make_console(stderr=True).print(told + hint, style=STYLES["warning"], soft_wrap=True)


def load(settings: Settings, stop: StopFlag) -> Pair:
    """Load the chosen pair, with a bar when it takes long."""
    with Waiting(make_console(stderr=True)) as waiting:
        pair = load_pair(
            chosen_profile(settings),
            load_options(settings),
            stop,
            lambda role, share: waiting.tell(f"loading {role}", share),
        )
    pair.use_clock(RUNNING)
    return pair


def messages(settings: Settings, text: str) -> list[Message]:
    return [*([Message("system", settings.system)] if settings.system else []), Message("user", text)]


@dataclass(frozen=True, slots=True)
class Output:
    """How a command shows answers, as its flags say."""

    view: str
    why: int | None
    trace: Path | None
    as_json: bool
    live: bool
    quiet: bool
    force: bool = False
    """The trace may be written over a file that is there."""

    @property
    def detail(self) -> bool:
        """Whether every probability is wanted; such a run is not timed."""
        return self.trace is not None or self.why is not None or self.view == "rounds"

    def require_new(self) -> None:
        """Raises UsageError where the trace would be written over another file, or `force` has no use."""
        if self.trace is not None:
            require_new(self.trace, self.force)
        elif self.force:
            raise UsageError("--force goes with --trace", "write --trace FILE, or leave it out")

    @property
    def silent(self) -> bool:
        """Whether notices and warnings are left out."""
        return self.quiet or self.as_json


@dataclass(frozen=True, slots=True)
class Asked:
    """What every arm of a command is asked."""

    prompt: Prompt
    sampling: Sampling
    length: Length
    wanted: Wanted
    detail: bool = False


def asked_of(pair: Pair, settings: Settings, text: str, detail: bool) -> Asked:
    """What the settings ask of a pair with this text. Raises UsageError where it does not fit the context."""
    prompt = require_room(pair, prompt_of(pair, messages(settings, text), raw=settings.raw, think=think_of(settings)))
    return Asked(prompt, sampling_of(settings), length_of(settings), wanted_of(settings), detail)


def read(pair: Pair, prompt: Prompt, drafter: bool = True) -> dict[str, float]:
    """Read a prompt, with a bar when it takes long; the seconds by role."""
    with Waiting(make_console(stderr=True)) as waiting:
        return drain(
            read_prompt(pair, prompt, drafter),
            lambda step: waiting.tell(f"reading the prompt ({step.role})", step.done / max(1, step.total)),
        )


def play_arm(
    pair: Pair, planner: Planner, arm: Arm, asked: Asked, sinks: Sequence[Sink], seconds: Mapping[str, float]
) -> Fold:
    """Run one arm to the end, or to where it is stopped or its expert lost; the fold has its figures. `seconds`: what
    reading the prompt took, by role."""
    fold = Fold()
    drafting = planner.drafting(asked.wanted)
    events = generate(
        pair,
        asked.prompt,
        arm,
        asked.sampling,
        asked.length,
        drafting,
        detail=asked.detail,
        prefill_seconds=seconds,
    )
    try:
        with contextlib.closing(events):
            for event in events:
                if isinstance(event, PromptRead):
                    continue
                fold(event)
                for sink in sinks:
                    sink(event)
    except ExpertLost as error:
        if fold.finished is None:
            raise
        fold.lost = error
    return fold


def with_log_prob(pair: Pair, fold: Fold, asked: Asked) -> Fold:
    """Let the expert score an answer that it did not judge while it was written. Takes its cache back to the prompt."""
    if any(token.log_p is None for token in fold.tokens):
        written = [token.id for token in fold.tokens]
        fold.scored = mean_log_prob(pair.expert, asked.prompt.ids, written, asked.sampling.penalty)
    return fold


def interrupted(fold: Fold) -> bool:
    """Whether an arm was stopped rather than ended."""
    return fold.finished is not None and fold.finished.finish is Finish.INTERRUPTED


def manifest_of(pair: Pair, settings: Settings) -> Manifest:
    """The manifest of a run with these settings."""
    return manifest(pair, settings.draft_tokens, settings.lookup, sampling_of(settings), command_line(), settings.think)


def command_line() -> str:
    """As it was typed, whatever the locale made of its letters."""
    return shlex.join(["speccas", *(os.fsencode(each).decode("utf-8", "replace") for each in sys.argv[1:])])
