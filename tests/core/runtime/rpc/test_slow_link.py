"""An expert behind a slow line: what travels, how often somebody waits for it, and that the automatic draft length
knows. Causes are asserted, never times.

On 50 Mb/s a row of the tiny expert's logits takes 31 ms, more than its call; so over a short way each further row costs
what a token costs, and drafting loses; over a long one the trips that it saves are more.
"""

from collections.abc import Iterator

import pytest

from speccas.core.calibration.calibrate import measure
from speccas.core.calibration.planner import Planner, Wanted, key_of
from speccas.core.calibration.trips import elsewhere_of
from speccas.core.decoding.arms import parse_arm
from speccas.core.decoding.sampling import Sampling
from speccas.core.files.profiles import find_profile
from speccas.core.record.metrics import Fold
from speccas.core.runtime.backend import LoadOptions
from speccas.core.runtime.generate import Drafting, FixedDrafting, Length, PromptRead, generate
from speccas.core.runtime.pair import Pair, load_pair
from tests.builders.loaded import asked
from tests.builders.slow_link import MEGABIT, SlowLink, slow_link
from tests.builders.workers import worker
from tests.core.runtime.rpc.conftest import on

pytestmark = [pytest.mark.rpc, pytest.mark.tiny]

RATE = 50 * MEGABIT
QUESTION = "Name three primary colours, and say why."


@pytest.fixture(scope="module")
def line() -> Iterator[tuple[Pair, SlowLink]]:
    """The tiny pair with its expert behind a line, which is not slow while the weights travel."""
    with (
        worker() as own,
        slow_link(own.address) as link,
        load_pair(on(find_profile("tiny-model"), link.address), LoadOptions(threads=1, ctx=1024)) as pair,
    ):
        yield pair, link


def played(pair: Pair, drafting: Drafting, count: int, arm: str = "exact") -> Fold:
    fold = Fold()
    prompt = asked(pair, QUESTION)
    for event in generate(pair, prompt, parse_arm(arm), Sampling(), Length(count, ignore_eos=True), drafting):
        if not isinstance(event, PromptRead):
            fold(event)
    return fold


def test_a_call_waits_once_and_sends_its_rows_back(line: tuple[Pair, SlowLink]) -> None:
    pair, link = line
    link.trip, link.rate = 0.0, None
    played(pair, FixedDrafting(4), 8)
    expert, row = pair.expert, 4 * len(pair.tokens)
    before, length = (link.turns, link.sent, link.received), len(expert)
    for rows in (1, 5):
        turns, received = link.turns, link.received
        expert.extend([5] * rows, rows)
        assert link.turns - turns == 1, "one round trip a call, however many rows"
        assert row * rows <= link.received - received < row * rows + 4096
        expert.truncate(length)
    for _ in range(2):  # the first one sends its graph, and asks what that takes
        turns = link.turns
        expert.extend([5] * 40, rows=0)
        expert.truncate(length)
    assert link.turns - turns == 1, "what gives no rows is waited for, so that its time is its own"
    assert link.sent - before[1] < 4 << 20, "no weights travel any more"


def test_with_the_output_here_no_logits_travel(tiny: Pair) -> None:
    """A row is a hidden state, and the text is the same."""
    here = [token.id for token in played(tiny, FixedDrafting(4), 16).tokens]
    profile, options = find_profile("tiny-model"), LoadOptions(threads=1, ctx=1024)
    with (
        worker() as own,
        slow_link(own.address) as link,
        load_pair(on(profile, link.address, output="here"), options) as pair,
    ):
        assert [token.id for token in played(pair, FixedDrafting(4), 16).tokens] == here
        expert, length, state = pair.expert, len(pair.expert), 4 * 576
        for rows in (1, 5, 5):
            turns, received = link.turns, link.received
            expert.extend([5] * rows, rows)
            expert.truncate(length)
        assert state * 5 <= link.received - received < state * 5 + 4096
        assert link.turns - turns == 1 and "output here" in key_of(pair)


RULE = "token:0.5"
"""Of which enough is accepted to pay over a long way, and too little over a short one."""


@pytest.mark.parametrize(("trip", "pays"), [(0.001, False), (0.020, None), (0.080, True)])
def test_auto_drafts_where_it_pays(line: tuple[Pair, SlowLink], trip: float, pays: bool | None, tiny: Pair) -> None:
    """At 20 ms it is near to even, and either may be right."""
    pair, link = line
    accepted = played(tiny, FixedDrafting(4), 48, RULE).figures().acceptance
    pair.clear()
    link.trip, link.rate = trip, RATE
    try:
        planner = Planner(pair)
        for _ in range(2):  # the first answer hopes, as nothing is known yet
            turns = link.turns
            figures = played(pair, planner.drafting(Wanted("auto", "off")), 32, RULE).figures()
        assert figures.tokens == 32
        assert link.turns - turns >= (figures.expert_calls or 0) > 0, "each call is a round trip"
        costs = measure(pair, (1, 2, 3, 4, 5), 2)
    finally:
        link.trip, link.rate = 0.0, None
    found = elsewhere_of(pair, costs, accepted)
    assert found is not None
    if pays is not None:
        share = (figures.drafted or 0) / figures.tokens
        told = f"{share:.2f} drafted; {found.verdict}"
        assert found.pays is pays, told
        assert share > 0.5 if pays else share < 0.25, told


def test_the_text_is_the_same_over_any_line(line: tuple[Pair, SlowLink], tiny: Pair) -> None:
    pair, link = line
    here = [token.id for token in played(tiny, FixedDrafting(4), 16).tokens]
    for trip, k in ((0.0, 4), (0.020, 2), (0.080, 7)):
        link.trip, link.rate = trip, RATE
        try:
            pair.clear()
            assert [token.id for token in played(pair, FixedDrafting(k), 16).tokens] == here
        finally:
            link.trip, link.rate = 0.0, None
