"""Prompt lookup: what is found in a text, that it never changes what a rule promises, and that it pays its way.

Toy tables and simulated machines; `exact` with lookup on a real model is in test_greedy.py.
"""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speccas.core.decoding.answer import Lexicon, Request
from speccas.core.decoding.arms import parse_arm
from speccas.core.decoding.deferral import Position, keeps
from speccas.core.decoding.detail import review
from speccas.core.decoding.drafts.lookup import DEEPEST, PLACES, SHORT, PromptLookup
from speccas.core.decoding.drafts.second_model import SecondModel
from speccas.core.decoding.events import Status
from speccas.core.decoding.length.acceptance import AcceptanceModel, LookupStatistics
from speccas.core.decoding.length.auto import AutoPolicy
from speccas.core.decoding.length.latency import LatencyModel
from speccas.core.decoding.length.policy import FixedPolicy, Policy
from speccas.core.decoding.sampling import Distribution, Floats, Sampling
from speccas.core.decoding.table import TableModel, VirtualClock
from speccas.core.record.metrics import Figures, Fold
from tests.core.decoding.toys import RULES, Joint, Run, Same, Toy, p_value, pair, play, request, table

TRUSTING = ("exact", "token", "token-margin:0.3", "token-safe", "top-k:2", "typical:0.6")
"""The rules that do not look at q."""


def found(ids: Sequence[int], count: int) -> list[int]:
    """What stood behind the earlier place that agrees longest with the end of the text, of equals the latest, by
    looking at the latest PLACES places that end in the same pair."""
    text = list(ids)
    ends = [end for end in range(len(text) - 1, SHORT - 1, -1) if text[end - SHORT : end] == text[-SHORT:]][:PLACES]
    agree = {
        end: max(n for n in range(min(DEEPEST, end) + 1) if text[end - n : end] == text[len(text) - n :])
        for end in ends
    }
    if not ends:
        return []
    best = max(ends, key=agree.__getitem__)
    for i in range(count):
        text.append(text[best + i])
    return text[len(ids) :]


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(0, 40), st.integers(1, 20))
def test_a_draft_is_what_stood_behind_the_place_that_agrees_longest(ids: list[int], half: int, count: int) -> None:
    lookup = PromptLookup(LookupStatistics())
    lookup.observe(ids[:half])
    lookup.observe(ids)
    assert lookup.draft(count) == found(ids, count)
    assert (lookup.length > 0) == bool(lookup.draft(1))


def test_the_length_of_a_match_is_counted_back_from_both_places() -> None:
    lookup = PromptLookup(LookupStatistics())
    lookup.observe([9, 1, 2, 3, 4, 5, 6, 8, 1, 2, 3, 4, 5, 6])
    assert lookup.length == 6 and lookup.draft(3) == [8, 1, 2]
    lookup.observe([9, 1, 2, 3, 4, 5, 6, 8, 1, 2, 3, 4, 5, 6, *[0] * 40])
    assert lookup.length == DEEPEST


def test_the_record_learns_from_what_is_written_and_not_from_the_prompt() -> None:
    record = LookupStatistics()
    lookup = PromptLookup(record)
    lookup.observe([1, 2, 3, 1, 2, 3, 1, 2])
    assert sum(record.tries) == 0
    before = record.chance(5)
    lookup.observe([1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 9])
    assert sum(record.tries) == 4 and sum(record.hits) == 3
    assert record.chance(5) != before and record.faded(1).tries == [min(1.0, n) for n in record.tries]
    for _ in range(100):
        record.learn(2, False)
    assert record.chance(2) < 0.02


def echoing(seed: int) -> Toy:
    """A pair whose expert writes much of what stands in the text already: few tokens, short contexts."""
    return pair(seed, size=4, order=2, spread=2.0)


def decoded(toy: Toy, arm: str, asked: Request, drafting: Policy, lookup: LookupStatistics | None = None) -> Run:
    toy.prefill(asked.prompt)
    events = play(parse_arm(arm), drafting, toy.expert, toy.drafter, asked, toy.lexicon, toy.clock, lookup)
    return Run(list(events))


@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize("arm", RULES)
def test_caches_and_counts_hold_with_looked_up_drafts_and_rules_that_read_q_take_none(
    arm: str, temperature: float
) -> None:
    looked_up = 0
    for seed in range(6):
        toy = echoing(seed)
        asked = request((0, 1, 2, 0, 1, 3, 1, 0), temperature, seed=seed, detail=True)
        run = decoded(toy, arm, asked, FixedPolicy(3), LookupStatistics())
        toy.holds([*asked.prompt, *run.ids])
        for judged in run.rounds:
            looked_up += judged.source == "lookup"
            statuses = [token.status for token in judged.tokens]
            assert judged.drafted == len(judged.discarded) + sum(status is not Status.BONUS for status in statuses)
            if judged.source == "lookup":
                assert judged.draft_ms == 0 and all(token.q is None for token in judged.tokens)
                assert all(not parse_arm(o.rule).rule.reads_q for t in judged.tokens for o in t.others)  # type: ignore[union-attr]
    assert (looked_up > 0) == (arm in TRUSTING)


def test_greedy_exact_is_the_expert_alone_and_the_drafter_sleeps_through_looked_up_rounds() -> None:
    for seed in range(20):
        toy, asked = echoing(seed), request((0, 1, 2, 0, 1), max_tokens=40)
        run = decoded(toy, "exact", asked, FixedPolicy(5), LookupStatistics())
        assert run.ids == toy.run("expert", asked).ids
    steps = len(toy.small.extends)
    run = decoded(toy, "exact", asked, FixedPolicy(5), LookupStatistics())
    by_drafter = sum(each.drafted for each in run.rounds if each.source == "drafter")
    assert len(toy.small.extends) - steps <= by_drafter + 1  # and one for the prompt
    assert any(each.source == "lookup" for each in run.rounds)


ALL_PAIRS = (2, 0, 0, 1, 0, 2, 1, 1, 2, 2, 0)  # every pair of three tokens: the text always stood there before


def promised(large: Floats, small: Floats, rule: str, sampling: Sampling, k: int, length: int) -> Joint:
    """Every answer with its probability where every draft is looked up, by following each branch of each round."""
    chosen = parse_arm(rule).rule
    assert chosen is not None
    joint: Joint = Counter()  # type: ignore[assignment]

    def go(answer: tuple[int, ...], weight: float) -> None:
        if len(answer) == length:
            joint[answer] = joint.get(answer, 0.0) + weight
            return
        ids = (*ALL_PAIRS, *answer)
        drafted = found(ids, min(k, length - len(answer) - 1))
        if not drafted:  # the last token has no draft before it, and comes from the rule's pi as ever
            pi = chosen.pi(Position(Distribution(small[ids[-1]]), Distribution(large[ids[-1]]), sampling))
            for token, chance in enumerate(pi):
                go((*answer, token), weight * float(chance))
            return
        for i in range(len(drafted) + 1):
            row = Distribution(large[ids[-1]])
            p = Position(row, row, sampling, asked=False).p
            v = drafted[i] if i < len(drafted) else None
            sure = v is not None and keeps(chosen, v, Position(row, row, sampling, asked=False))
            for token in range(len(p)):
                if v is None or (token != v and not sure):
                    go((*ids[len(ALL_PAIRS) :], token), weight * float(p[token]))
            if v is None:
                return
            ids, weight = (*ids, v), weight * (1.0 if sure else float(p[v]))

    go((), 1.0)
    return joint


@pytest.mark.parametrize(
    ("rule", "temperature"), list(zip(("exact", *TRUSTING), itertools.cycle((1.0, 0.7)), strict=False))
)
@pytest.mark.parametrize("answers", [300, pytest.param(8_000, marks=pytest.mark.slow)])
def test_looked_up_drafts_are_point_masses(rule: str, temperature: float, answers: int) -> None:
    """Three tokens, many answers: accepted with p(v) or kept by the rule, replaced from p without v, the extra token
    from p. For `exact` that is the expert's own distribution."""
    large, sampling = table(5, 3, 1, 0.8), Sampling(temperature)
    small = table(6, 3, 1, 0.8)
    toy = Toy(TableModel(large), TableModel(small), (b"a", b"b", b"c"))
    expected = promised(large, small, rule, sampling, 2, 3)
    assert sum(expected.values()) == pytest.approx(1)
    if rule == "exact":
        rows = [Position(Distribution(row), Distribution(row), sampling).p for row in large]
        for answer in itertools.product(range(3), repeat=3):
            ids = (ALL_PAIRS[-1], *answer)
            assert expected[answer] == pytest.approx(np.prod([rows[a][b] for a, b in itertools.pairwise(ids)]))
    drawn: Counter[tuple[int, ...]] = Counter()
    for seed in range(answers):
        run = decoded(toy, rule, request(ALL_PAIRS, temperature, 3, seed), FixedPolicy(2), LookupStatistics())
        assert all(each.source == "lookup" or not each.drafted for each in run.rounds)
        drawn[tuple(run.ids)] += 1
    full = {answer: expected.get(answer, 0.0) for answer in itertools.product(range(3), repeat=3)}
    assert p_value(drawn, full) > 1e-4


def test_a_looked_up_round_is_explained_without_q() -> None:
    toy, asked = echoing(3), request((0, 1, 2, 0, 1), max_tokens=40)
    run = decoded(toy, "token", asked, FixedPolicy(4), LookupStatistics())
    judged = next(each for each in run.rounds if each.source == "lookup")
    before = (*asked.prompt, *run.ids[: judged.at])
    toy.prefill(before)
    told = review(parse_arm("token"), toy.expert, toy.drafter, request(before), toy.lexicon, judged)
    assert [token.id for token in told.tokens] == [token.id for token in judged.tokens]
    assert all(token.q is None and token.p is not None for token in told.tokens)


# Simulated machines: a copying text and a new one, with and without looking up.

WORDS = 300


def machine(
    answer: Sequence[int], prompt: Sequence[int], drafting: AutoPolicy, curve: Callable[[int], float]
) -> Figures:
    """An expert that writes `answer` and a drafter that never agrees, on a virtual clock."""
    clock = VirtualClock()
    script = [*prompt, *answer]

    def right(last: tuple[int, ...]) -> Floats:
        logits = np.zeros(WORDS, dtype=np.float32)
        logits[script[min(len(last), len(script) - 1)]] = 9
        return logits

    def wrong(last: tuple[int, ...]) -> Floats:
        return np.roll(right(last), 1)

    expert = TableModel(right, order=10**6, cost=curve, clock=clock)
    small = TableModel(wrong, order=10**6, max_rows=1, cost=lambda n: 0.1 * n, clock=clock)
    drafter = SecondModel(small, Same(), 10**6)
    expert.extend(prompt[:-1], rows=0)
    drafter.observe(prompt)
    for _ in drafter.catch_up():
        pass
    fold = Fold()
    asked = Request(tuple(prompt), Sampling(), len(answer), 10**6)
    lexicon = Lexicon(lambda token: b"x", lambda token: False)
    for event in play(parse_arm("exact"), drafting, expert, drafter, asked, lexicon, clock, drafting.lookup):
        fold(event)
    assert [token.id for token in fold.tokens] == list(answer)
    return fold.figures()


def auto(curve: Callable[[int], float], lookup: LookupStatistics | None, prefill_token: float = math.inf) -> AutoPolicy:
    latency = LatencyModel({1: curve(1), 4: curve(4)}, step=0.1, catch_up=0.02, prefill_token=prefill_token)
    return AutoPolicy(latency=latency, acceptance=AcceptanceModel(), lookup=lookup)


def flat(n: int) -> float:
    return 1 + 0.02 * (n - 1)


def steep(n: int) -> float:
    return 1 + 0.55 * (n - 1)


@pytest.mark.parametrize("curve", [flat, steep])
def test_a_text_that_copies_its_prompt_goes_faster(curve: Callable[[int], float]) -> None:
    rng = np.random.default_rng(1)
    prompt = [int(word) for word in rng.integers(0, WORDS, 200)]
    answer = [*prompt[50:150], *(int(word) for word in rng.integers(0, WORDS, 8)), *prompt[20:120]]
    without = machine(answer, prompt, auto(curve, None), curve)
    figures = machine(answer, prompt, auto(curve, LookupStatistics()), curve)
    assert figures.seconds < without.seconds / 1.3
    assert figures.looked_up_accepted is not None and figures.looked_up_accepted > 150
    assert without.looked_up == without.looked_up_accepted == 0


def tiled(n: int) -> float:
    """A processor on which sixteen tokens cost little more than eight (Qwen2.5-Coder-1.5B as Q4_K_M, AVX-512)."""
    return {1: 1.0, 2: 1.86, 3: 2.47, 4: 3.08, 5: 3.75, 6: 4.37, 7: 4.98, 8: 5.0}.get(n, 5.0 + 0.13 * (n - 8))


def test_a_prompt_read_quickly_shows_that_long_drafts_are_cheap() -> None:
    """One and four tokens lie on a steep line; that the prompt was read at a quarter of a step a token does not. The
    text is copied, but for every sixteenth word."""
    rng = np.random.default_rng(1)
    prompt = [int(word) for word in rng.integers(0, WORDS, 400)]
    answer = [int(rng.integers(0, WORDS)) if i % 16 == 15 else word for i, word in enumerate(prompt)]
    unaware = machine(answer, prompt, auto(tiled, LookupStatistics()), tiled)
    figures = machine(answer, prompt, auto(tiled, LookupStatistics(), prefill_token=0.25), tiled)
    assert figures.seconds < unaware.seconds / 1.08


@pytest.mark.parametrize("prefill_token", [math.inf, 0.1])
@pytest.mark.parametrize("curve", [flat, steep, tiled])
def test_rows_wasted_on_new_text_stay_under_a_hundredth(curve: Callable[[int], float], prefill_token: float) -> None:
    """Words as frequent as in a language: pairs come again and mean little. Nor does it where a prompt is read so much
    quicker than drafts that long ones look cheaper than they are."""
    rng = np.random.default_rng(2)
    weights = 1 / np.arange(1, WORDS + 1)
    prompt, answer = ([int(w) for w in rng.choice(WORDS, n, p=weights / weights.sum())] for n in (300, 600))
    figures = machine(answer, prompt, auto(curve, LookupStatistics(), prefill_token), curve)
    without = machine(answer, prompt, auto(curve, None, prefill_token), curve)
    assert figures.seconds <= 1.01 * without.seconds


def test_fixed_drafts_look_up_only_where_they_are_told_to() -> None:
    toy, asked = echoing(3), request((0, 1, 2, 0, 1), max_tokens=30)
    assert {each.source for each in decoded(toy, "exact", asked, FixedPolicy(3)).rounds} == {"drafter"}
    assert "lookup" in {each.source for each in decoded(toy, "exact", asked, FixedPolicy(3), LookupStatistics()).rounds}


def test_a_text_that_looks_like_a_copy_and_is_none_loses_little() -> None:
    """A record of texts that were copied whole, and an answer in rows: the same five words, then three new ones."""
    rng = np.random.default_rng(3)
    prompt = [int(word) for word in rng.integers(0, WORDS, 200)]
    answer = [w for _ in range(60) for w in (1, 2, 3, 4, 5, *(int(word) for word in rng.integers(6, WORDS, 3)))]
    copied = LookupStatistics([12.0] * 6, [12.0] * 6)
    without = machine(answer, prompt, auto(tiled, None, 0.25), tiled)
    figures = machine(answer, prompt, auto(tiled, copied, 0.25), tiled)
    assert figures.looked_up and figures.seconds <= 1.05 * without.seconds
