"""Figures of an arm: every formula of docs/json.md on events made by hand, and a score on a table of numbers.

Nothing here runs the loop; that the loop's events add up is tested beside it.
"""

from dataclasses import fields, replace

import numpy as np
import pytest

from speccas.core.decoding.events import Event, Finish, Finished, Judged, Piece, Started, Status, Token
from speccas.core.decoding.sampling import Distribution
from speccas.core.decoding.table import TableModel
from speccas.core.record.log_prob import mean_log_prob
from speccas.core.record.metrics import Figures, Fold, against

PIECE = Piece(9, b"x", "x")


def token(id: int, status: Status, log_p: float | None = -1.0, text: str = "t", gap: float | None = None) -> Token:
    return Token(id, text.encode(), text, status, log_p, gap, turned_down=PIECE if status is Status.DEFERRED else None)


def judged(number: int, at: int, tokens: tuple[Token, ...], drafted: int, discarded: int = 0, calls: int = 1) -> Judged:
    t_ms = 100.0 * number
    return Judged("a", number, at, 4, tokens, (PIECE,) * discarded, drafted, calls, t_ms, 10.0, 50.0)


A, K, D, B = Status.AGREED, Status.KEPT, Status.DEFERRED, Status.BONUS
ROUNDS: list[Event] = [
    Started("token:0.5", "token", 0.5, 4, 7),
    judged(1, 0, (token(1, A), token(2, K, -2.0), token(3, D, -0.5)), drafted=4, discarded=1),
    judged(2, 3, (token(4, A), token(5, A), token(6, A), token(7, A), token(8, B, -4.0)), drafted=4),
    judged(3, 8, (token(9, D),), drafted=3, discarded=2),
    judged(4, 9, (token(10, B),), drafted=0),
]
END = Finished("a", Finish.LENGTH, "tail", 0.4, 0.05, 0.25, 0.04)


def folded(events: list[Event], prefill_seconds: float = 0.0, scored: float | None = None) -> Figures:
    fold = Fold(scored=scored)
    for event in events:
        fold(replace(event, prefill_seconds=prefill_seconds) if isinstance(event, Started) else event)
    return fold.figures()


def test_every_formula() -> None:
    told = folded([*ROUNDS, END], prefill_seconds=1.5)
    assert told.as_json() == {
        "name": "token:0.5",
        "rule": "token",
        "alpha": 0.5,
        "text": "t" * 10 + "tail",
        "finish": "length",
        "tokens": 10,
        "seconds": 0.4,
        "tokens_per_second": pytest.approx(25.0),
        "speedup": None,
        "ttft_ms": pytest.approx(1600.0),  # the prefill and the first round
        "prefill_seconds": 1.5,
        "draft_seconds": 0.05,
        "verify_seconds": 0.25,
        "overhead_seconds": pytest.approx(0.06),
        "drafted": 11,
        "judged": 8,
        "agreed": 5,
        "kept": 1,
        "deferred": 2,
        "bonus": 2,
        "discarded": 3,
        "looked_up": 0,
        "looked_up_accepted": 0,
        "alone": 0,
        "mode": "on",
        "rounds_off": 0,
        "expert_calls": 4,
        "acceptance": pytest.approx(6 / 8),
        "tokens_per_expert_call": pytest.approx(2.5),
        "expert_logprob": pytest.approx(-1.35),
        "identical_to_expert": None,
        "first_difference": None,
        "first_difference_gap": None,
        "drafter_steps": None,
        "speedup_if_flat": None,
        "speedup_low": None,
        "speedup_high": None,
        "charged": None,
        "budget_left": None,
        "by_first": None,
    }
    assert set(told.as_json()) == {field.name for field in fields(Figures)}


@pytest.mark.parametrize(
    ("steps", "cost", "expected"),
    [
        (12, 0.25, 10 / (4 + 3)),
        (12, None, None),  # a header that does not say what a step reads
        (None, 0.25, None),  # a recording of version 0.1
        (0, None, 10 / 4),  # all drafts were looked up
    ],
)
def test_the_speed_up_without_a_machine(steps: int | None, cost: float | None, expected: float | None) -> None:
    """10 tokens in 4 calls of the expert; no time is in it."""
    assert isinstance(ROUNDS[0], Started)
    events = [replace(ROUNDS[0], step_cost=cost), *ROUNDS[1:], replace(END, drafter_steps=steps)]
    told = folded(events)
    assert told.drafter_steps == steps
    assert told.speedup_if_flat == (None if expected is None else pytest.approx(expected))
    slow = [replace(e, seconds=9.0, verify_seconds=8.0) if isinstance(e, Finished) else e for e in events]
    assert folded(slow).speedup_if_flat == told.speedup_if_flat


def test_an_arm_that_never_finished() -> None:
    told = folded(ROUNDS[:3])
    assert (told.finish, told.tokens, told.text) == ("interrupted", 8, "t" * 8)
    assert told.seconds == pytest.approx(0.2)
    assert (told.draft_seconds, told.verify_seconds) == pytest.approx((0.02, 0.1))
    assert told.overhead_seconds == pytest.approx(0.08)
    nothing = folded([ROUNDS[0]])
    assert (nothing.tokens, nothing.seconds, nothing.tokens_per_second, nothing.ttft_ms) == (0, 0.0, None, None)
    assert (nothing.acceptance, nothing.tokens_per_expert_call, nothing.expert_logprob) == (None, None, None)


def test_one_model_alone_has_no_counts() -> None:
    started = Started("expert", None, None, None, 7)
    rounds = [judged(i, i - 1, (token(i, Status.EXPERT),), 0) for i in (1, 2, 3)]
    told = folded([started, *rounds, END])
    counts = (told.drafted, told.judged, told.agreed, told.kept, told.deferred, told.bonus, told.discarded)
    assert counts == (None,) * 7
    assert (told.acceptance, told.alone, told.expert_calls, told.tokens_per_expert_call) == (None, 3, 3, 1.0)


def test_log_prob_that_the_run_did_not_see() -> None:
    """One token that the expert never judged, and only a score made afterwards is a mean."""
    rounds = [judged(1, 0, (token(1, Status.DRAFTER, None), token(2, Status.EXPERT)), 0)]
    events: list[Event] = [Started("token-cascade", "token-cascade", 0.3, None, 7), *rounds, END]
    assert folded(events).expert_logprob is None
    assert folded(events, scored=-0.7).expert_logprob == -0.7


def test_overhead_is_never_negative() -> None:
    assert folded([*ROUNDS, replace(END, held=9.0)]).overhead_seconds == 0.0


def alone(ids: list[int]) -> list[Token]:
    return [token(id, Status.EXPERT, gap=0.1 * i) for i, id in enumerate(ids)]


@pytest.mark.parametrize(
    ("ids", "identical", "first", "gap"),
    [
        ([5, 6, 7, 8], True, None, None),
        ([5, 6, 9, 8], False, 2, 0.2),
        ([9], False, 0, 0.0),
        ([5, 6], False, 2, 0.2),  # ended early: the expert went on with 7
        ([5, 6, 7, 8, 9], False, 4, None),  # went on where the expert ended
        ([], False, 0, 0.0),
    ],
)
def test_against_the_expert(ids: list[int], identical: bool, first: int | None, gap: float | None) -> None:
    baseline = replace(folded([*ROUNDS, END]), tokens_per_second=10.0)
    arm = folded([*ROUNDS, END])
    told = against(arm, alone(ids), baseline, alone([5, 6, 7, 8]), comparable=True)
    assert told.speedup == pytest.approx(2.5)
    assert told.identical_to_expert is identical
    assert told.first_difference == first
    assert told.first_difference_gap == (None if gap is None else pytest.approx(gap))
    sampled = against(arm, alone(ids), baseline, alone([5, 6, 7, 8]), comparable=False)
    assert (sampled.identical_to_expert, sampled.first_difference, sampled.first_difference_gap) == (None, None, None)
    assert sampled.speedup == pytest.approx(2.5)


@pytest.mark.parametrize("ids", [[5, 6], [], [5, 6, 7, 8]])
def test_the_end_of_an_interrupted_arm_is_no_difference(ids: list[int]) -> None:
    """Nobody knows how a prefix of the expert's text would have gone on; what differs before the end does differ."""
    arm = folded([*ROUNDS, replace(END, finish=Finish.INTERRUPTED)])
    told = against(arm, alone(ids), arm, alone([5, 6, 7, 8]), comparable=True)
    assert (told.identical_to_expert, told.first_difference, told.first_difference_gap) == (None, None, None)
    other = against(arm, alone([5, 9]), arm, alone([5, 6, 7, 8]), comparable=True)
    assert (other.identical_to_expert, other.first_difference) == (False, 1)


@pytest.mark.parametrize("held", [0, 1, 3, 6, 8])
@pytest.mark.parametrize("rows", [1, 3, 17])
def test_score(held: int, rows: int) -> None:
    """Whatever the cache holds of prompt and answer, and however many rows a call may ask for."""
    logits = np.random.default_rng(1).normal(0, 1, (6, 6)).astype(np.float32)
    prompt, answer = [0, 3, 5], [1, 1, 4, 2, 0, 3]
    model = TableModel(logits, max_rows=rows)
    if held:
        model.extend([*prompt, *answer][:held], rows=0)
    ids = [*prompt, *answer]
    expected = [Distribution(logits[ids[i - 1]]).log_prob(ids[i]) for i in range(3, 9)]
    assert mean_log_prob(model, prompt, answer) == pytest.approx(sum(expected) / 6)
    assert model.ids == ids[:-1]
    assert mean_log_prob(model, prompt, []) is None
