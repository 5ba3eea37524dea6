"""The one way to run: read the prompt, plan the drafts, play an arm, and yield what happens as events."""

import contextlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from ..decoding.answer import Request
from ..decoding.arms import Arm
from ..decoding.baselines import sequential
from ..decoding.drafts.draft_source import DraftSource
from ..decoding.drafts.lookup import PromptLookup
from ..decoding.drafts.second_model import common_prefix
from ..decoding.engine import speculate
from ..decoding.events import Event, Judged, Started
from ..decoding.length.acceptance import LookupStatistics
from ..decoding.length.policy import FixedPolicy, Policy
from ..decoding.model import LanguageModel
from ..decoding.partly import refusal, require_told
from ..decoding.sampling import Floats, Sampling
from ..decoding.verify import require_test
from ..errors import BudgetRefused, CannotPair
from .pair import Pair
from .prompt import Prompt

CHUNK = 512  # tokens of a prompt that are read together


@dataclass(frozen=True, slots=True)
class Length:
    """When an answer ends. `max_tokens` None: at its end or with the context."""

    max_tokens: int | None = 256
    stop: tuple[str, ...] = ()
    """Texts that end the answer; they are no part of it."""
    ignore_eos: bool = False


@dataclass(frozen=True, slots=True)
class PromptRead:
    """How far the prompt is read: tokens of one model's cache, of how many."""

    role: str
    done: int
    total: int


Plan = tuple[Policy, Sequence[DraftSource]]
"""How much to draft in one answer, and from where, the first source first."""


class Drafting(Protocol):
    """How an arm drafts on a pair."""

    def reads_prompt(self, pair: Pair, arm: Arm, sampling: Sampling) -> bool:
        """Whether the drafter had best read the prompt before the answer begins."""

    def plan(self, pair: Pair, arm: Arm, sampling: Sampling) -> Plan:
        """For one answer; both caches hold the prompt."""


@dataclass(frozen=True, slots=True)
class FixedDrafting:
    """At most `k` tokens a round: with `lookup` from the text itself where it repeats, else from the drafter. `first`
    are other sources, which are asked before both."""

    k: int = 4
    lookup: bool = False
    first: Sequence[DraftSource] = field(default=())

    def reads_prompt(self, pair: Pair, arm: Arm, sampling: Sampling) -> bool:
        return "drafter" in arm.models

    def plan(self, pair: Pair, arm: Arm, sampling: Sampling) -> Plan:
        statistics = LookupStatistics() if self.lookup else None
        return FixedPolicy(self.k), [*self.first, *lookups(statistics), pair.drafts]


def lookups(statistics: LookupStatistics | None) -> list[DraftSource]:
    """A source that looks drafts up in the text; none where there are no statistics to keep of it."""
    return [] if statistics is None else [PromptLookup(statistics)]


def generate(
    pair: Pair,
    prompt: Prompt,
    arm: Arm,
    sampling: Sampling | None = None,
    length: Length | None = None,
    drafting: Drafting | None = None,
    *,
    detail: bool = False,
    numbers: bool = False,
    best: int = 3,
    prefill_seconds: Mapping[str, float] | None = None,
    clock: Callable[[], float] | None = None,
) -> Generator[PromptRead | Event]:
    """Answer a prompt under an arm: `PromptRead` while the prompt is read, then Started, Drafted and Judged by rounds,
    and Finished. What the caches hold of the prompt is kept.

    `detail` fills in every probability, for a trace or to explain a token, and `best` of the expert's tokens beside
    each; such a run is not timed. `numbers` fills in q and p alone. `prefill_seconds`: by role,
    what reading this prompt took when arms before this one read it; else it is what it takes now. `clock`: the pair's,
    unless another is given. Closing the generator leaves both caches usable. Raises CannotPair where the arm lets a
    head write alone, BlockRefused where block verification cannot judge, BudgetRefused where a chain would have to keep
    to a budget, ServerRefuses where the expert's server tells too little, ExpertLost where it does not answer (what was
    written stands, and Finished came before), and Stopped while the prompt is read; later it is an event.
    """
    sampling, length, drafting = sampling or Sampling(), length or Length(), drafting or FixedDrafting()
    require_writer(pair, arm)
    require_test(arm.rule, sampling)
    require_no_chain(pair, sampling)
    sampling = told_sampling(pair, arm, sampling)
    seconds = yield from read_prompt(pair, prompt, drafting.reads_prompt(pair, arm, sampling))
    policy, sources = drafting.plan(pair, arm, sampling)
    clock = clock or pair.clock
    request = Request(
        prompt=prompt.ids,
        sampling=sampling,
        max_tokens=length.max_tokens,
        context=pair.context,
        stop=length.stop,
        ignore_eos=length.ignore_eos,
        detail=detail,
        numbers=numbers,
        best=best,
    )
    if arm.rule is None:
        events = sequential(arm, pair.expert, pair.drafts, request, pair.lexicon, clock)
    else:
        events = speculate(arm, pair.expert, sources, policy, request, pair.lexicon, clock)
    known = seconds if prefill_seconds is None else prefill_seconds
    with contextlib.closing(events):
        for event in events:
            if isinstance(event, Started):
                prefill = sum(known[role] for role in arm.models)
                event = replace(event, prefill_seconds=prefill, step_cost=pair.step_cost)
            elif isinstance(event, Judged):
                pair.cached += [token.id for token in event.tokens]
            yield event


def told_sampling(pair: Pair, arm: Arm, sampling: Sampling) -> Sampling:
    """The sampling with what the expert's server tells of a row. Raises ServerRefuses where that is too little."""
    require_told(arm, sampling, pair.sent)
    return replace(sampling, sent=pair.sent) if pair.sent else sampling


def can_play(pair: Pair, arm: Arm, sampling: Sampling | None = None) -> bool:
    """Not where the drafter would have to write by itself, and is a head; nor where the expert's server tells too
    little for it, at this sampling."""
    told = sampling is None or not pair.sent or not refusal(arm.rule, sampling, pair.sent)
    return told and (arm.rule is not None or "drafter" not in arm.models or pair.head is None)


def require_writer(pair: Pair, arm: Arm) -> None:
    """Raises CannotPair where the pair cannot play an arm."""
    if not can_play(pair, arm):
        raise CannotPair(
            f"{arm.name} lets the drafter write by itself, and {pair.drafter_name} is a head: it writes "
            "nothing without the expert",
            "leave it out, or take a drafter that is a model",
        )


def require_no_chain(pair: Pair, sampling: Sampling) -> None:
    """Raises BudgetRefused where a budget would be kept and a chain drafts: what its inner rule gives away has no
    account."""
    if sampling.budget is not None and pair.chain is not None:
        raise BudgetRefused("a budget holds for one rule, and a chain has two")


def read_prompt(pair: Pair, prompt: Prompt, drafter: bool = True) -> Generator[PromptRead, None, dict[str, float]]:
    """Read all of a prompt but its last token on both models; returns the seconds by role. Without `drafter` the
    drafter reads it when it is first asked for a draft. Raises Stopped."""
    ids, total = list(prompt.ids), len(prompt.ids) - 1
    expert, drafts = pair.expert, pair.drafts
    before = {"expert": expert.seconds, "drafter": drafts.seconds}
    expert.truncate(min(common_prefix(pair.cached, ids), total, drafts.reach(ids)))
    pair.cached = ids
    if pair.head is None:
        pair.second_model.prompt = prompt.drafter
    if pair.chain is not None:
        pair.chain.first.prompt = prompt.first
    drafts.observe(ids)
    for done in extend(expert, ids, tell=drafts.note):
        yield PromptRead("expert", done, total)
    expert.mark()
    for done, whole in drafts.catch_up(CHUNK) if drafter else ():
        yield PromptRead("drafter", done, whole)
    return {"expert": expert.seconds - before["expert"], "drafter": drafts.seconds - before["drafter"]}


def extend(
    model: LanguageModel,
    ids: Sequence[int],
    chunk: int = CHUNK,
    tell: Callable[[int, Floats | None], None] = lambda first, states: None,
) -> Iterator[int]:
    """Read all of a prompt but its last token, in chunks; yields how many tokens the cache holds. `tell` hears from
    which token on it read, and its hidden states."""
    while (first := len(model)) < len(ids) - 1:
        model.extend(ids[first : min(first + chunk, len(ids) - 1)], rows=0)
        tell(first, model.states)
        yield len(model)


def drain(
    steps: Generator[PromptRead, None, dict[str, float]], tell: Callable[[PromptRead], None] | None = None
) -> dict[str, float]:
    """What `read_prompt` returns; `tell` hears of its progress."""
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            found: dict[str, float] = end.value
            return found
        if tell is not None:
            tell(step)
