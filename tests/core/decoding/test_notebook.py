"""The rules against the equations of the paper's own notebook (google-research, speculative_cascades), written down
again as sums over single tokens.

Its lossy rule at temperature 0 is left out: it compares one-hot distributions, ours those at temperature 1.
"""

import math
from collections.abc import Callable, Sequence
from random import Random

import pytest

from speccas.core.decoding.deferral import Position
from speccas.core.decoding.rules import RULES, rule_of
from speccas.core.decoding.sampling import Sampling, from_probabilities
from speccas.core.decoding.verify import TokenVerifier

CASES = 1200  # of each method: 9,600 in all
TEMPERATURES = (1.0, 0.7, 0.3, 1.6, 0.0)
EDGE = 1e-4  # of a chance: draws nearer to an acceptance probability say nothing

Numbers = Sequence[float]
Kept = Callable[[int, Numbers, Numbers, Numbers, Numbers, float], bool]
"""Whether the small model's token v stands: v, q1, p1, q, p, lenience."""


def kept_chow(v: int, q1: Numbers, p1: Numbers, q: Numbers, p: Numbers, lenience: float) -> bool:
    return max(q1) >= 1 - lenience


def kept_diff(v: int, q1: Numbers, p1: Numbers, q: Numbers, p: Numbers, lenience: float) -> bool:
    return max(q1) >= max(p1) - lenience


def kept_opt(v: int, q1: Numbers, p1: Numbers, q: Numbers, p: Numbers, lenience: float) -> bool:
    apart = sum(max(0.0, small - large) for small, large in zip(q, p, strict=True))
    if apart == 0:  # then q is p; the notebook's -inf times 0 is no number
        return True
    return max(q1) >= max(p1) - lenience * apart


def kept_v1(v: int, q1: Numbers, p1: Numbers, q: Numbers, p: Numbers, lenience: float) -> bool:
    return q1[v] >= max(p1) - lenience


def kept_v2(v: int, q1: Numbers, p1: Numbers, q: Numbers, p: Numbers, lenience: float) -> bool:
    return p1[v] >= max(p1) - lenience


def kept_v3(v: int, q1: Numbers, p1: Numbers, q: Numbers, p: Numbers, lenience: float) -> bool:
    return p1[v] >= (1 - lenience) * max(p1)


def kept_never(v: int, q1: Numbers, p1: Numbers, q: Numbers, p: Numbers, lenience: float) -> bool:
    return False


METHODS: dict[str, tuple[str, Kept | None, Callable[[Random], float]]] = {
    "speed, lenience 0": ("exact", kept_never, lambda random: 0.0),
    "speed": ("lossy", None, lambda random: random.uniform(0, 0.95)),
    "cascade_chow": ("confidence", kept_chow, lambda random: random.uniform(0, 1)),
    "cascade_diff": ("comparative", kept_diff, lambda random: random.uniform(-1, 1)),
    "cascade_opt": (
        "cost-benefit",
        kept_opt,
        lambda random: random.choice([random.gauss(-1, 1.5), 0.5, -1e9, -math.inf]),
    ),
    "cascade_tokenV1": ("token-q", kept_v1, lambda random: random.uniform(-1, 1)),
    "cascade_tokenV2": ("token-margin", kept_v2, lambda random: random.uniform(-1, 1)),
    "cascade_tokenV3": ("token", kept_v3, lambda random: random.uniform(0, 1)),
}
"""By the notebook's name: our rule, what it keeps (None: it is no cascade), and its lenience."""


def softmax(logits: Numbers) -> list[float]:
    top = max(logits)
    found = [math.exp(each - top) for each in logits]
    return [each / sum(found) for each in found]


def sampled(logits: Numbers, temperature: float) -> list[float]:
    if temperature:
        return softmax([each / temperature for each in logits])
    return [float(i == logits.index(max(logits))) for i in range(len(logits))]


def models(random: Random) -> tuple[list[float], list[float]]:
    """Logits of a small model and a large one that resembles it, or is it."""
    size, spread, apart = random.randint(2, 24), random.uniform(0.3, 5), random.choice([0.0, 0.3, 1.0, 3.0])
    large = [random.gauss(0, spread) for _ in range(size)]
    return [each + random.gauss(0, 1) * apart for each in large], large


def target(kept: Kept, q1: Numbers, p1: Numbers, q: Numbers, p: Numbers, lenience: float) -> list[float]:
    """What a cascade samples: q where the small model stands, p times the rest."""
    stands = [q[v] if kept(v, q1, p1, q, p, lenience) else 0.0 for v in range(len(q))]
    rest = 1 - sum(stands)
    return [own + rest * large for own, large in zip(stands, p, strict=True)]


def acceptance_and_rest(aim: Numbers, q: Numbers, lenience: float) -> tuple[list[float], list[float]]:
    """The probability that each token is accepted, and the weights of what comes in place of one that is not."""
    accepted = [min(1.0, a / max((1 - lenience) * b, 1e-10)) for a, b in zip(aim, q, strict=True)]
    return accepted, [max(0.0, a - b) for a, b in zip(aim, q, strict=True)]


@pytest.mark.parametrize("method", METHODS)
def test_every_case_agrees(method: str) -> None:
    name, kept, lenience_of = METHODS[method]
    random = Random(method)
    differences = []
    for case in range(CASES):
        temperature = TEMPERATURES[case % (len(TEMPERATURES) - (kept is None))]
        small, large = models(random)
        lenience = lenience_of(random)
        q1, p1, q, p = softmax(small), softmax(large), sampled(small, temperature), sampled(large, temperature)
        aim = target(kept, q1, p1, q, p, lenience) if kept else p
        accepted, rest = acceptance_and_rest(aim, q, 0.0 if kept else lenience)
        written = [each * chance for each, chance in zip(q, accepted, strict=True)]
        if sum(rest) > 0:
            left = (1 - sum(written)) / sum(rest)
            written = [own + left * other for own, other in zip(written, rest, strict=True)]

        rule, sampling = rule_of(RULES[name], lenience), Sampling(temperature)
        at = Position(from_probabilities(q1), from_probabilities(p1), sampling)
        found = rule.pi(at)
        differences.append(max(abs(a - b) for a, b in zip(found, written, strict=True)))
        v = random.choices(range(len(q)), q)[0]
        for draw, wanted in ((accepted[v] - EDGE, True), (accepted[v] + EDGE, False)):
            if 0 <= draw < 1:
                verdict = TokenVerifier(sampling, lambda draw=draw: draw).verdict(rule, v, at, 0)  # type: ignore[misc]
                assert verdict.accepted is wanted, (case, small, large, lenience, temperature)
    assert len(differences) == CASES and max(differences) < 1e-5
