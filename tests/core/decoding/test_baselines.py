"""The baselines: each model alone, and the two sequential cascades, on tables whose every choice is known.

Knows nothing of rules beyond the one that token-cascade shares with `confidence`.
"""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from speccas.core.decoding.baselines import LONGEST_RUN
from speccas.core.decoding.events import Finish, Started, Status
from speccas.core.decoding.rules import Confidence
from speccas.core.decoding.sampling import Distribution, Sampling
from speccas.core.decoding.table import TableModel
from speccas.core.record.metrics import Figures, Fold
from tests.core.decoding.toys import Run, Toy, joint, near, p_value, pair, request, scripted, table, words

SIZE = 4


def told(run: Run) -> Figures:
    fold = Fold()
    for event in run.events:
        fold(event)
    return fold.figures()


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("answers", [500, pytest.param(8_000, marks=pytest.mark.slow)])
def test_token_cascade_is_sequential_chow(temperature: float, answers: int) -> None:
    """The same distribution as `confidence`, reached one token at a time."""
    large = table(2, SIZE, order=2)
    small = near(large, 3, spread=1.2)
    toy = Toy(TableModel(large, 2), TableModel(small, 2))
    assert 4 < sum(Distribution(row).max >= 0.55 for row in small.reshape(-1, SIZE)) < 12
    toy.prefill((0, 1))
    found: Counter[tuple[int, ...]] = Counter()
    for seed in range(answers):
        events = toy.events("token-cascade:0.45", request(temperature=temperature, max_tokens=3, seed=seed))
        found[tuple(Run(list(events)).ids)] += 1
    assert p_value(found, joint(large, small, (0, 1), 3, Confidence(0.45).pi, Sampling(temperature))) > 1e-4


def test_token_cascade_defers_by_the_drafters_best() -> None:
    toy = pair(6)
    run = toy.run("token-cascade:0.5", request(max_tokens=60))
    ids = [0, 1]
    for token in run.tokens:
        sure = Distribution(np.asarray(toy.small.row(ids), dtype=np.float32)).max >= 0.5
        assert token.status is (Status.DRAFTER if sure else Status.EXPERT)
        assert token.id == int(np.argmax((toy.small if sure else toy.expert).row(ids)))
        ids.append(token.id)
    assert {token.status for token in run.tokens} == {Status.DRAFTER, Status.EXPERT}
    assert [each.expert_calls for each in run.rounds] == [int(token.status is Status.EXPERT) for token in run.tokens]


def test_token_cascade_asks_the_expert_now_and_then() -> None:
    """Also where the drafter is always sure, so that the expert's cache does not fall behind without end."""
    run = pair(6).run("token-cascade:1", request(max_tokens=35))
    statuses = [token.status for token in run.tokens]
    period = [Status.DRAFTER] * LONGEST_RUN + [Status.EXPERT]
    assert statuses == (period * 4)[:35]


def test_the_expert_catches_up_in_one_batch() -> None:
    toy = pair(6)
    toy.prefill((0, 1))
    toy.expert.extends.clear()
    run = Run(list(toy.events("token-cascade:0.5", request(max_tokens=40))))
    assert len(toy.expert.extends) == told(run).expert_calls
    assert sum(tokens for _, tokens in toy.expert.extends) <= 40


def sure_pair(probability: float) -> Toy:
    """A drafter that writes b c b c with this probability each; an expert that writes d."""
    rest = (1 - probability) / 3
    row = {token: math.log(probability if token == 1 else rest) for token in range(4)}
    other = {**row, 1: row[2], 2: row[1]}
    rows = [[each[i] for i in range(4)] for each in (row, other, row, row)]
    small = TableModel(np.array(rows, dtype=np.float32))
    return Toy(TableModel(scripted([3], 4, otherwise=3)), small, words("a", "b", "c", "d"))


@pytest.mark.parametrize(
    ("probability", "alpha", "kept"), [(0.7, 0.35, True), (0.7, 0.25, False), (0.5, 0.4, False), (0.9, 0.2, True)]
)
def test_answer_cascade_decides_by_the_geometric_mean(probability: float, alpha: float, kept: bool) -> None:
    toy = sure_pair(probability)
    run = toy.run(f"answer-cascade:{alpha}", request((0,), max_tokens=6))
    assert run.text == ("bcbcbc" if kept else "dddddd")
    assert {token.status for token in run.tokens} == {Status.DRAFTER if kept else Status.EXPERT}
    assert [len(each.tokens) for each in run.rounds] == ([6] if kept else [1] * 6)
    assert told(run).expert_calls == (0 if kept else 6)


def test_answer_cascade_weighs_the_whole_answer() -> None:
    """One hesitation does not make a bad answer: the mean decides, not the least."""
    toy = pair(6)
    answer = toy.run("drafter", request(max_tokens=12)).ids
    logs = []
    for i, token in enumerate(answer):
        row = Distribution(np.asarray(toy.small.row([0, 1, *answer[:i]]), dtype=np.float32))
        logs.append(row.log_prob(token))
    mean = math.exp(sum(logs) / len(logs))
    assert min(logs) < math.log(mean) - 0.2
    for alpha, status in ((1 - mean + 1e-6, Status.DRAFTER), (1 - mean - 1e-6, Status.EXPERT)):
        run = toy.run(f"answer-cascade:{alpha:.9f}", request(max_tokens=12))
        assert {token.status for token in run.tokens} == {status}


def test_answer_cascade_ends_of_alpha() -> None:
    toy = pair(6)
    asked = request(max_tokens=12)
    assert toy.run("answer-cascade:1", asked).ids == toy.run("drafter", asked).ids
    assert toy.run("answer-cascade:0", asked).ids == toy.run("expert", asked).ids


def test_answer_cascade_with_a_drafter_that_has_no_room() -> None:
    """No whole answer fits it: the expert writes one."""
    toy = pair(6)
    alone = toy.run("expert", request(max_tokens=12)).ids
    toy.drafter.room = 6
    run = toy.run("answer-cascade:1", request(max_tokens=12))
    assert run.ids == alone
    assert run.finished.finish is Finish.LENGTH


def test_an_undecided_answer_is_not_told() -> None:
    """Stopped while the drafter still writes: there is no answer yet, and no end of one either."""
    script = [0, 1, 2, 1, 2]
    toy = Toy(TableModel(scripted(script, 4), 99), TableModel(scripted(script, 4), 99), words("a", "b", "c", "d"))
    toy.prefill((0,))
    toy.small.stop_after = len(toy.small.extends) + 3
    run = Run(list(toy.events("answer-cascade", request((0,), max_tokens=9, stop=("bd",)))))
    assert (run.tokens, run.text, run.finished.finish) == ([], "", Finish.INTERRUPTED)


@pytest.mark.parametrize("arm", ["expert", "drafter", "token-cascade", "answer-cascade"])
def test_what_is_told(arm: str) -> None:
    toy = pair(6)
    run = toy.run(arm, request(max_tokens=12))
    started = run.events[0]
    assert isinstance(started, Started)
    assert started.k is None
    assert (started.rule, started.alpha) == {
        "token-cascade": ("token-cascade", 0.3), "answer-cascade": ("answer-cascade", 0.4)
    }.get(arm, (None, None))  # fmt: skip
    figures = told(run)
    assert (figures.drafted, figures.judged, figures.agreed, figures.acceptance, figures.discarded) == (None,) * 5
    assert figures.alone == figures.tokens == 12
    assert all((token.log_p is None) == (token.status is Status.DRAFTER) for token in run.tokens)
    assert all((token.gap is None) == (token.status is Status.DRAFTER) for token in run.tokens)
    assert {each.mode for each in run.rounds} == {"off"}
    if arm == "expert":
        assert figures.expert_calls == 12
        assert run.ids == greedy(toy.expert, 12)
    if arm == "drafter":
        assert figures.expert_calls == 0
        assert figures.tokens_per_expert_call is None
        assert run.ids == greedy(toy.small, 12)


def greedy(model: TableModel, count: int) -> list[int]:
    ids = [0, 1]
    for _ in range(count):
        ids.append(int(np.argmax(model.row(ids))))
    return ids[2:]


@pytest.mark.parametrize("arm", ["expert", "drafter", "token-cascade:0.5", "answer-cascade:0", "exact", "confidence"])
def test_steps_of_the_drafter_are_its_calls(arm: str) -> None:
    """Those of reading the prompt are not among them; an answer that is thrown away had its steps too."""
    toy = pair(6)
    toy.prefill((0, 1, 2))
    toy.small.extends.clear()
    run = Run(list(toy.events(arm, request((0, 1, 2), max_tokens=40))))
    steps = run.finished.drafter_steps
    assert steps == len(toy.small.extends) == told(run).drafter_steps
    assert (steps == 0) == (arm == "expert")
    if arm == "answer-cascade:0":
        assert steps == told(run).expert_calls == 40


def test_the_gap_is_between_the_two_best_logits() -> None:
    toy = pair(6)
    run = toy.run("expert", request(max_tokens=9))
    for i, token in enumerate(run.tokens):
        best = np.sort(np.asarray(toy.expert.row([0, 1, *run.ids[:i]])))
        assert token.gap == pytest.approx(best[-1] - best[-2])
    sampled = request(temperature=0.5)
    assert all(0 <= (token.gap or 0) <= 0.5 for token in toy.run("expert", sampled).tokens)
    optimal = replace(sampled, sampling=replace(sampled.sampling, test="token"))
    assert {token.gap for token in toy.run("expert", optimal).tokens} == {None}
