"""A pair in memory: both models, and what was read of their files. It holds no settings of a run."""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING

from ..decoding.answer import Lexicon
from ..decoding.drafts.chain import Chain
from ..decoding.drafts.head import Head
from ..decoding.drafts.second_model import SecondModel
from ..decoding.drafts.stepwise import Drafter
from ..decoding.meter import Clock
from ..errors import CannotPair
from ..files.profiles import Profile
from ..files.source import Source
from ..headers.architecture import require_language_model, template
from ..headers.gguf import Header
from ..headers.head_kind import kind_of
from ..headers.heads import head_step_bytes, require_fits, require_writers
from ..headers.vocabulary import Tokens, VocabularyMap, compare, require_distinct, require_pair
from ..headers.weights import step_bytes
from .backend import ROLES, Backend, Context, HeadContext, LoadOptions, ModelFile, OnLoad, Weights
from .backends import backend_of
from .heads.load import make_head, states_read
from .open_files import open_files
from .room import fitting_context, rows, stretch
from .stop import StopFlag

if TYPE_CHECKING:
    from .served_expert.probe import Probe


@dataclass
class Pair:
    """Both models of a pair, loaded. Use as a context manager: leaving it frees them."""

    profile: Profile
    files: Mapping[str, ModelFile]
    """By role."""
    options: LoadOptions
    vocabulary: VocabularyMap
    context: int
    """Tokens of the expert that prompt and answer may have together."""
    weights: Mapping[str, Weights]
    """By role. They tokenise, each for its own model."""
    expert: Context
    drafter: Context | HeadContext
    drafts: Drafter
    """The drafter as a source of drafts."""
    first: Context | None
    """The cache of a chain's first drafter."""
    first_vocabulary: VocabularyMap | None
    """Its tokens in terms of the expert's."""
    stop: StopFlag
    """Set it from another thread, and what runs on this pair ends soon."""
    probe: "Probe | None" = None
    """What was found of the expert's server; None where the expert runs here."""
    lexicon: Lexicon = field(init=False)
    cached: list[int] = field(default_factory=list)
    """The expert's cache holds a prefix of these."""
    clock: Clock = time.perf_counter
    """In seconds; what runs on this pair is timed by it."""
    opened: ExitStack = field(default_factory=ExitStack, repr=False)

    def __post_init__(self) -> None:
        self.lexicon = self.weights["expert"].lexicon()

    def __enter__(self) -> "Pair":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Free both models."""
        self.opened.close()

    @property
    def sent(self) -> int:
        """How many most likely tokens of each row the expert's server tells; 0 where all of them are known."""
        return 0 if self.probe is None else self.probe.sent

    @property
    def head(self) -> Head | None:
        """The drafter where it is a head on the expert's states."""
        return self.drafts if isinstance(self.drafts, Head) else None

    @property
    def chain(self) -> Chain | None:
        """The drafter where another one drafts for it."""
        return self.drafts if isinstance(self.drafts, Chain) else None

    @property
    def second_model(self) -> SecondModel:
        """The drafter as a language model, of a chain the one that the expert judges. Raises CannotPair where it is a
        head."""
        if self.chain is not None:
            return self.chain.middle
        if not isinstance(self.drafts, SecondModel):
            raise CannotPair(
                f"{self.drafter_name} is a head: it writes nothing without the expert", "a drafter of its own can"
            )
        return self.drafts

    @property
    def drafter_name(self) -> str:
        """The drafter as a message names it."""
        file = self.files["drafter"]
        return f"the drafter inside {file.path.name}" if file.inside else file.path.name

    @property
    def name(self) -> str:
        return self.profile.name

    @property
    def tokens(self) -> Tokens:
        """The expert's vocabulary."""
        return self.vocabulary.expert

    @property
    def template(self) -> str:
        """The expert's chat template; empty where it has none."""
        return template(self.header("expert"))

    @property
    def step_cost(self) -> float | None:
        """Bytes of weights that a step of the drafter reads, over the expert's; None where a header does not say, of a
        chain, whose steps are of two models, and where a server runs the expert."""
        if self.chain is not None or self.probe is not None:
            return None
        drafter, expert = (self.files[role] for role in ROLES)
        every = step_bytes(expert.header, expert.bytes)
        step = step_bytes(drafter.header, drafter.bytes)
        if kind_of(drafter.header) is not None:
            step = head_step_bytes(drafter.header, expert.header)
        return step / every if step is not None and every else None

    @property
    def models(self) -> tuple[Context | HeadContext, ...]:
        """Every cache, the expert's first."""
        return (self.expert, self.drafter) if self.first is None else (self.expert, self.drafter, self.first)

    def header(self, role: str) -> Header:
        return self.files[role].header

    def use_threads(self, threads: int) -> None:
        """Both models compute with so many from their next call on."""
        for model in self.models:
            model.use_threads(threads)

    def use_clock(self, clock: Clock) -> None:
        """Time both models, and what runs on this pair, by this clock."""
        self.clock = clock
        for model in self.models:
            model.use_clock(clock)

    def clear(self) -> None:
        """Forget what both caches hold."""
        self.expert.truncate(0)
        self.cached = []
        self.drafts.observe([])


def load_pair(
    profile: Profile,
    options: LoadOptions | None = None,
    stop: StopFlag | None = None,
    on_load: OnLoad | None = None,
    backend: Callable[[Source], Backend] = backend_of,
) -> Pair:
    """Find, check and load the files of a profile; `on_load` hears the role and the share that is loaded.

    Raises Unavailable, UsageError (no such file), IntegrityError, CannotPair, DoesNotFit, NativeError, Stopped; on any
    of them nothing stays loaded.
    """
    options = options or LoadOptions()
    stop = StopFlag() if stop is None else stop
    found = open_files(profile, backend, stop)
    files = {role: file for role, (_, file) in found.items()}
    vocabulary = _vocabulary(files)
    spelled = _first_vocabulary(files)
    context = fitting_context(found, vocabulary, options, spelled)
    with ExitStack() as opened:
        weights: dict[str, Weights] = {}
        probe: Probe | None = None
        for role in loading_order(profile):
            if files[role].server is not None:
                from .served_expert.load import load_served

                weights[role], probe = load_served(files[role], weights["drafter"], stop)
                opened.callback(weights[role].close)
                continue
            if files[role].inside:
                weights[role] = weights["expert"]
                continue
            told = None if on_load is None else lambda share, role=role: on_load(role, share)
            weights[role] = found[role][0].load(files[role], options.layers(role), stop, told)
            opened.callback(weights[role].close)
        reads = states_read(*(files[role].header for role in ROLES))
        expert = weights["expert"].context(context, rows("expert"), options.threads, reads)
        drafter: Context | HeadContext
        drafts: Drafter
        first: Context | None = None
        if reads:
            drafter, drafts = make_head(files["drafter"], weights["drafter"], expert, context)
            opened.callback(drafter.close)
        else:
            length, ahead = int(context * stretch(vocabulary)), 0 if spelled is None else options.inner.k
            drafter = model = weights["drafter"].context(length, rows("drafter", chain=ahead), options.threads)
            drafts = SecondModel(model, vocabulary, model.context)
            if spelled is not None:
                length = int(context * stretch(spelled))
                first = weights["first"].context(length, rows("first"), options.threads)
                drafts = Chain(SecondModel(first, spelled, first.context), drafts, options.inner)
        pair = Pair(
            profile=profile,
            files=files,
            options=options,
            vocabulary=vocabulary,
            context=context,
            weights=weights,
            expert=expert,
            drafter=drafter,
            drafts=drafts,
            first=first,
            first_vocabulary=spelled,
            stop=stop,
            probe=probe,
        )
        if probe is not None:
            expert.use_threads(drafter.threads)  # those that compute here
        pair.opened = opened.pop_all()
    return pair


def loading_order(profile: Profile) -> list[str]:
    """The expert first, since it is the one that may not fit; one that a server runs last: it has its tokens from the
    drafter."""
    roles = list(profile.roles[::-1])
    return [*roles[1:], roles[0]] if profile.expert.url else roles


def _first_vocabulary(files: Mapping[str, ModelFile]) -> VocabularyMap | None:
    """How a chain's first drafter goes with the expert; None where there is none. Raises as `_vocabulary`."""
    if "first" not in files:
        return None
    require_writers(files["first"].header, files["drafter"].header)
    return _vocabulary({"drafter": files["first"], "expert": files["expert"]})


def _vocabulary(files: Mapping[str, ModelFile]) -> VocabularyMap:
    """How they go together; a head drafts in the expert's. Raises CannotPair, UsageError, IntegrityError."""
    drafter, expert = (files[role] for role in ROLES)
    require_language_model(expert.header, expert.path)
    require_distinct(Tokens.of(expert.header), expert.path.name)
    if kind_of(drafter.header) is not None:
        require_fits(drafter.header, expert.header)
        return compare(Tokens.of(expert.header), Tokens.of(expert.header))
    require_language_model(drafter.header, drafter.path)
    require_distinct(Tokens.of(drafter.header), drafter.path.name)
    found = compare(Tokens.of(drafter.header), Tokens.of(expert.header))
    require_pair(found, drafter.path.name, expert.path.name)
    return found
