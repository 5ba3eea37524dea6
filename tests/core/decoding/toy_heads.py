"""A toy head: a table over the last tokens, which it knows from an expert's states and from the tokens of its pairs."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

import numpy as np

from speccas.core.decoding.answer import Lexicon, Request
from speccas.core.decoding.arms import parse_arm
from speccas.core.decoding.drafts.draft_source import DraftSource
from speccas.core.decoding.drafts.head import Head
from speccas.core.decoding.drafts.lookup import PromptLookup
from speccas.core.decoding.engine import speculate
from speccas.core.decoding.events import Event
from speccas.core.decoding.length.policy import FixedPolicy
from speccas.core.decoding.sampling import Floats, Shared
from speccas.core.decoding.table import TableModel, VirtualClock
from speccas.core.errors import Stopped
from speccas.core.runtime.generate import extend
from tests.core.decoding.toys import Run

Pair = tuple[tuple[int, ...], int, bool]
"""The state that was read (the tokens it stands for), the token beside it, and whether the expert gave the state."""


class TableHead:
    """A `HeadModel` whose row is that of the table behind the state's tokens and the pair's own; its own state is the
    one that the expert would have there. `pairs` is what it holds, `calls` how many pairs each call read."""

    def __init__(self, table: Floats, order: int) -> None:
        self.table = table
        self.order = order
        self.stop_after: int | None = None
        self.seconds = 0.0
        self.pairs: list[Pair] = []
        self.calls: list[int] = []

    def __len__(self) -> int:
        return len(self.pairs)

    def extend(self, tokens: Sequence[int], states: Floats | None) -> Floats:
        stopped = self.stop_after is not None and len(self.calls) >= self.stop_after
        for i, token in enumerate(tokens[: len(tokens) // 2] if stopped else tokens):
            if states is None:
                before, beside, _ = self.pairs[-1]
                state = (*before, beside)[-self.order :]
            else:
                state = tuple(int(each) for each in states[i])
            self.pairs.append((state, token, states is not None))
        self.calls.append(len(tokens))
        if stopped:
            raise Stopped("stopped")
        state, token, _ = self.pairs[-1]
        row: Floats = self.table[(*state, token)[-self.order :]][None].copy()
        return row

    def truncate(self, length: int) -> None:
        del self.pairs[length:]


@dataclass
class HeadToy:
    """An expert and a head on it, both tables."""

    expert: TableModel
    small: TableHead
    shared: Shared | None = None
    room: int = 1000
    ahead: bool = False
    longest: int | None = None
    clock: VirtualClock = field(default_factory=VirtualClock)

    def __post_init__(self) -> None:
        self.head = Head(self.small, self.room, self.shared, self.ahead, self.longest)
        self.lexicon = Lexicon(lambda token: bytes([97 + token]), lambda token: False)

    @classmethod
    def of(cls, large: Floats, small: Floats, shared: Shared | None = None) -> "HeadToy":
        order = large.ndim - 1
        return cls(TableModel(large, order, gives_states=True), TableHead(small, order), shared)

    def prefill(self, prompt: Sequence[int], catch_up: bool = True) -> int:
        """All of the prompt but its last token, in both caches; how many tokens the expert read for it."""
        before = self.expert.evaluated
        same = next((i for i, (a, b) in enumerate(zip(self.expert.ids, prompt, strict=False)) if a != b), len(prompt))
        self.expert.truncate(min(same, len(prompt) - 1, self.head.reach(prompt)))
        self.head.observe(list(prompt))
        for _ in extend(self.expert, prompt, tell=self.head.note):
            pass
        for _ in self.head.catch_up(512) if catch_up else ():
            pass
        return self.expert.evaluated - before

    def events(self, arm: str, request: Request, k: int = 4, lookup: PromptLookup | None = None) -> Generator[Event]:
        rule = parse_arm(arm)
        sources: list[DraftSource] = [*([lookup] if lookup else []), self.head]
        return speculate(rule, self.expert, sources, FixedPolicy(k), request, self.lexicon, self.clock)

    def run(self, arm: str, request: Request, k: int = 4) -> Run:
        self.prefill(request.prompt)
        return Run(list(self.events(arm, request, k)))

    def holds(self, committed: Sequence[int]) -> None:
        """Assert that the head's pairs are true of the text, and that the expert gave each state."""
        padded = [0] * self.small.order + list(committed)
        for i, (state, token, given) in enumerate(self.small.pairs):
            assert given and token == committed[i + 1], i
            assert state == tuple(padded[i + 1 : i + 1 + self.small.order]), i


def half(size: int) -> Shared:
    """A draft vocabulary of the first half of the expert's tokens."""
    ids = np.arange(size // 2, dtype=np.int32)
    return Shared(size, len(ids), ids, ids, whole=True)
