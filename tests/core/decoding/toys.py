"""Toy pairs for the decoding tests: tables for models and a few bytes for each token."""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import chisquare

from speccas.core.decoding.answer import Lexicon, Request
from speccas.core.decoding.arms import Arm, parse_arm
from speccas.core.decoding.baselines import sequential
from speccas.core.decoding.deferral import Position
from speccas.core.decoding.drafts.lookup import PromptLookup
from speccas.core.decoding.drafts.second_model import SecondModel, Spelling
from speccas.core.decoding.engine import speculate
from speccas.core.decoding.events import Drafted, Event, Finished, Judged, Token
from speccas.core.decoding.length.acceptance import LookupStatistics
from speccas.core.decoding.length.policy import FixedPolicy, Policy
from speccas.core.decoding.meter import Clock
from speccas.core.decoding.model import LanguageModel
from speccas.core.decoding.rewind import Rewindable
from speccas.core.decoding.sampling import Distribution, Floats, Probabilities, Sampling, Shared
from speccas.core.decoding.table import Row, TableModel, VirtualClock

RULES = (
    "exact", "confidence:0.4", "entropy:1.0", "comparative:-0.1", "cost-benefit:0.25", "token", "token-q",
    "token-margin:0.3", "token-safe", "top-k:2", "lossy", "bild:1.3",
    "ensemble:0.4", "typical:0.6", "cost-benefit:-0.4",
)  # fmt: skip
"""Every rule, with an alpha that a vocabulary of half a dozen tokens does not make trivial."""


class Same:
    """A drafter's spelling where both vocabularies are one."""

    shared: Shared | None = None

    def spell(self, token: int) -> Sequence[int]:
        return (token,)


def table(seed: int, size: int = 6, order: int = 1, spread: float = 1.2) -> Floats:
    """Random logits for every sequence of `order` tokens."""
    shape = (size,) * (order + 1)
    return np.random.default_rng(seed).normal(0.0, spread, shape).astype(np.float32)


def near(other: Floats, seed: int, spread: float = 0.7) -> Floats:
    """Logits not far from another table's, so that drafts are often right."""
    return other + np.random.default_rng(seed).normal(0.0, spread, other.shape).astype(np.float32)


def play(
    arm: Arm,
    policy: Policy,
    expert: LanguageModel,
    drafter: SecondModel,
    request: Request,
    lexicon: Lexicon,
    clock: Clock,
    lookup: LookupStatistics | None = None,
) -> Generator[Event]:
    """The events of one arm over these models; drafts are looked up too where there are statistics for it. Both caches
    hold the prompt but its last token."""
    if arm.rule is None:
        return sequential(arm, expert, drafter, request, lexicon, clock)
    looked_up = [] if lookup is None else [PromptLookup(lookup)]
    return speculate(arm, expert, [*looked_up, drafter], policy, request, lexicon, clock)


@dataclass
class Toy:
    """A pair of tables that decode for each other."""

    expert: TableModel
    small: TableModel
    pieces: Sequence[bytes] = (b"a", b"b", b"c", b"d", b"e", b"f")
    ends: frozenset[int] = frozenset()
    spelling: Spelling = field(default_factory=Same)
    room: int = 1000
    """Of the drafter's context."""
    clock: VirtualClock = field(default_factory=VirtualClock)

    def __post_init__(self) -> None:
        self.expert.clock = self.small.clock = self.clock
        self.judge: LanguageModel = self.expert
        self.drafter = SecondModel(self.small, self.spelling, self.room)
        self.lexicon = Lexicon(self.pieces.__getitem__, self.ends.__contains__)

    def limit(self, *, expert: int | None = None, drafter: int | None = None) -> None:
        """Let a model's memory take back so little, as that of a hybrid (`n_rs_seq`) or a recurrent model (0)."""
        if expert is not None:
            self.expert.rollback = expert
            self.judge = Rewindable(self.expert)
        if drafter is not None:
            self.small.rollback = drafter
            self.drafter = SecondModel(Rewindable(self.small), self.spelling, self.drafter.room)

    def prefill(self, prompt: Sequence[int]) -> None:
        """All of the prompt but its last token, in both caches."""
        self.judge.truncate(0)
        if len(prompt) > 1:
            self.judge.extend(prompt[:-1], rows=0)
        self.judge.mark()
        self.drafter.observe(list(prompt))
        for _ in self.drafter.catch_up():
            pass

    def events(self, arm: str, request: Request, k: int = 4) -> Generator[Event]:
        """One arm's events; the prompt is in the caches already."""
        return play(parse_arm(arm), FixedPolicy(k), self.judge, self.drafter, request, self.lexicon, self.clock)

    def run(self, arm: str, request: Request, k: int = 4) -> "Run":
        """Prefill and play to the end."""
        self.prefill(request.prompt)
        return Run(list(self.events(arm, request, k)))

    def holds(self, committed: Sequence[int]) -> None:
        """Assert that both caches hold a true prefix of what is committed."""
        spelled = [each for token in committed for each in self.spelling.spell(token)]
        assert self.expert.ids == list(committed[: len(self.expert)])
        assert self.small.ids == spelled[: len(self.small)]


@dataclass
class Run:
    """What an arm said."""

    events: list[Event]

    @property
    def rounds(self) -> list[Judged]:
        return [event for event in self.events if isinstance(event, Judged)]

    @property
    def drafts(self) -> list[Drafted]:
        return [event for event in self.events if isinstance(event, Drafted)]

    @property
    def finished(self) -> Finished:
        assert isinstance(self.events[-1], Finished)
        return self.events[-1]

    @property
    def tokens(self) -> list[Token]:
        return [token for each in self.rounds for token in each.tokens]

    @property
    def ids(self) -> list[int]:
        return [token.id for token in self.tokens]

    @property
    def text(self) -> str:
        return "".join(token.text for token in self.tokens) + self.finished.tail


def pair(seed: int = 1, size: int = 6, order: int = 3, spread: float = 0.9) -> Toy:
    """Two random tables that agree about as often as not, with contexts enough not to go round in circles."""
    large = table(seed, size, order)
    return Toy(TableModel(large, order), TableModel(near(large, seed + 1000, spread), order))


def request(
    prompt: Iterable[int] = (0, 1), temperature: float = 0.0, max_tokens: int | None = 24, seed: int = 0, **more: object
) -> Request:
    return Request(tuple(prompt), Sampling(temperature, seed=seed), max_tokens, **more)  # type: ignore[arg-type]


def words(*texts: str) -> list[bytes]:
    """Tokens' bytes from texts."""
    return [text.encode() for text in texts]


def scripted(sequence: Sequence[int], size: int, otherwise: int = 0) -> Row:
    """A model that writes one sequence: after its i-th token the next one, by position. Use with a large `order`."""

    def row(last: tuple[int, ...]) -> Floats:
        logits = np.zeros(size, dtype=np.float32)
        logits[sequence[len(last)] if len(last) < len(sequence) else otherwise] = 9.0
        return logits

    return row


Joint = dict[tuple[int, ...], float]
"""Every possible answer with its probability."""


def joint(
    large: Floats,
    small: Floats,
    prompt: tuple[int, ...],
    length: int,
    pi: Callable[[Position], Probabilities],
    sampling: Sampling,
) -> Joint:
    """All answers of so many tokens under pi, by enumeration. Both tables are of the prompt's order."""
    size = len(large)
    rows = {
        last: pi(Position(Distribution(small[last]), Distribution(large[last]), sampling))
        for last in itertools.product(range(size), repeat=len(prompt))
    }
    found = {}
    for answer in itertools.product(range(size), repeat=length):
        ids = (*prompt, *answer)
        chances = [float(rows[ids[i : i + len(prompt)]][token]) for i, token in enumerate(answer)]
        found[answer] = math.prod(chances)
    return found


def p_value(found: Counter[tuple[int, ...]], promised: Joint) -> float:
    """Chi-square of the answers found against what was promised; rare ones share a bin, impossible ones end it."""
    if any(promised[answer] == 0 for answer in found):
        return 0.0
    total = found.total()
    common = [answer for answer in promised if promised[answer] * total >= 10]
    observed = [found[answer] for answer in common]
    expected = [promised[answer] * total for answer in common]
    if total - sum(expected) >= 5:
        observed.append(total - sum(observed))
        expected.append(total - sum(expected))
    scale = sum(observed) / sum(expected)
    return float(chisquare(observed, [each * scale for each in expected]).pvalue)
