"""The repetition penalty: as llama.cpp has it, on both models alike, and `exact` exact against the penalised expert.

Tables whose penalised rows are worked out here by a plain loop, and the tiny pair's real rows with llama.cpp's sampler.
"""

import ctypes
import itertools
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import llama_cpp
import numpy as np
import pytest

from speccas.core.decoding.answer import Lexicon, Request
from speccas.core.decoding.arms import parse_arm
from speccas.core.decoding.deferral import Position
from speccas.core.decoding.detail import review
from speccas.core.decoding.drafts.second_model import SecondModel, Spelling
from speccas.core.decoding.events import Event, Judged, Token
from speccas.core.decoding.length.acceptance import LookupStatistics
from speccas.core.decoding.length.policy import FixedPolicy
from speccas.core.decoding.model import LanguageModel
from speccas.core.decoding.penalty import NO_PENALTY, Penalty
from speccas.core.decoding.positions import ExpertRows
from speccas.core.decoding.sampling import Distribution, Floats, Probabilities, Sampling, distribution
from speccas.core.decoding.table import TableModel
from speccas.core.decoding.verify import VERIFIERS
from speccas.core.files.profiles import Profile
from speccas.core.files.source import Source
from speccas.core.headers.vocabulary import Relation, compare
from speccas.core.record.log_prob import mean_log_prob
from speccas.core.runtime.backend import LoadOptions
from speccas.core.runtime.pair import Pair, load_pair
from tests.builders.loaded import asked, prefill
from tests.builders.models import TINY
from tests.builders.tiers import few_fast
from tests.core.decoding.drafts.test_overlapping import DRAFTER, EXPERT, tokens
from tests.core.decoding.toys import RULES, Joint, Run, Same, Toy, near, p_value, play, table

STRONG = Penalty(1.7, 3)
SIZE = 6


def held(row: Floats, before: Sequence[int], penalty: Penalty) -> Floats:
    """A row behind these tokens, by the definition."""
    last = before if penalty.last_n < 0 else before[len(before) - min(len(before), penalty.last_n) :]
    strength = np.float32(penalty.repeat)
    found = [x if token not in last else x / strength if x > 0 else x * strength for token, x in enumerate(row)]
    return np.array(found, dtype=np.float32)


def by_llama_cpp(row: Floats, before: Sequence[int], penalty: Penalty) -> Floats:
    """A row behind these tokens, by llama.cpp's own sampler."""
    last_n = len(before) if penalty.last_n < 0 else penalty.last_n  # as its commands resolve -1
    sampler = llama_cpp.llama_sampler_init_penalties(len(row), last_n, penalty.repeat, 0.0, 0.0)
    for token in before:
        llama_cpp.llama_sampler_accept(sampler, int(token))
    data = (llama_cpp.llama_token_data * len(row))()
    view = np.ctypeslib.as_array(data)
    view["id"], view["logit"] = range(len(row)), row
    candidates = llama_cpp.llama_token_data_array(data, len(row), -1, False)
    llama_cpp.llama_sampler_apply(sampler, ctypes.byref(candidates))
    llama_cpp.llama_sampler_free(sampler)
    return np.array(view["logit"], dtype=np.float32)


# --- the definition ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("repeat", [1.0, 1.1, 1.7, 0.8])
@pytest.mark.parametrize("last_n", [0, 1, 3, 64, -1])
def test_it_is_llama_cpps(repeat: float, last_n: int) -> None:
    """Bit for bit: above 0, at 0 and below, tokens that stand there twice, and a text shorter than the window."""
    random, penalty = np.random.default_rng(5), Penalty(repeat, last_n)
    for length in (0, 1, 2, 9, 90):
        row = random.normal(0, 3, 24).astype(np.float32)
        row[:3] = 0.0
        before = random.integers(0, 12, length).tolist()
        found = penalty.of(row, penalty.window(before)) if penalty.on else row
        assert found.tolist() == by_llama_cpp(row, before, penalty).tolist() == held(row, before, penalty).tolist()
        assert penalty.on or (repeat == 1.0 or last_n == 0)


def test_a_row_of_the_model_is_left_as_it_was() -> None:
    row = np.arange(-3, 3, dtype=np.float32)
    before = row.copy()
    STRONG.of(row, STRONG.window([0, 5, 5]))
    assert row.tolist() == before.tolist()


# --- toys: three kinds of vocabulary ----------------------------------------------------------------------------------


def penalised(model: TableModel, penalty: Penalty) -> TableModel:
    """A table that holds back what stands before, for runs without a penalty. It must be asked in whole."""
    return TableModel(
        lambda before: held(np.asarray(model.row(before), dtype=np.float32), before, penalty), order=1 << 20
    )


SUBSET = tokens(["a", "b", "c"], [])
"""Tokens of the expert, not all of them."""
SPELLINGS: dict[str, Callable[[], tuple[Spelling, int]]] = {
    "one": lambda: (Same(), SIZE),
    "overlapping": lambda: (compare(DRAFTER, EXPERT), len(DRAFTER)),
    "subset": lambda: (compare(SUBSET, EXPERT), len(SUBSET)),
}
"""How a drafter spells the expert's six tokens, and the size of its own vocabulary."""


def toy(kind: str, seed: int = 17) -> Toy:
    spelling, size = SPELLINGS[kind]()
    large = table(seed, SIZE, order=2)
    small = near(large, seed + 1, spread=0.6) if size == SIZE else table(seed + 1, size, order=2)
    return Toy(TableModel(large, 2), TableModel(small, 2), spelling=spelling)


def run(pair: Toy, arm: str, request: Request, k: int = 4, lookup: bool = False) -> Run:
    pair.prefill(request.prompt)
    statistics = LookupStatistics() if lookup else None
    events = play(
        parse_arm(arm), FixedPolicy(k), pair.judge, pair.drafter, request, pair.lexicon, pair.clock, statistics
    )
    return Run(list(events))


def request(penalty: Penalty, temperature: float = 0.0, seed: int = 0, tokens: int = 40, **more: object) -> Request:
    sampling = Sampling(temperature, seed=seed, penalty=penalty)
    return Request((0, 1, 4, 1), sampling, tokens, **more)  # type: ignore[arg-type]


def test_the_vocabularies_are_of_three_kinds() -> None:
    kinds = {name: made()[0] for name, made in SPELLINGS.items()}
    assert kinds["one"].shared is None
    assert getattr(kinds["overlapping"], "relation", None) is Relation.OVERLAPPING
    assert getattr(kinds["subset"], "relation", None) is Relation.SUBSET


PENALTIES = [Penalty(2.5, 1), STRONG, Penalty(1.3, -1), Penalty(0.7, 8)]


@pytest.mark.parametrize("penalty", few_fast(PENALTIES, 1), ids=str)
@pytest.mark.parametrize("temperature", [0.0, 0.9])
@pytest.mark.parametrize("kind", SPELLINGS)
def test_exact_is_the_penalised_expert_alone(kind: str, temperature: float, penalty: Penalty) -> None:
    """Of one seed, token for token: a table that holds back what stands before, and the expert alone with a penalty,
    and every length of draft, with drafts from the text too."""
    pair = toy(kind)
    plain = request(NO_PENALTY, temperature, seed=5)
    own = run(Toy(penalised(pair.expert, penalty), pair.small), "expert", plain)
    assert own.ids != run(pair, "expert", plain).ids, "the penalty changes this text"
    alone = run(pair, "expert", request(penalty, temperature, seed=5))
    assert alone.ids == own.ids
    looked_up = 0
    for k, lookup in itertools.product(range(1, 9), (False, True)):
        found = run(pair, "exact", request(penalty, temperature, seed=5), k, lookup)
        assert found.ids == own.ids, (k, lookup)
        looked_up += sum(len(each.tokens) for each in found.rounds if each.source == "lookup")
    assert looked_up > 0 and any(each.drafted > 1 for each in found.rounds)


def without_drafts(self: ExpertRows, i: int) -> Distribution:
    """A broken loop: the window of every row ends with what is committed."""
    return Distribution(self.penalty.of(distribution(self.rows[i]).logits, self.ids[: self.kept]))


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_sees_a_window_without_drafts(temperature: float, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = toy("one")
    asked = request(STRONG, temperature, seed=5)
    alone = run(pair, "expert", asked)
    monkeypatch.setattr(ExpertRows, "__call__", without_drafts)
    assert run(pair, "expert", asked).ids == alone.ids
    assert run(pair, "exact", asked, k=4).ids != alone.ids


@pytest.mark.parametrize("temperature", [0.0, 0.9])
@pytest.mark.parametrize("penalty", PENALTIES, ids=str)
def test_q_is_penalised_as_p_is(penalty: Penalty, temperature: float) -> None:
    """A drafter that is the expert itself is always right, with any penalty."""
    table = toy("one").expert
    pair = Toy(table, TableModel(table.row, order=2))
    found = run(pair, "exact", request(penalty, temperature, seed=2), k=4)
    assert not any(token.turned_down for token in found.tokens) and len(found.rounds) == 8


@pytest.mark.parametrize("temperature", [0.0, 0.9])
@pytest.mark.parametrize("arm", ["drafter", "token-cascade:0.6", "answer-cascade:0.9"])
def test_the_drafter_alone_is_penalised_too(arm: str, temperature: float) -> None:
    pair = toy("one")
    own = Toy(penalised(pair.expert, STRONG), penalised(pair.small, STRONG))
    found = run(pair, arm, request(STRONG, temperature, seed=4))
    assert found.ids == run(own, arm, request(NO_PENALTY, temperature, seed=4)).ids


@pytest.mark.parametrize("kind", ["overlapping", "subset"])
def test_a_drafter_of_another_vocabulary_is_penalised_over_the_experts_ids(kind: str) -> None:
    """Entries of its row that are tokens of the expert are held back where those stand in the text; no other is."""
    spelling, size = SPELLINGS[kind]()
    shared = spelling.shared
    assert shared is not None
    small = TableModel(table(7, size, order=2), 2)
    drafter = SecondModel(small, spelling, 1000)
    drafter.observe([0, 3, 1, 4, 0])
    found = drafter.next(Sampling(penalty=Penalty(1.7, 4)))
    assert found is not None
    row = np.asarray(small.row(drafter.spelled), dtype=np.float32).copy()
    entries = {token: shared.places(np.array([token], dtype=np.int32)).tolist() for token in range(SIZE)}
    assert [] in entries.values(), "a token that the drafter lacks"
    for entry in itertools.chain(*(entries[token] for token in {3, 1, 4, 0})):
        row[entry] = row[entry] / 1.7 if row[entry] > 0 else row[entry] * 1.7
    wanted = {token: Distribution(row).prob(mine[0]) for token, mine in entries.items() if mine}
    assert {token: found.q1.prob(token) for token in wanted} == pytest.approx(wanted, rel=1e-5)
    assert found.mass == pytest.approx(sum(wanted.values()), rel=1e-5)


# --- every rule's distribution ----------------------------------------------------------------------------------------

PROMPT, LENGTH, SMALLEST = (0, 1), 3, 5
LARGE = table(52, SMALLEST, order=2, spread=1.4)
SMALL = near(LARGE, 53, spread=1.2)
TWO = Penalty(1.8, 2)


def joint(pi: Callable[[Position], Probabilities], sampling: Sampling) -> Joint:
    """All answers of LENGTH tokens under pi of the penalised tables, by enumeration."""
    found: Joint = {(): 1.0}
    for _ in range(LENGTH):
        longer: Joint = {}
        for answer, chance in found.items():
            before = (*PROMPT, *answer)
            q1, p1 = (Distribution(held(each[before[-2:]], before, TWO)) for each in (SMALL, LARGE))
            row = pi(Position(q1, p1, sampling))
            longer |= {(*answer, token): chance * float(row[token]) for token in range(SMALLEST)}
        found = longer
    return found


def written(arm: str, sampling: Sampling, samples: int) -> Counter[tuple[int, ...]]:
    pair = Toy(TableModel(LARGE, 2), TableModel(SMALL, 2), pieces=[b"-"] * SMALLEST)
    pair.prefill(PROMPT)
    found: Counter[tuple[int, ...]] = Counter()
    for seed in range(samples):
        drawn = Request(PROMPT, replace(sampling, seed=seed, penalty=TWO), LENGTH)
        found[tuple(Run(list(pair.events(arm, drawn, k=(1, 2, 4)[seed % 3]))).ids)] += 1
    return found


def promised(arm: str, sampling: Sampling) -> Joint:
    rule = parse_arm(arm).rule
    assert rule is not None
    return joint(rule.pi, sampling)


@pytest.mark.parametrize("test", VERIFIERS)
@pytest.mark.parametrize("arm", few_fast(RULES, 1))
def test_output_follows_the_rule_on_penalised_distributions(arm: str, test: str) -> None:
    sampling = Sampling(0.8, test=test)
    found = written(arm, sampling, 600)
    assert p_value(found, promised(arm, sampling)) > 1e-4


def test_that_test_sees_a_window_without_drafts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ExpertRows, "__call__", without_drafts)
    sampling = Sampling(0.8, test="token")
    assert p_value(written("exact", sampling, 600), promised("exact", sampling)) < 1e-6


# --- what is told -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_every_number_that_is_told_is_of_the_penalised_distributions(temperature: float) -> None:
    pair = toy("one")
    told = request(STRONG, temperature, seed=9, detail=True)
    found = run(pair, "token:0.4", told)
    before = list(told.prompt)
    for token in found.tokens:
        q1, p1 = (
            Distribution(held(np.asarray(each.row(before), dtype=np.float32), before, STRONG))
            for each in (pair.small, pair.expert)
        )
        assert token.p == pytest.approx(p1.prob(token.id)) and token.log_p == pytest.approx(p1.log_prob(token.id))
        assert token.q is None or token.q == pytest.approx(q1.prob(token.id))
        assert token.expert_top is not None and token.expert_top[0][0] == p1.argmax
        down = token.turned_down
        if down is not None:
            assert [down.q, down.p] == pytest.approx([q1.prob(down.id), p1.prob(down.id)])
        before.append(token.id)


def numbers(token: Token) -> tuple[object, ...]:
    return token.id, token.q, token.p, token.opinion, token.others, token.expert_top, token.turned_down


def test_a_round_that_is_evaluated_again_says_the_same() -> None:
    pair, arm = toy("one"), parse_arm("token:0.4")
    asked = request(STRONG, 0.9, seed=9)
    full = run(pair, arm.name, replace(asked, detail=True))
    for bare, detailed in zip(run(pair, arm.name, asked).rounds, full.rounds, strict=True):
        text = (*asked.prompt, *full.ids[: bare.at])
        pair.prefill(text)
        again = review(arm, pair.judge, pair.drafter, replace(asked, prompt=text), pair.lexicon, bare)
        assert list(map(numbers, again.tokens)) == list(map(numbers, detailed.tokens))


@pytest.mark.parametrize("rows", [1, 3, 17])
def test_a_text_is_scored_as_it_would_have_been_judged(rows: int) -> None:
    pair = toy("one")
    asked = request(STRONG, 0.9, seed=1)
    own = run(pair, "expert", asked)
    wanted = sum(token.log_p or math.nan for token in own.tokens) / len(own.tokens)
    model = TableModel(pair.expert.row, order=2, max_rows=rows)
    assert mean_log_prob(model, asked.prompt, own.ids, STRONG) == pytest.approx(wanted)
    assert mean_log_prob(model, asked.prompt, own.ids) != pytest.approx(wanted, rel=1e-3)


# --- real models ------------------------------------------------------------------------------------------------------

SONG = "Repeat this text: round and round the wheels go, round and round, and all through the town."


def greedy(model: LanguageModel, prompt: Sequence[int], penalty: Penalty, count: int) -> list[int]:
    """What llama.cpp's own sampler picks behind a prompt that the cache holds but for its last token."""
    ids = list(prompt)
    for _ in range(count):
        row = distribution(model.extend(ids[-1:])[0]).logits
        ids.append(int(by_llama_cpp(row, ids, penalty).argmax()))
    return ids[len(prompt) :]


def real_run(
    pair: Pair, arm: str, prompt: Sequence[int], sampling: Sampling, count: int, k: int, lookup: bool
) -> list[Event]:
    asked = Request(tuple(prompt), sampling, count, ignore_eos=True)
    statistics = LookupStatistics() if lookup else None
    lexicon: Lexicon = pair.lexicon
    parsed, policy = parse_arm(arm), FixedPolicy(k)
    return list(play(parsed, policy, pair.expert, pair.second_model, asked, lexicon, time.perf_counter, statistics))


@pytest.mark.slow
@pytest.mark.tiny
@pytest.mark.parametrize(("penalty", "ks"), [(Penalty(1.15, 64), (1, 4, 5, 8)), (Penalty(1.4, -1), (2, 3, 6, 7))])
def test_on_the_tiny_pair_exact_is_llama_cpps_penalised_greedy_choice(
    tiny: Pair, penalty: Penalty, ks: Sequence[int]
) -> None:
    assert tiny.vocabulary.relation is Relation.SUBSET
    prompt, count = asked(tiny, SONG).ids, 16
    prefill(tiny, prompt)
    wanted = greedy(tiny.expert, prompt, penalty, count)
    assert wanted != greedy_without(tiny, prompt, count)
    drafted = 0
    for k in ks:
        prefill(tiny, prompt)
        events = real_run(tiny, "exact", prompt, Sampling(penalty=penalty), count, k, lookup=k % 2 == 0)
        judged = [event for event in events if isinstance(event, Judged)]
        assert [token.id for each in judged for token in each.tokens] == wanted, k
        drafted += sum(each.drafted for each in judged)
    assert drafted > 20


@pytest.mark.parametrize("k", few_fast(range(1, 9), 1))
def test_on_a_real_pair_of_one_vocabulary_too_and_its_own_drafts_are_right(k: int) -> None:
    """The tiny drafter as its own expert."""
    penalty, count, source = Penalty(1.4, 24), 16, Source(path=str(TINY))
    with load_pair(Profile("twins", source, source), LoadOptions(ctx=256, threads=1)) as pair:
        assert pair.vocabulary.relation is Relation.IDENTICAL
        prompt = asked(pair, SONG).ids
        prefill(pair, prompt)
        wanted = greedy(pair.expert, prompt, penalty, count)
        prefill(pair, prompt)
        events = real_run(pair, "exact", prompt, Sampling(penalty=penalty), count, k, lookup=False)
        written = [token for event in events if isinstance(event, Judged) for token in event.tokens]
        assert [token.id for token in written] == wanted
        assert not any(token.turned_down for token in written)


def greedy_without(pair: Pair, prompt: Sequence[int], count: int) -> list[int]:
    prefill(pair, prompt)
    return greedy(pair.expert, prompt, NO_PENALTY, count)
