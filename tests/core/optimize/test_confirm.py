"""The proof on tables whose calls take their time on a virtual clock: it asks on until something is shown."""

import pytest

from speccas.core.bench.suites import Item
from speccas.core.calibration.calibrate import Curve
from speccas.core.decoding.length.latency import LatencyModel
from speccas.core.decoding.table import VirtualClock
from speccas.core.files.profiles import Profile
from speccas.core.files.source import Source
from speccas.core.optimize.confirm import confirm
from speccas.core.runtime.backend import LoadOptions
from speccas.core.runtime.pair import Pair, load_pair
from tests.builders.table_backend import TableBackend

ITEMS = [Item(f"p{i}", "chat", f"Tell me of the sea, number {i}.") for i in range(16)]


def tables(seconds: float, clock: VirtualClock) -> tuple[Pair, Curve]:
    """A pair whose expert takes so long for a token, however many a call reads; drafts are as dear."""
    costs = {name: lambda n: n * seconds for name in ("expert", "drafter")}
    sources = Source(path="table:drafter"), Source(path="table:expert")
    pair = load_pair(
        Profile("tables", *sources), LoadOptions(ctx=1024, threads=1), backend=lambda _: TableBackend(costs, clock)
    )
    pair.use_clock(clock)
    return pair, Curve(LatencyModel({n: n * seconds for n in (1, 4)}, seconds), 1.0)


@pytest.mark.parametrize(("new", "prompts", "shown"), [(0.8, 8, True), (1.0, 16, False), (1.25, 8, False)])
def test_it_ends_as_soon_as_it_is_settled(new: float, prompts: int, shown: bool) -> None:
    clock, heard = VirtualClock(), list[tuple[int, int]]()
    found = confirm(tables(1.0, clock), tables(new, clock), ITEMS, 12, lambda done, of: heard.append((done, of)), 8)
    assert (found.prompts, found.shown) == (prompts, shown)
    assert found.new_alone_times.value == pytest.approx(1 / new)
    assert heard == [(i + 1, 32 if i < 32 else 64) for i in range(4 * prompts)]
