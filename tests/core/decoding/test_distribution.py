"""What the loop writes follows exactly the distribution that its rule promises: tens of thousands of short answers.

Knows tables whose every probability can be written down, and the tiny pair's real rows; no text.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import pytest

from speccas.core.decoding import verify
from speccas.core.decoding.answer import Request
from speccas.core.decoding.arms import Arm, parse_arm
from speccas.core.decoding.deferral import Position, Rule
from speccas.core.decoding.drafts.draft_source import Draft, Drawing
from speccas.core.decoding.drafts.second_model import SecondModel
from speccas.core.decoding.engine import speculate
from speccas.core.decoding.events import Event, Judged
from speccas.core.decoding.length.policy import FixedPolicy, Policy
from speccas.core.decoding.sampling import Distribution, Probabilities, Sampling, distribution
from speccas.core.decoding.table import TableModel
from speccas.core.decoding.verify import VERIFIERS, CoupledVerifier, verifier_of
from speccas.core.runtime.pair import Pair
from tests.builders.loaded import answered, asked, prefill
from tests.core.decoding.toys import RULES, Joint, Toy, joint, near, p_value, table

SIZE, LENGTH, SAMPLES = 5, 3, 8_000
PROMPT = (0, 1)
LENGTHS_OF_DRAFT = (1, 2, 4)  # drafts end inside the three tokens, at the last one they may reach, and would beyond
LARGE = table(52, SIZE, order=2, spread=1.4)  # of sixty seeds the one whose rules are farthest apart
SMALL = near(LARGE, 53, spread=1.2)


def toy() -> Toy:
    pair = Toy(TableModel(LARGE, 2), TableModel(SMALL, 2), pieces=[b"-"] * SIZE)
    pair.prefill(PROMPT)
    return pair


def promised(pi: Callable[[Position], Probabilities], sampling: Sampling) -> Joint:
    return joint(LARGE, SMALL, PROMPT, LENGTH, pi, sampling)


def written(arm: str, sampling: Sampling, samples: int = SAMPLES) -> Counter[tuple[int, ...]]:
    """The answers of many runs, each with a seed and a draft length of its own."""
    pair, parsed = toy(), parse_arm(arm)
    assert parsed.rule is not None
    found: Counter[tuple[int, ...]] = Counter()
    for seed in range(samples):
        k = LENGTHS_OF_DRAFT[seed % len(LENGTHS_OF_DRAFT)]
        drawn = replace(sampling, seed=seed)
        found[ids(play(pair, parsed, parsed.rule, k, Request(PROMPT, drawn, LENGTH)))] += 1
    return found


def play(pair: Toy, arm: Arm, rule: Rule, k: int, request: Request) -> Iterator[Event]:
    ruled = replace(arm, rule=rule)
    return speculate(ruled, pair.expert, [pair.drafter], FixedPolicy(k), request, pair.lexicon, pair.clock)


def ids(events: Iterable[Event]) -> tuple[int, ...]:
    return tuple(token.id for event in events if isinstance(event, Judged) for token in event.tokens)


def rule(name: str) -> Rule:
    found = parse_arm(name).rule
    assert found is not None
    return found


# --- every rule -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("test", VERIFIERS)
@pytest.mark.parametrize("name", RULES)
def test_a_few_answers_follow_the_rule(name: str, test: str) -> None:
    sampling = Sampling(0.7, test=test)
    assert p_value(written(name, sampling, 500), promised(rule(name).pi, sampling)) > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(("temperature", "test"), [(1.0, "token"), (0.7, "coupled")])
@pytest.mark.parametrize("name", RULES)
def test_output_follows_the_rule(name: str, temperature: float, test: str) -> None:
    sampling = Sampling(temperature, test=test)
    assert p_value(written(name, sampling), promised(rule(name).pi, sampling)) > 1e-4


def test_the_rules_promise_different_things() -> None:
    """Else the test above could not tell one from another, or from either model."""
    sampling = Sampling(0.7)
    joints = {name: promised(rule(name).pi, sampling) for name in RULES}
    joints["drafter"] = promised(lambda at: at.q, sampling)
    for one, other in itertools.combinations(joints, 2):
        distance = sum(abs(joints[one][answer] - joints[other][answer]) for answer in joints[one]) / 2
        assert distance > 0.08, (one, other)


@pytest.mark.slow
@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(0.8, top_k=2),
        Sampling(0.8, top_p=0.7),
        Sampling(0.8, top_p=0.7, test="token"),
        Sampling(0.8, min_p=0.25),
        Sampling(0.8, top_k=4, top_p=0.9, min_p=0.1),
    ],
)
def test_exact_is_the_filtered_expert(sampling: Sampling) -> None:
    assert p_value(written("exact", sampling, 6_000), promised(lambda at: at.p, sampling)) > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["token", "comparative:-0.1", "lossy"])
def test_filters_and_a_rule(name: str) -> None:
    sampling = Sampling(0.8, top_p=0.85, test="token")
    assert p_value(written(name, sampling, 6_000), promised(rule(name).pi, sampling)) > 1e-4


@pytest.mark.slow
def test_a_drafter_without_room_leaves_the_expert() -> None:
    """Nothing is known of q where the drafter's context is full: the token comes from p, whatever the rule."""
    pair = toy()
    pair.drafter.room = 1
    parsed = parse_arm("token")
    requests = (Request(PROMPT, Sampling(1.0, seed=seed), LENGTH) for seed in range(4_000))
    found = Counter(ids(play(pair, parsed, rule("token"), 2, request)) for request in requests)
    assert p_value(found, promised(lambda at: at.p, Sampling(1.0))) > 1e-4


# --- the same test, on a loop that somebody broke: it must see it ----------------------------------------------------


@pytest.mark.slow
def test_sees_a_bonus_drawn_from_p(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CoupledVerifier, "extra", lambda self, rule, at, position: self.noise.first(at.p, position))
    sampling = Sampling(1.0)
    assert p_value(written("comparative:-0.1", sampling, 6_000), promised(rule("comparative:-0.1").pi, sampling)) < 1e-6


@pytest.mark.slow
def test_sees_a_residual_that_is_p(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "residual", lambda pi, q, p: p)
    sampling = Sampling(1.0, test="token")
    assert p_value(written("exact", sampling, 6_000), promised(rule("exact").pi, sampling)) < 1e-6


@pytest.mark.slow
def test_sees_a_drawn_token_dropped_for_its_low_q(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = SecondModel.propose

    def hesitant(source: SecondModel, room: int, policy: Policy, drawing: Drawing) -> Draft | None:
        draft = whole(source, room, policy, drawing)
        assert draft is not None and draft.proposals is not None
        tokens, proposals = draft.tokens, draft.proposals
        sure = list(itertools.takewhile(lambda i: proposals[i].q1.prob(tokens[i]) > 0.3, range(len(tokens))))
        return Draft(tokens[: len(sure)], proposals[: len(sure)])

    monkeypatch.setattr(SecondModel, "propose", hesitant)
    sampling = Sampling(1.0, test="token")
    assert p_value(written("exact", sampling, 6_000), promised(rule("exact").pi, sampling)) < 1e-6


# --- the tiny pair ----------------------------------------------------------------------------------------------------


def first_rows(pair: Pair, prompt: list[int]) -> tuple[Distribution, Distribution]:
    """q and p behind a prompt that is in the caches."""
    pair.expert.truncate(len(prompt) - 1)
    pair.second_model.observe(prompt)
    proposal = pair.second_model.next()
    assert proposal is not None
    p = distribution(pair.expert.extend(prompt[-1:], rows=1)[0]).logits.copy()
    pair.expert.truncate(len(prompt) - 1)
    return proposal.q1, Distribution(p)


def against(found: Counter[tuple[int, ...]], masses: Probabilities) -> float:
    return p_value(found, {(token,): float(mass) for token, mass in enumerate(masses)})


@pytest.mark.tiny
def test_tiny_exact_writes_what_the_expert_would(tiny: Pair) -> None:
    """The first token on real rows: many draws on rows evaluated once, then whole runs."""
    prompt = list(asked(tiny, "Write a poem.").ids)
    prefill(tiny, prompt)
    sampling, exact = Sampling(1.0), rule("exact")
    q1, p1 = first_rows(tiny, prompt)
    at = Position(q1, p1, sampling)
    assert 0.02 < at.total_variation < 0.98
    found: Counter[tuple[int, ...]] = Counter()
    for seed in range(3_000):
        verifier = verifier_of(replace(sampling, seed=seed))
        drafted = verifier.draw(q1, 0)
        verdict = verify.judge(exact, [drafted], lambda i: at, verifier, 0)
        found[(drafted if verdict.statuses else verdict.token,)] += 1
    assert against(found, at.p) > 1e-4
    assert against(found, at.q) < 1e-6


@pytest.mark.slow
@pytest.mark.tiny
def test_tiny_exact_end_to_end(tiny: Pair) -> None:
    prompt = list(asked(tiny, "Write a poem.").ids)
    prefill(tiny, prompt)
    q1, p1 = first_rows(tiny, prompt)
    found: Counter[tuple[int, ...]] = Counter()
    for seed in range(200):
        found[ids(answered(tiny, prompt, "exact", 2, sampling=Sampling(1.0, seed=seed)))[:1]] += 1
    sampling = Sampling(1.0)
    assert against(found, p1.sampled(sampling)) > 1e-4
    assert against(found, Position(q1, p1, sampling).q) < 1e-6
