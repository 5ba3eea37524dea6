"""What the engine says while it runs: frozen values that fit in JSON.

Text in an event is what *settled* with that token: joined over all tokens, plus `Finished.tail`, it is the answer.
"""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """Where a token of the answer came from (docs/words.md)."""

    AGREED = "agreed"
    KEPT = "kept"
    DEFERRED = "deferred"
    BONUS = "bonus"
    EXPERT = "expert"
    DRAFTER = "drafter"


class Finish(StrEnum):
    """Why an answer ended."""

    END = "end"
    LENGTH = "length"
    STOP = "stop"
    CONTEXT = "context"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Piece:
    """A drafted token that is no part of the answer (yet). `text` is decoded on its own context."""

    id: int
    bytes: bytes
    text: str
    q: float | None = None
    p: float | None = None


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one rule's inequality says of a token: `rule` as typed, both sides, whether they stand as `sense` says."""

    rule: str
    left: float
    sense: str
    right: float
    keeps: bool


@dataclass(frozen=True, slots=True)
class Token:
    """A token of the answer. q and p are its probabilities at temperature 1; they and turned_down's are there only
    when the run was asked for numbers or detail, expert_top and the opinions only with detail."""

    id: int
    bytes: bytes
    text: str
    status: Status
    log_p: float | None = None
    """ln p at temperature 1 where the expert's row was at hand, in nats."""
    gap: float | None = None
    """Distance of the expert's two best logits; only for the expert alone at temperature 0."""
    q: float | None = None
    p: float | None = None
    expert_top: tuple[tuple[int, str, float], ...] = ()
    opinion: Opinion | None = None
    """What the arm's rule said of the drafted token at this position."""
    others: tuple[Opinion, ...] = ()
    """What the other rules, at their default alphas, would have said of it."""
    turned_down: Piece | None = None
    charged: float | None = None
    """Nats of the budget that it took; None where there is none."""
    level: int | None = None
    """Of a drafted token of a chain: 1 where the first drafter wrote it, 2 where the drafter did."""


@dataclass(frozen=True, slots=True)
class Started:
    """An arm begins; its prompt is already in the caches, but for the last token."""

    arm: str
    rule: str | None
    alpha: float | None
    k: int | str | None
    """Draft length: a number, "auto", or None for a sequential arm."""
    prompt_tokens: int
    prefill_seconds: float = 0.0
    """What reading the prompt took in the models that this arm needs."""
    step_cost: float | None = None
    """Bytes of weights that a step of the drafter reads, over the expert's; None where that is not known."""
    budget: float | None = None
    """Nats that the rule may cost in this answer; None where there is no limit, and for an arm without a rule."""


@dataclass(frozen=True, slots=True)
class Drafted:
    """A draft was sent to the expert; not yet judged."""

    arm: str
    round: int
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """A round was decided. Times in milliseconds; `t_ms` since the arm started, consumers' time included."""

    arm: str
    round: int
    at: int
    """Index in the answer of the round's first token."""
    k: int | str | None
    tokens: tuple[Token, ...]
    discarded: tuple[Piece, ...]
    drafted: int
    expert_calls: int
    t_ms: float
    draft_ms: float
    verify_ms: float
    mode: str = "on"
    source: str = "drafter"


@dataclass(frozen=True, slots=True)
class Finished:
    """An arm ended. Seconds: `seconds` from start to the last token, wall clock; `held` what consumers took of it."""

    arm: str
    finish: Finish
    tail: str
    """Text that was held back and settled only now."""
    seconds: float
    draft_seconds: float
    verify_seconds: float
    held: float
    drafter_steps: int | None = None
    """Calls of the drafter while the answer was written."""


Event = Started | Drafted | Judged | Finished
