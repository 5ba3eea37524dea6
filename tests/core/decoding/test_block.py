"""Block verification: it follows the rule's pi token for token, and accepts no fewer tokens than the test of each.

Whole answers are counted on tables; expectations are computed exactly, over every draft there can be.
"""

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from speccas.core.decoding.answer import Request
from speccas.core.decoding.arms import parse_arm
from speccas.core.decoding.block import acceptance, reach
from speccas.core.decoding.deferral import Dial, Position, Rule, TokenRule
from speccas.core.decoding.events import Status
from speccas.core.decoding.length.acceptance import LookupStatistics
from speccas.core.decoding.length.policy import FixedPolicy
from speccas.core.decoding.rules import RULES as KINDS
from speccas.core.decoding.rules import Exact
from speccas.core.decoding.sampling import Distribution, Sampling, Shared, from_probabilities
from speccas.core.decoding.table import TableModel
from speccas.core.decoding.verify import BlockVerifier, Outcome, TokenVerifier, Verifier, judge
from speccas.core.errors import BlockRefused
from speccas.core.runtime.pair import Pair
from tests.builders.loaded import asked, prefill
from tests.core.decoding.test_distribution import against, first_rows
from tests.core.decoding.toys import RULES, Run, Toy, joint, near, p_value, play, table

SIZE, PROMPT = 4, (0, 1)
LARGE = table(7, SIZE, order=2, spread=2.0)  # where a residual that ignores the share shows
SMALL = near(LARGE, 8, spread=1.2)
WARM = Sampling(0.9, test="block")


def rule(name: str) -> Rule:
    found = parse_arm(name).rule
    assert found is not None
    return found


@functools.cache
def behind(last: tuple[int, ...]) -> Position:
    return Position(Distribution(SMALL[last]), Distribution(LARGE[last]), WARM)


def position(before: Sequence[int]) -> Position:
    """Behind the prompt and these tokens, on the tables."""
    return behind(tuple([*PROMPT, *before][-2:]))


def drawn(verifier: Verifier, before: Sequence[int], k: int, floor: float = 0.0) -> list[int]:
    """A draft of k tokens; it ends where q is as flat as `floor`, which no drawn token decides."""
    drafted: list[int] = []
    while len(drafted) < k and (q1 := position([*before, *drafted]).q1).max > floor:
        drafted.append(verifier.draw(q1, len(drafted)))
    return drafted


def judged(chosen: Rule, drafted: Sequence[int], before: Sequence[int], verifier: Verifier) -> Outcome:
    return judge(chosen, drafted, lambda i: position([*before, *drafted[:i]]), verifier, len(before))


def written(name: str, lengths: Sequence[int], samples: int, floor: float = 0.0) -> Counter[tuple[int, ...]]:
    """The first three tokens of many answers, whose drafts may go beyond them."""
    verifier, chosen = BlockVerifier(WARM), rule(name)
    found: Counter[tuple[int, ...]] = Counter()
    for k, _ in zip(itertools.cycle(lengths), range(samples)):
        answer: list[int] = []
        while len(answer) < 3:
            drafted = drawn(verifier, answer, k, floor)
            outcome = judged(chosen, drafted, answer, verifier)
            answer += [*drafted[: outcome.accepted], outcome.token]
        found[tuple(answer[:3])] += 1
    return found


def promised(name: str) -> dict[tuple[int, ...], float]:
    return joint(LARGE, SMALL, PROMPT, 3, rule(name).pi, WARM)


# --- what is written; whole answers of the loop: test_distribution.py -------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_exact_is_the_expert_at_every_draft_length(k: int) -> None:
    assert p_value(written("exact", [k], 3_000), promised("exact")) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in RULES if name != "exact"])
def test_output_follows_the_rule(name: str) -> None:
    assert rule(name).pi_of_prefix
    assert p_value(written(name, [1, 2, 3, 4], 3_000), promised(name)) > 1e-3


@pytest.mark.slow
def test_a_draft_may_end_by_its_q() -> None:
    assert p_value(written("exact", [4], 6_000, floor=0.5), promised("exact")) > 1e-3


def looped(name: str, samples: int, sampling: Sampling, lookup: bool = False) -> Counter[tuple[int, ...]]:
    """The same from the loop itself, with filters and looked-up drafts."""
    toy, arm = Toy(TableModel(LARGE, 2), TableModel(SMALL, 2), pieces=[b"-"] * SIZE), parse_arm(name)
    toy.prefill(PROMPT)
    found: Counter[tuple[int, ...]] = Counter()
    for seed in range(samples):
        asked_for = Request(PROMPT, replace(sampling, seed=seed), 6)
        found_in_text = LookupStatistics() if lookup else None
        events = play(arm, FixedPolicy(3), toy.judge, toy.drafter, asked_for, toy.lexicon, toy.clock, found_in_text)
        found[tuple(Run(list(events)).ids[:3])] += 1
    return found


@pytest.mark.slow
@pytest.mark.parametrize("lookup", [False, True])
def test_the_loop_with_filters_and_looked_up_drafts(lookup: bool) -> None:
    """A looked-up token is a point mass, whose p is its chance."""
    sampling = replace(WARM, top_p=0.9)
    found = joint(LARGE, SMALL, PROMPT, 3, lambda at: at.p, sampling)
    assert p_value(looped("exact", 1_000, sampling, lookup), found) > 1e-3


# --- how much is accepted: exactly, over every draft ------------------------------------------------------------------


def every_draft(k: int) -> Iterator[tuple[tuple[int, ...], float, list[Position]]]:
    """Each draft of k tokens, its probability under q, and its positions."""
    for drafted in itertools.product(range(SIZE), repeat=k):
        positions = [position(drafted[:i]) for i in range(k + 1)]
        yield drafted, float(np.prod([positions[i].q[v] for i, v in enumerate(drafted)])), positions


def accepted_of_block(rule: Rule, drafted: Sequence[int], positions: Sequence[Position]) -> float:
    """Expected accepted tokens of one draft, from the chance with which each of its prefixes stands."""
    share, stands = 1.0, []
    for i, v in enumerate(drafted):
        share = min(1.0, share * float(rule.pi(positions[i])[v]) / float(positions[i].q[v]))
        last = i + 1 == len(drafted)
        stands.append(share if last else acceptance(share, rule.pi(positions[i + 1]), positions[i + 1].q))
    return sum(1 - float(np.prod([1 - each for each in stands[i:]])) for i in range(len(drafted)))


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("name", RULES)
def test_accepts_no_fewer_than_the_test_of_each_token(name: str, k: int) -> None:
    """By the paper's theorem: the sum over prefixes of the share they end with."""
    chosen = rule(name)
    by_block = by_token = by_theorem = 0.0
    for drafted, chance, positions in every_draft(k):
        ratios = [float(chosen.pi(positions[i])[v] / positions[i].q[v]) for i, v in enumerate(drafted)]
        by_block += chance * accepted_of_block(chosen, drafted, positions)
        by_token += chance * float(np.cumprod(np.minimum(1, ratios)).sum())
        by_theorem += chance * sum(shares(ratios))
    assert by_block == pytest.approx(by_theorem, abs=1e-5)
    assert by_block >= by_token - 1e-6
    if name == "exact":
        assert (by_block > by_token + 1e-4) == (k > 1)


def shares(ratios: Sequence[float]) -> list[float]:
    return list(itertools.accumulate(ratios, lambda share, ratio: min(1.0, share * ratio), initial=1.0))[1:]


@pytest.mark.parametrize("name", ["exact", "token", "lossy"])
def test_as_many_are_accepted_as_the_formula_says(name: str) -> None:
    chosen, k, runs = rule(name), 3, 3_000
    expected = sum(chance * accepted_of_block(chosen, drafted, at) for drafted, chance, at in every_draft(k))
    verifier = BlockVerifier(WARM)
    found = [judged(chosen, drawn(verifier, (), k), (), verifier).accepted for _ in range(runs)]
    assert abs(np.mean(found) - expected) < 4 * np.std(found) / runs**0.5


# --- its parts --------------------------------------------------------------------------------------------------------


def at_of(*rows: tuple[Sequence[float], Sequence[float]]) -> Callable[[int], Position]:
    """Positions from (q, p)."""
    found = [Position(from_probabilities(q), from_probabilities(p), Sampling(1.0, test="block")) for q, p in rows]
    return found.__getitem__


def verifier(*numbers: float) -> Verifier:
    return BlockVerifier(Sampling(1.0, test="block"), iter(numbers).__next__)


HALF = [0.5, 0.5]
DRAFT = at_of((HALF, [0.2, 0.8]), (HALF, [0.9, 0.1]), (HALF, HALF))
"""Token 0 twice: ratios 0.4 and 1.8, shares 0.4 and 0.72. One token alone stands with 0.36 - 0.5 cut at 0 = 0."""


@pytest.mark.parametrize(("first", "second", "accepted"), [(0.9, 0.71, 2), (0.9, 0.73, 0), (0.0, 0.73, 0)])
def test_what_a_token_lacks_the_next_may_bring(first: float, second: float, accepted: int) -> None:
    """Token verification would accept the first with 0.4 and then the second for sure."""
    outcome = judge(Exact(), [0, 0], DRAFT, verifier(first, second, 0.5), 0)
    assert outcome.accepted == accepted
    assert (outcome.token, outcome.status) == ((1, Status.BONUS) if accepted else (1, Status.DEFERRED))


def test_what_stands_behind_is_drawn_by_the_share_that_is_left() -> None:
    """Token 0 of share 0.6 stands alone with 0.16 / (0.16 + 0.4); then max(0, 0.6 p - q) leaves 0 alone, which p - q
    does not."""
    at = at_of(([0.5, 0.25, 0.25], [0.3, 0.35, 0.35]), ([0.2, 0.2, 0.6], [0.6, 0.3, 0.1]))
    assert reach(lambda i: at(i).p, [0, 2], at, [0.0, 0.99]).share == pytest.approx(0.6)
    assert acceptance(0.6, at(1).p, at(1).q) == pytest.approx(0.16 / 0.56)
    for last in (0.01, 0.99):
        outcome = judge(Exact(), [0, 2], at, verifier(0.28, 0.99, last), 0)
        assert (outcome.statuses, outcome.token) == ((Status.AGREED,), 0)
    assert judge(Exact(), [0, 2], at, verifier(0.29, 0.99, 0.0), 0).accepted == 0


def test_nothing_by_nothing_counts_as_1() -> None:
    """Where target and q are one and all of the share is there, what follows stands anyway."""
    q = np.array(HALF, dtype=np.float32)
    assert acceptance(1.0, q, q) == 1.0
    at = at_of((HALF, HALF), (HALF, HALF), (HALF, HALF))
    assert judge(Exact(), [0, 1], at, verifier(0.999, 0.999, 0.0), 0).statuses == (Status.AGREED, Status.AGREED)


def test_agreed_is_what_the_same_draws_accept_against_p() -> None:
    """`token` keeps token 0 at both positions; against p the shares are 0.5 and 0.25."""
    skewed = ([0.8, 0.2], [0.4, 0.6])
    at = at_of(skewed, skewed, skewed)
    for second, status in (0.2, Status.AGREED), (0.3, Status.KEPT):
        outcome = judge(rule("token"), [0, 0], at, verifier(0.99, second, 0.0), 0)
        assert outcome.statuses == (status, status)
    assert judge(Exact(), [0, 0], at, verifier(0.99, 0.3, 0.0), 0).accepted == 0


def test_one_token_is_judged_as_by_the_test_of_each() -> None:
    at = position(())
    for seed, v, name in itertools.product(range(40), range(SIZE), RULES):
        numbers = np.random.default_rng(seed).random(3).tolist()
        block, token = (
            judge(rule(name), [v], lambda i: at, kind(WARM, iter(numbers).__next__), 0)
            for kind in (BlockVerifier, TokenVerifier)
        )
        assert (block.accepted, block.token) == (token.accepted, token.token)


# --- what it refuses --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LooksAhead(TokenRule):
    """A rule whose pi is no function of the text before a token."""

    alpha: float
    formula = "the draft goes on well"
    paper = "a test"
    ends = "-"
    dial = Dial(0.5)
    pi_of_prefix = False

    def limit(self, at: Position) -> float:
        return 0.0


def test_a_rule_that_looks_ahead_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "ahead", LooksAhead)
    with pytest.raises(BlockRefused, match="pi depends on the text before"):
        looped("ahead", 1, WARM)
    looped("ahead", 1, replace(WARM, temperature=0.0))
    looped("ahead", 1, replace(WARM, test="token"))


def test_an_expert_that_sends_some_probabilities_is_refused() -> None:
    few = Distribution(np.zeros(2, dtype=np.float32), Shared(SIZE, 2, np.array([1, 3], dtype=np.int32)))
    at = Position(Distribution(SMALL[0, 1]), few, WARM)
    with pytest.raises(BlockRefused, match="sends some"):
        judge(Exact(), [1], lambda i: at, verifier(0.5, 0.5), 0)


# --- the tiny pair ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.tiny
def test_tiny_exact_is_the_expert(tiny: Pair) -> None:
    """The first token of drafts of two, on real rows, each read once."""
    prompt = list(asked(tiny, "Write a poem.").ids)

    @functools.cache
    def real(before: tuple[int, ...]) -> Position:
        prefill(tiny, [*prompt, *before])
        return Position(*first_rows(tiny, [*prompt, *before]), sampling)

    sampling, found = Sampling(0.7, test="block"), Counter[tuple[int, ...]]()
    verifier = BlockVerifier(sampling)
    for _ in range(400):
        first = verifier.draw(real(()).q1, 0)
        drafted = [first, verifier.draw(real((first,)).q1, 1)]
        outcome = judge(Exact(), drafted, lambda i, at=drafted: real(tuple(at[:i])), verifier, 0)  # type: ignore[misc]
        found[(*drafted[: outcome.accepted], outcome.token)[:1]] += 1
    assert against(found, real(()).p) > 1e-4
    assert against(found, real(()).q) < 1e-6
