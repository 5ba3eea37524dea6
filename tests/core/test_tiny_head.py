"""The pair tiny: a head that was trained here, on the real expert."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from speccas.core.decoding import verify
from speccas.core.decoding.deferral import Position
from speccas.core.decoding.events import Judged, Status
from speccas.core.decoding.rules import Exact
from speccas.core.decoding.sampling import Distribution, Sampling, distribution
from speccas.core.decoding.verify import VERIFIERS, verifier_of
from speccas.core.errors import Unavailable
from speccas.core.files.local import locate
from speccas.core.files.profiles import find_profile
from speccas.core.runtime.backend import LoadOptions
from speccas.core.runtime.pair import Pair, load_pair
from tests.builders.loaded import answered, asked, prefill
from tests.core.decoding.test_distribution import against

pytestmark = pytest.mark.tiny


@pytest.fixture(scope="module")
def headed() -> Iterator[Pair]:
    try:
        pair = load_pair(find_profile("tiny"), LoadOptions(threads=1))
    except Unavailable as missing:
        pytest.skip(missing.message)
    with pair:
        yield pair


def test_the_file_is_that_of_the_profile() -> None:
    source = find_profile("tiny").drafter
    assert locate(source).stat().st_size == source.bytes


@pytest.mark.parametrize("text", ["Name three primary colours.", "Write a function that adds two numbers."])
def test_greedy_exact_is_the_expert_alone_and_most_drafts_stand(headed: Pair, text: str) -> None:
    prompt = asked(headed, text)
    alone, tokens = (
        [token for each in answered(headed, prompt, arm, 32) if isinstance(each, Judged) for token in each.tokens]
        for arm in ("expert", "exact")
    )
    assert [token.id for token in tokens] == [token.id for token in alone]
    count = Counter(token.status for token in tokens)
    assert count[Status.AGREED] / (count[Status.AGREED] + count[Status.DEFERRED]) > 0.4 and not count[Status.KEPT]


@pytest.mark.slow
@pytest.mark.parametrize("test", VERIFIERS)
def test_the_first_token_is_drawn_from_the_expert(headed: Pair, test: str) -> None:
    """At temperature 0.8: many draws on rows that are evaluated once."""
    prompt = list(asked(headed, "Write a poem.").ids)
    prefill(headed, prompt)
    proposal = headed.drafts.next()
    assert proposal is not None
    p1 = Distribution(distribution(headed.expert.extend(prompt[-1:], rows=1)[0]).logits.copy())
    headed.expert.truncate(len(prompt) - 1)
    sampling, exact = Sampling(0.8, test=test), Exact()
    at = Position(proposal.q1, p1, sampling)
    assert 0.02 < at.total_variation < 0.98
    found: Counter[tuple[int, ...]] = Counter()
    for seed in range(3_000):
        verifier = verifier_of(replace(sampling, seed=seed))
        drafted = verifier.draw(proposal.q1, 0)
        verdict = verify.judge(exact, [drafted], lambda i: at, verifier, 0)
        found[(drafted if verdict.statuses else verdict.token,)] += 1
    assert against(found, at.p) > 1e-4
    assert against(found, at.q) < 1e-6
