"""Events of one arm folded into its figures (docs/json.md). Never reads a clock and never tokenises.

Formulas: acceptance = accepted / judged, accepted = agreed + kept, judged = accepted + deferred; tokens per expert call
= tokens / expert calls, bonus included; overhead = seconds - time in both models - time consumers held the generator.
"""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from typing import Any

from ..decoding.events import Event, Finish, Finished, Judged, Started, Status, Token
from ..errors import ExpertLost

ACCEPTED = (Status.AGREED, Status.KEPT)


@dataclass(frozen=True, slots=True)
class Figures:
    """One arm in the public shape, field for field; what does not apply is None."""

    name: str
    rule: str | None
    alpha: float | None
    text: str
    finish: str
    tokens: int
    seconds: float
    tokens_per_second: float | None
    speedup: float | None
    ttft_ms: float | None
    prefill_seconds: float
    draft_seconds: float
    verify_seconds: float
    overhead_seconds: float
    drafted: int | None
    judged: int | None
    agreed: int | None
    kept: int | None
    deferred: int | None
    bonus: int | None
    discarded: int | None
    looked_up: int | None
    """Drafted tokens that were looked up in the text; of those `looked_up_accepted` were accepted."""
    looked_up_accepted: int | None
    alone: int
    mode: str
    """"on", "off" or "mixed": whether speculation was on in every round, in none, or in some."""
    rounds_off: int
    expert_calls: int
    acceptance: float | None
    tokens_per_expert_call: float | None
    expert_logprob: float | None
    identical_to_expert: bool | None
    first_difference: int | None
    first_difference_gap: float | None
    drafter_steps: int | None = None
    """Calls of the drafter while the answer was written; looked-up drafts take none."""
    speedup_if_flat: float | None = None
    """The speed-up if a call of the expert cost the same however many tokens it reads, by counts alone: tokens /
    (expert calls + c x drafter steps), c being the bytes of weights that a step reads, the drafter's over the expert's
    (Leviathan et al., arXiv 2211.17192, with what was counted in place of expectations)."""
    speedup_low: float | None = None
    """The speed-up against the faster and (`speedup_high`) the slower of two measurements of the expert alone."""
    speedup_high: float | None = None
    charged: float | None = None
    """Nats of the budget that the answer took; None where there is none."""
    budget_left: float | None = None
    """What is left of it."""
    by_first: int | None = None
    """Accepted tokens that a chain's first drafter wrote; None where there is no chain."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> "Figures":
        """What was written by this version or an earlier one: keys that came later, those with a default, may be
        missing. Raises KeyError for any other."""
        return cls(**given_of(cls, line))


def given_of(kind: type[Any], line: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a dataclass out of a line; those with a default may be missing. Raises KeyError for any other."""
    return {each.name: line[each.name] for each in fields(kind) if each.default is MISSING or each.name in line}


@dataclass
class Fold:
    """Feed it the events of one arm; `figures` is right at any time, also when the arm never finished."""

    started: Started | None = None
    finished: Finished | None = None
    tokens: list[Token] = field(default_factory=list)
    rounds: list[Judged] = field(default_factory=list)
    lost: ExpertLost | None = None
    """Why the answer was cut short, where the expert was lost."""
    scored: float | None = None
    """Mean ln p that the expert gave afterwards, where it did not see every token while it was written."""

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            self.started = event
        elif isinstance(event, Judged):
            self.rounds.append(event)
            self.tokens.extend(event.tokens)
        elif isinstance(event, Finished):
            self.finished = event

    @property
    def name(self) -> str:
        return self.started.arm if self.started else ""

    @property
    def text(self) -> str:
        return "".join(token.text for token in self.tokens) + (self.finished.tail if self.finished else "")

    def figures(self) -> Figures:
        start, end, rounds = self.started, self.finished, self.rounds
        assert start is not None
        count = {status: sum(token.status is status for token in self.tokens) for status in Status}
        ruled = start.k is not None
        copied = [each for each in rounds if each.source == "lookup"]
        agreed, kept, deferred = count[Status.AGREED], count[Status.KEPT], count[Status.DEFERRED]
        judged = agreed + kept + deferred
        calls = sum(each.expert_calls for each in rounds)
        seconds = end.seconds if end else (rounds[-1].t_ms / 1e3 if rounds else 0.0)
        draft = end.draft_seconds if end else sum(each.draft_ms for each in rounds) / 1e3
        verify = end.verify_seconds if end else sum(each.verify_ms for each in rounds) / 1e3
        log_p = [token.log_p for token in self.tokens]
        known = [value for value in log_p if value is not None]
        n = len(self.tokens)
        levels = [token.level for token in self.tokens]
        budget = start.budget if ruled else None
        charged = None if budget is None else sum(token.charged or 0.0 for token in self.tokens)
        return Figures(
            name=start.arm,
            rule=start.rule,
            alpha=start.alpha,
            text=self.text,
            finish=str(end.finish) if end else "interrupted",
            tokens=n,
            seconds=seconds,
            tokens_per_second=n / seconds if seconds > 0 else None,
            speedup=None,
            ttft_ms=1e3 * start.prefill_seconds + rounds[0].t_ms if rounds else None,
            prefill_seconds=start.prefill_seconds,
            draft_seconds=draft,
            verify_seconds=verify,
            overhead_seconds=max(0.0, seconds - draft - verify - (end.held if end else 0.0)),
            drafted=sum(each.drafted for each in rounds) if ruled else None,
            judged=judged if ruled else None,
            agreed=agreed if ruled else None,
            kept=kept if ruled else None,
            deferred=deferred if ruled else None,
            bonus=count[Status.BONUS] if ruled else None,
            discarded=sum(len(each.discarded) for each in rounds) if ruled else None,
            looked_up=sum(each.drafted for each in copied) if ruled else None,
            looked_up_accepted=sum(t.status in ACCEPTED for each in copied for t in each.tokens) if ruled else None,
            alone=count[Status.EXPERT] + count[Status.DRAFTER],
            mode="mixed" if {"on", "off"} == {each.mode for each in rounds} else rounds[0].mode if rounds else "on",
            rounds_off=sum(each.mode == "off" for each in rounds),
            expert_calls=calls,
            acceptance=(agreed + kept) / judged if ruled and judged else None,
            tokens_per_expert_call=n / calls if calls else None,
            expert_logprob=sum(known) / n if n and len(known) == n else self.scored,
            identical_to_expert=None,
            first_difference=None,
            first_difference_gap=None,
            drafter_steps=end.drafter_steps if end else None,
            speedup_if_flat=speedup_if_flat(n, calls, end.drafter_steps if end else None, start.step_cost),
            charged=charged,
            budget_left=None if budget is None or charged is None else max(0.0, budget - charged),
            by_first=sum(level == 1 for level in levels) if any(levels) else None,
        )


def speedup_if_flat(tokens: int, calls: int, steps: int | None, step_cost: float | None) -> float | None:
    """`Figures.speedup_if_flat`; None where a part of it is not known."""
    if steps is None or (steps and step_cost is None):
        return None
    cost = calls + steps * (step_cost or 0.0)
    return tokens / cost if cost and tokens else None


def against(
    figures: Figures, tokens: Sequence[Token], baseline: Figures, alone: Sequence[Token], comparable: bool
) -> Figures:
    """The same figures with the comparison to the expert alone, in the same run, filled in. `comparable`: chance is the
    same for both, so that `exact` writes the expert's text."""
    speedup = None
    if figures.tokens_per_second and baseline.tokens_per_second:
        speedup = figures.tokens_per_second / baseline.tokens_per_second
    if not comparable:
        return replace(figures, speedup=speedup)
    ids, reference = [t.id for t in tokens], [t.id for t in alone]
    if ids == reference and figures.finish != Finish.INTERRUPTED:
        return replace(figures, speedup=speedup, identical_to_expert=True)
    first = first_difference(ids, reference)
    if first == len(ids) and figures.finish == Finish.INTERRUPTED:
        return replace(figures, speedup=speedup)
    gap = alone[first].gap if first < len(alone) else None
    return replace(
        figures, speedup=speedup, identical_to_expert=False, first_difference=first, first_difference_gap=gap
    )


def first_difference(ids: Sequence[int], reference: Sequence[int]) -> int:
    """Index of the first token that differs, or where the shorter one ends."""
    pairs = enumerate(zip(ids, reference, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(ids), len(reference)))
