"""Every rule against the vectors of method.md 3.5, and against its own definition on random distributions.

Nothing here runs the loop: one position at a time.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from speccas.cli.hints import hint_of
from speccas.core.decoding.arms import every_arm, parse_arm
from speccas.core.decoding.deferral import Position, Rule, TokenRule, keeps
from speccas.core.decoding.rules import (
    RULES,
    Bild,
    Comparative,
    Confidence,
    CostBenefit,
    Ensemble,
    Entropy,
    Exact,
    Lossy,
    TokenList,
    TokenMargin,
    TokenQ,
    TokenSafe,
    TopK,
    Typical,
    named_lossless,
    rule_of,
)
from speccas.core.decoding.sampling import (
    Distribution,
    Probabilities,
    Sampling,
    Shared,
    from_probabilities,
    probabilities,
    residual,
)
from speccas.core.decoding.verify import TokenVerifier, Verdict, verifier_of
from speccas.core.errors import UsageError

P = (0.50, 0.30, 0.15, 0.05)
Q = (0.20, 0.55, 0.05, 0.20)
ONE = Sampling(1.0)
GREEDY = Sampling(0.0)


def position(q: object = Q, p: object = P, sampling: Sampling = ONE) -> Position:
    return Position(from_probabilities(q), from_probabilities(p), sampling)  # type: ignore[arg-type]


def parse_rule(text: str) -> Rule:
    rule = parse_arm(text).rule
    assert rule is not None
    return rule


def normalised(weights: Probabilities) -> Probabilities:
    return np.asarray(weights / weights.sum())


# --- the vectors of method.md 3.5: pi, probability of accepting each token, mass turned down, residual ----------------

EXACT = ([0.5, 0.3, 0.15, 0.05], [1, 0.5455, 1, 0.25], 0.4, [0.75, 0, 0.25, 0])
KEEP = (list(Q), [1, 1, 1, 1], 0.0, None)
LIST_0 = ([0.6, 0.24, 0.12, 0.04], [1, 0.4364, 1, 0.2], 0.47, [0.8511, 0, 0.1489, 0])
LIST_2 = ([0.325, 0.625, 0.0375, 0.0125], [1, 1, 0.75, 0.0625], 0.2, [0.625, 0.375, 0, 0])
LIST_3 = ([0.3, 0.61, 0.08, 0.01], [1, 1, 1, 0.05], 0.19, [0.5263, 0.3158, 0.1579, 0])
VECTORS = [
    (Exact(), *EXACT),
    (Confidence(0.3), *EXACT),
    (Entropy(1.1), *EXACT),  # H(q) = 1.1224
    (Comparative(-0.2), *EXACT),
    (CostBenefit(0.0), *KEEP),  # as comparative:0
    (Bild(1.0), *EXACT),
    (TokenQ(-0.1), *EXACT),
    (TokenList(-0.01), *EXACT),
    (TokenMargin(-0.01), *EXACT),
    (Lossy(0.0), *EXACT),
    (Confidence(0.5), *KEEP),
    (Entropy(1.13), *KEEP),
    (Comparative(0.0), *KEEP),
    (Bild(1.5), *KEEP),
    (TokenList(0.95), *KEEP),
    (TopK(4), *KEEP),
    (TokenQ(0.1), [0.225, 0.685, 0.0675, 0.0225], [1, 1, 1, 0.1125], 0.1775, [0.1408, 0.7606, 0.0986, 0]),
    (TokenMargin(0.0), *LIST_0),
    (TokenList(0.0), *LIST_0),
    (TopK(1), *LIST_0),
    (TokenMargin(0.25), *LIST_2),
    (TokenList(0.45), *LIST_2),
    (TopK(2), *LIST_2),
    (TokenMargin(0.4), *LIST_3),
    (TokenList(0.75), *LIST_3),
    (TopK(3), *LIST_3),
    (Lossy(0.2), [0.4344, 0.375, 0.1281, 0.0625], [1, 0.6818, 1, 0.3125], 0.3125, [0.75, 0, 0.25, 0]),
    (Lossy(0.5), [0.275, 0.55, 0.075, 0.1], [1, 1, 1, 0.5], 0.1, [0.75, 0, 0.25, 0]),
    (Ensemble(0.5), [0.35, 0.425, 0.1, 0.125], [1, 0.7727, 1, 0.625], 0.2, [0.75, 0, 0.25, 0]),
    (Ensemble(0.0), *EXACT),
    (Typical(0.8), *LIST_3),  # sqrt(0.2) exp(-H(p)) = 0.1427
    (CostBenefit(-0.5), *EXACT),
    (CostBenefit(-math.inf), *EXACT),
    (TokenSafe(0.401), [0.3125, 0.55, 0.0875, 0.05], [1, 1, 1, 0.25], 0.15, [0.75, 0, 0.25, 0]),
]


@pytest.mark.parametrize(("rule", "pi", "accept", "turned_down", "rest"), VECTORS, ids=lambda value: repr(value))
def test_vectors(
    rule: Rule, pi: list[float], accept: list[float], turned_down: float, rest: list[float] | None
) -> None:
    at = position()
    assert rule.pi(at) == pytest.approx(pi, abs=6e-5)
    assert [acceptance(rule, v, at) for v in range(4)] == pytest.approx(accept, abs=6e-5)
    assert np.maximum(at.q - rule.pi(at), 0).sum() == pytest.approx(turned_down, abs=6e-5)
    if rest is not None:
        assert normalised(residual(rule.pi(at), at.q, at.p)) == pytest.approx(rest, abs=6e-5)


def judged(rule: Rule, v: int, at: Position, uniform: float) -> Verdict:
    """The optimal test's verdict on v where chance gives this number in [0, 1)."""
    return TokenVerifier(at.sampling, lambda: uniform).verdict(rule, v, at, 0)


def acceptance(rule: Rule, v: int, at: Position) -> float:
    """The probability that the optimal test accepts v, by bisection on its one random draw."""
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        if judged(rule, v, at, middle).accepted:
            low = middle
        else:
            high = middle
    return low


def test_quantities_of_the_vectors() -> None:
    at = position()
    assert at.total_variation == pytest.approx(0.4)
    assert at.p1.entropy == pytest.approx(1.1421, abs=5e-5)
    assert at.q1.entropy == pytest.approx(1.1224, abs=5e-5)
    assert Bild(0.0).sides(0, at)[0] == pytest.approx(1.4948, abs=5e-5)


def test_vectors_at_temperature_half() -> None:
    at = position(sampling=Sampling(0.5))
    rule = TokenList(0.45)
    assert at.q == pytest.approx([0.1039, 0.7857, 0.0065, 0.1039], abs=6e-5)
    assert at.p == pytest.approx([0.6849, 0.2466, 0.0616, 0.0068], abs=6e-5)
    assert at.total_variation == pytest.approx(0.6362, abs=6e-5)
    assert rule.pi(at) == pytest.approx([0.1795, 0.8129, 0.0068, 0.0008], abs=6e-5)
    assert np.maximum(at.q - rule.pi(at), 0).sum() == pytest.approx(0.1031, abs=6e-5)


@pytest.mark.parametrize(("make", "threshold"), [(Comparative, 0.2), (CostBenefit, 2 / 3)])
def test_threshold_of_alpha(make: Callable[[float], Rule], threshold: float) -> None:
    at = position(q=(0.3, 0.4, 0.2, 0.1), p=(0.6, 0.2, 0.1, 0.1))
    assert not keeps(make(threshold - 0.001), 1, at)
    assert keeps(make(threshold + 0.001), 1, at)


# --- random distributions ---------------------------------------------------------------------------------------------

ALPHA = {
    "confidence": (0, 1), "entropy": (0, 2), "comparative": (-1, 1), "cost-benefit": (-2, 2), "token": (0, 1),
    "token-q": (-1, 1), "token-margin": (-1, 1), "token-safe": (0, 1), "top-k": (1, 6), "lossy": (0, 0.99),
    "bild": (0, 9), "ensemble": (0, 1), "typical": (0, 1),
}  # fmt: skip
SAMPLINGS = [
    ONE, Sampling(0.7), Sampling(0.5), Sampling(1.0, top_k=3), Sampling(0.7, top_p=0.8), Sampling(1.3, min_p=0.2),
    Sampling(0.5, top_k=4, top_p=0.9, min_p=0.05),
]  # fmt: skip


@st.composite
def random_rule(draw: st.DrawFn) -> Rule:
    name = draw(st.sampled_from(list(RULES)))
    if name == "exact":
        return Exact()
    low, high = ALPHA[name]
    alpha = draw(st.integers(int(low), int(high)) if name == "top-k" else st.floats(low, high))
    return rule_of(RULES[name], alpha)


@st.composite
def logits(draw: st.DrawFn, size: int = 6) -> Distribution:
    """Also with tokens that are impossible, so that two of them may share no token at all."""
    entry = st.one_of(st.floats(-9, 9, width=32), st.floats(-100, 100, width=32), st.just(float("-inf")))
    row = draw(st.lists(entry, min_size=size, max_size=size).filter(lambda row: max(row) > float("-inf")))
    return Distribution(np.array(row, dtype=np.float32))


@st.composite
def random_position(draw: st.DrawFn, samplings: list[Sampling] = SAMPLINGS) -> Position:
    q = draw(logits())
    p = draw(st.one_of(logits(), st.just(Distribution(q.logits.copy()))))
    return Position(q, p, draw(st.sampled_from(samplings)))


@given(random_rule(), random_position([*SAMPLINGS, GREEDY]))
def test_pi_is_a_distribution(rule: Rule, at: Position) -> None:
    pi = rule.pi(at)
    assert pi.min() >= 0
    assert pi.sum() == pytest.approx(1, abs=1e-6)


@given(random_rule(), random_position())
def test_fast_path_is_the_ratio_of_pi_and_q(rule: Rule, at: Position) -> None:
    pi = rule.pi(at)
    for v in np.flatnonzero(at.q > 0):
        ratio = min(1.0, float(pi[v]) / float(at.q[v]))
        if ratio > 1e-12:
            assert judged(rule, int(v), at, ratio * (1 - 1e-9)).accepted
        if ratio < 1 - 1e-6:
            assert not judged(rule, int(v), at, ratio * (1 + 1e-9)).accepted


@given(random_position(), st.integers(0, 5), st.floats(0, 1, exclude_max=True))
def test_agreed_is_the_exact_test_on_the_same_draw(at: Position, v: int, u: float) -> None:
    for name in RULES:
        verdict = judged(parse_rule(name), v, at, u)
        assert verdict.agreed == (u * float(at.q[v]) < float(at.p[v]))
        if name == "exact":
            assert verdict.accepted == verdict.agreed


@given(random_position(), st.floats(0, 1))
def test_token_safe_turns_down_no_more_than_exact(at: Position, alpha: float) -> None:
    def turned_down(rule: Rule) -> float:
        return float(np.maximum(at.q - rule.pi(at), 0).sum())

    assert turned_down(TokenSafe(alpha)) <= turned_down(Exact()) + 1e-6


def test_token_may_turn_down_more_than_exact() -> None:
    """Why `token-safe` is there at all (method.md 3.2)."""
    at = position()
    assert np.maximum(at.q - TokenList(0.0).pi(at), 0).sum() > np.maximum(at.q - at.p, 0).sum()


@given(logits())
def test_equal_models_keep_what_the_expert_would_write(row: Distribution) -> None:
    """Where q = p no rule that tests against p turns anything down, and the output is the expert's."""
    at = Position(row, Distribution(row.logits.copy()), ONE)
    for rule in (Exact(), Lossy(0.3), TokenSafe(0.5), Comparative(0.2), Confidence(0.3), CostBenefit(0.5)):
        assert rule.pi(at) == pytest.approx(at.p, abs=1e-6)


def test_no_common_token_leaves_the_expert_alone() -> None:
    at = position(q=(0.5, 0.5, 0, 0), p=(0, 0, 0.25, 0.75))
    rules = (Exact(), TokenList(0.5), TokenMargin(0.2), TokenSafe(0.5), TopK(2), Lossy(0.3), Bild(5.0), Confidence(0.1))
    for rule in rules:
        assert rule.pi(at) == pytest.approx([0, 0, 0.25, 0.75])
        assert judged(rule, 0, at, 0.1).instead == 2


def test_a_ratio_too_large_for_a_float_is_no_warning() -> None:
    q1 = Distribution(np.array([0, -92], dtype=np.float32))
    at = Position(q1, from_probabilities([0.5, 0.5]), ONE)
    assert 0 < at.q[1] < 1e-38
    assert TokenSafe(0.5).pi(at) == pytest.approx([1, 0])
    assert Lossy(0.5).pi(at) == pytest.approx([1, 0])


def test_decisions_ignore_the_filters_and_the_temperature() -> None:
    cold = Sampling(0.5, top_k=1)
    for name in RULES:
        if name not in ("exact", "lossy", "cost-benefit", "ensemble"):  # the exact tests and TV are about sampling
            rule = parse_rule(name)
            for v in range(4):
                assert keeps(rule, v, position()) == keeps(rule, v, position(sampling=cold)), name


# --- temperature 0 (method.md 3.4) ------------------------------------------------------------------------------------


def kept_at_zero(name: str, alpha: float, d: int, q: NDArray[np.float64], p: NDArray[np.float64]) -> bool:
    """The table of method.md 3.4, written down a second time."""
    table = {
        "exact": False,
        "confidence": q.max() >= 1 - alpha,
        "entropy": -(q * np.log(q)).sum() <= alpha,
        "comparative": q.max() >= p.max() - alpha,
        "cost-benefit": q.max() >= p.max() - alpha,
        "token": p[d] >= (1 - alpha) * p.max(),
        "token-q": q[d] >= p.max() - alpha,
        "token-margin": p[d] >= p.max() - alpha,
        "token-safe": p[d] >= (1 - alpha) * p.max(),
        "top-k": (p > p[d]).sum() < alpha,
        "lossy": p[d] >= (1 - alpha) * p.max(),
        "bild": -np.log(p[d]) <= alpha,
        "ensemble": ((1 - alpha) * p + alpha * q).argmax() == d,
        "typical": p[d] >= min(1 - alpha, math.sqrt(max(0.0, 1 - alpha)) * np.exp((p * np.log(p)).sum())),
    }
    return bool(table[name])


@pytest.mark.parametrize("name", RULES)
def test_temperature_zero(name: str) -> None:
    rng = np.random.default_rng(list(RULES).index(name))
    outcomes = {True: 0, False: 0}
    for _ in range(400):
        q, p = rng.dirichlet([0.7] * 6), rng.dirichlet([0.7] * 6)
        low, high = ALPHA.get(name, (0, 0))
        alpha = float(rng.integers(1, 6)) if name == "top-k" else rng.uniform(low, high)
        rule = rule_of(RULES[name], alpha)
        at = position(q, p, GREEDY)
        d, g = int(q.argmax()), int(p.argmax())
        expected = d == g or kept_at_zero(name, alpha, d, q, p)
        verifier = verifier_of(GREEDY)
        (verdict,) = verifier.verdicts(rule, [d], lambda i, at=at: at, 0)  # type: ignore[misc]
        own = int(((1 - alpha) * p + alpha * q).argmax()) if name == "ensemble" else g
        assert verdict == Verdict(expected, d == g, -1 if expected else own)
        assert verifier.extra(rule, at, 0) == (d if expected else own)
        outcomes[expected and d != g] += 1
    assert outcomes[False] > 20
    assert outcomes[True] > 20 or name == "exact"


# --- the ends of alpha ------------------------------------------------------------------------------------------------

ALWAYS_EXPERT = [
    "confidence:0", "entropy:0", "comparative:-1", "token-q:-1", "token-margin:-0.001", "lossy:0", "bild:0",
    "cost-benefit:-inf", "cost-benefit:-1.001", "ensemble:0",
]  # fmt: skip
ALWAYS_DRAFTER = [
    "confidence:1", "entropy:1.8", "comparative:1", "cost-benefit:1.001", "token:1", "token-q:1", "token-margin:1",
    "token-safe:1", "top-k:6", "lossy:0.9999999999999998", "bild:40",
    "ensemble:1", "typical:1",
]  # fmt: skip


@pytest.mark.parametrize("name", ALWAYS_EXPERT + ALWAYS_DRAFTER)
def test_ends_of_alpha(name: str) -> None:
    rng = np.random.default_rng(7)
    for _ in range(100):
        at = position(rng.dirichlet([0.8] * 6), rng.dirichlet([0.8] * 6))
        assert parse_rule(name).pi(at) == pytest.approx(at.q if name in ALWAYS_DRAFTER else at.p, abs=1e-6)


# --- reading what was typed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RULES)
def test_parse_default_and_alpha(name: str) -> None:
    dial = RULES[name].dial
    assert parse_rule(name).alpha == (dial and dial.default)
    alpha = 1 if name == "top-k" else 0.25
    if name != "exact":
        assert parse_rule(f" {name}:{alpha} ").alpha == alpha


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("tokn", "there is no rule 'tokn'", "did you mean 'token'?"),
        ("confidnce:0.3", "there is no rule 'confidnce'", "did you mean 'confidence'?"),
        ("zzzzzz", "there is no rule 'zzzzzz'", "`speccas rules` lists them"),
        ("", "there is no rule ''", "`speccas rules` lists them"),
        ("exact:0.5", "takes no alpha", "--rule exact"),
        ("confidence:1.5", "out of range", "0 to 1, for example confidence:0.3"),
        ("confidence:-0.1", "out of range", "0 to 1"),
        ("comparative:-1.1", "out of range", "-1 to 1"),
        ("token:much", "'much' is not a number", "0 to 1"),
        ("token:", "'' is not a number", "0 to 1"),
        ("token:nan", "out of range", "0 to 1"),
        ("entropy:inf", "out of range", "from 0"),
        ("bild:-1", "out of range", "from 0"),
        ("top-k:2.5", "out of range", "whole number from 1"),
        ("top-k:0", "out of range", "whole number from 1"),
        ("lossy:1", "out of range", "0 to below 1"),
    ],
)
def test_parse_errors(text: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_arm(text)
    assert message in caught.value.message
    assert hint in hint_of(caught.value)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("expart", "there is no rule 'expart'", "did you mean 'expert'?"),
        ("token-cascad", "there is no rule 'token-cascad'", "did you mean 'token-cascade'?"),
        ("expert:0.5", "takes no alpha", "--rule expert"),
        ("answer-cascade:2", "out of range", "0 to 1, for example answer-cascade:0.4"),
        ("answer-cascade:x", "not a number", "0 to 1"),
    ],
)
def test_parse_errors_of_baselines(text: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_arm(text)
    assert message in caught.value.message
    assert hint in hint_of(caught.value)


def test_arms() -> None:
    arms = {arm.name: arm for arm in every_arm()}
    assert list(arms)[:2] == ["expert", "exact"]
    assert set(RULES) < set(arms)
    assert [arm.name for arm in arms.values() if arm.alone] == ["expert", "drafter"]
    assert parse_arm("token:0.9").rule == TokenList(0.9)
    assert parse_arm("answer-cascade:0.2").alpha == 0.2
    assert arms["token-cascade"].rule is None


# --- vocabularies that are not one ------------------------------------------------------------------------------------


def shared_row(shared: Shared, values: list[float]) -> Distribution:
    row = np.log(np.array(values)).astype(np.float32)
    return Distribution(shared.of(row), shared, None if shared.whole else Distribution(row).log_mass)


def test_padded_drafter_is_longer() -> None:
    """The drafter knows tokens that the expert lacks: their mass is doubt, and is left out of the drawing."""
    q1 = shared_row(Shared(3, 3), [0.4, 0.1, 0.1, 0.3, 0.1])
    assert q1.max == pytest.approx(0.4)
    assert [q1.prob(v) for v in range(4)] == pytest.approx([0.4, 0.1, 0.1, 0])
    assert q1.all() == pytest.approx([0.4, 0.1, 0.1])
    assert q1.entropy == pytest.approx(-sum(x * math.log(x) for x in (0.4, 0.1, 0.1, 0.4)), abs=1e-6)
    at = Position(q1, from_probabilities([0.2, 0.3, 0.5]), ONE)
    assert at.q == pytest.approx([4 / 6, 1 / 6, 1 / 6])
    assert not keeps(Confidence(0.5), 0, at)  # 0.4, not 4 / 6
    assert keeps(Confidence(0.61), 0, at)


def test_padded_drafter_is_shorter() -> None:
    q1 = shared_row(Shared(5, 3, whole=True), [0.7, 0.2, 0.1])
    assert q1.prob(4) == 0
    assert q1.log_prob(3) == float("-inf")
    assert q1.entropy == pytest.approx(-sum(x * math.log(x) for x in (0.7, 0.2, 0.1)), abs=1e-6)
    at = Position(q1, from_probabilities([0.2] * 5), ONE)
    assert at.q == pytest.approx([0.7, 0.2, 0.1, 0, 0])
    assert Exact().pi(at) == pytest.approx([0.2] * 5)


def test_subset() -> None:
    q1 = shared_row(Shared(6, 3, np.array([4, 0, 2], dtype=np.int32), whole=True), [0.5, 0.3, 0.2])
    assert q1.argmax == 4
    assert [q1.prob(v) for v in range(6)] == pytest.approx([0.3, 0, 0.2, 0, 0.5, 0])
    assert [token for token, _ in q1.top(2)] == [4, 0]
    assert [mass for _, mass in q1.top(2)] == pytest.approx([0.5, 0.3])
    at = Position(q1, from_probabilities([1 / 6] * 6), Sampling(0.5))
    assert at.q == pytest.approx([0.09 / 0.38, 0, 0.04 / 0.38, 0, 0.25 / 0.38, 0])


def test_overlapping() -> None:
    """Tokens on both sides that the other lacks: decisions see raw numbers, drawing is renormalised."""
    shared = Shared(6, 2, np.array([5, 1], dtype=np.int32), np.array([0, 3], dtype=np.int32))
    q1 = shared_row(shared, [0.2, 0.5, 0.1, 0.2])
    assert q1.max == pytest.approx(0.2)
    assert [q1.prob(v) for v in (5, 1, 0)] == pytest.approx([0.2, 0.2, 0])
    assert q1.all().sum() == pytest.approx(0.4)
    assert q1.entropy == pytest.approx(-2 * 0.2 * math.log(0.2) - 0.6 * math.log(0.6), abs=1e-6)
    assert Position(q1, from_probabilities([1 / 6] * 6), ONE).q == pytest.approx([0, 0.5, 0, 0, 0, 0.5])


@given(logits(), st.sampled_from(SAMPLINGS))
def test_shared_with_everything_is_the_row_itself(row: Distribution, sampling: Sampling) -> None:
    ids = np.array([3, 1, 5, 0, 2, 4], dtype=np.int32)
    mapped = Position(Distribution(row.logits, Shared(6, 6, ids, whole=True)), row, sampling)
    assert mapped.q[ids] == pytest.approx(probabilities(row.logits, sampling))
    assert [mapped.q1.prob(int(v)) for v in ids] == [row.prob(i) for i in range(6)]
    assert mapped.q1.entropy == pytest.approx(row.entropy, abs=1e-5)


# --- lossless ---------------------------------------------------------------------------------------------------------

LOSSLESS = {
    "exact": "any", "cost-benefit:-inf": "any", "comparative:-1": "any", "token-q:-1": "any", "ensemble:0": "any",
    "token-margin:-0.1": "any", "lossy:0": "any", "cost-benefit:-1.5": "0 1", "token:0": "0", "token-margin:0": "0",
    "token-safe:0": "0", "top-k:1": "0", "cost-benefit:-1": "", "cost-benefit:0": "", "comparative:0": "",
    "token-q:0": "", "confidence:0": "", "entropy:0": "", "bild:0": "", "typical:0": "", "ensemble:0.01": "",
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSLESS)
def test_what_is_lossless_where(name: str) -> None:
    """And pi is p there, on random distributions; where it is said not to be, some pi is not."""
    rng = np.random.default_rng(3)
    for sampling in (None, GREEDY, ONE, Sampling(0.5), Sampling(1.0, top_k=3)):
        place = "any" if sampling is None else f"{sampling.temperature:g}" if not sampling.filters else "filtered"
        claimed = named_lossless(name, sampling)
        assert claimed == (LOSSLESS[name] == "any" or place in LOSSLESS[name].split()), place
        if sampling is None or sampling.greedy or not claimed:
            continue
        for _ in range(200):
            at = position(rng.dirichlet([0.4] * 6), rng.dirichlet([0.4] * 6), sampling)
            assert parse_rule(name).pi(at) == pytest.approx(at.p, abs=1e-6)
    assert not named_lossless("of another version:0.5") and not named_lossless("token:much")


def test_minus_infinity_times_no_difference_is_a_number() -> None:
    at = position(P, P)
    assert at.total_variation == 0
    assert CostBenefit(-math.inf).sides(0, at) == pytest.approx((0.5, 0.5))


def test_a_cost_benefit_below_minus_one_is_not_lossless_where_it_is_not_said_to_be() -> None:
    """TV of scaled distributions may be less than max q - max p of the unscaled ones."""
    rng = np.random.default_rng(5)
    rule = CostBenefit(-1.5)
    found = False
    for _ in range(2000):
        at = position(rng.dirichlet([0.3] * 6), rng.dirichlet([0.3] * 6), Sampling(3.0))
        found |= float(np.abs(rule.pi(at) - at.p).max()) > 1e-6
    assert found


# --- the filter that stands beside a rule -----------------------------------------------------------------------------


TWINS = {"token": 0.0, "token-safe": 0.0, "token-margin": 0.0, "top-k": 1.0}
"""The rules that cut off, and where their alpha begins to keep anything."""


@given(random_position(), st.sampled_from(list(TWINS)), st.floats(0, 1))
def test_a_twin_passes_what_the_rule_keeps(at: Position, name: str, dial: float) -> None:
    """And nothing else, at any temperature."""
    rule = rule_of(RULES[name], float(1 + int(dial * 5)) if name == "top-k" else dial)
    assert isinstance(rule, TokenRule)
    left, right = rule.every(at)
    equals = (at.p1.logits[:, None] == at.p1.logits).sum(axis=1) > 1  # a rank keeps all equals, top-k only as many
    surely = ~equals if name == "top-k" else np.abs(left - right) > 1e-6  # else rounding decides
    plain = Sampling(at.sampling.temperature)
    twin = rule.twin(plain)
    assert twin is not None
    passed, possible = (probabilities(at.p1.logits, each) > 0 for each in (twin, plain))
    assert (passed == (rule.approved(at) & possible))[surely].all()


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("token:0.39", 1),
        ("token-safe:0.41", 2),
        ("token-margin:0.19", 1),
        ("token-margin:0.21", 2),
        ("token-margin:0.36", 3),
        ("token-margin:1", 4),
        ("top-k:3", 3),
    ],
)
def test_how_many_tokens_a_twin_leaves(name: str, left: int) -> None:
    twin = parse_rule(name).twin(Sampling(0.6))
    assert twin is not None
    assert np.count_nonzero(probabilities(from_probabilities(P).logits, twin)) == left


@pytest.mark.parametrize("name", [name for name in RULES if name not in TWINS])
def test_other_rules_have_no_twin(name: str) -> None:
    assert rule_of(RULES[name]).twin(ONE) is None


def test_a_rule_that_keeps_nothing_has_no_twin() -> None:
    assert parse_rule("token-margin:-0.1").twin(ONE) is None


@given(random_position(), st.floats(0, 1), st.floats(0, 1), st.integers(1, 6), st.integers(0, 6))
def test_a_twin_leaves_no_more_than_the_runs_filter(at: Position, alpha: float, own: float, k: int, top: int) -> None:
    sampling = Sampling(0.8, top_k=top, min_p=own, margin=own)
    for rule in (TokenList(alpha), TokenMargin(alpha), TopK(k)):
        left, narrowed = (probabilities(at.p1.logits, each) > 0 for each in (sampling, rule.twin(sampling) or sampling))
        assert not (narrowed & ~left).any()
