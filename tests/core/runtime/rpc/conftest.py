"""Workers of this machine, and the pair tiny-model with its expert on them."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from speccas.core.errors import Unavailable
from speccas.core.files.profiles import Profile, find_profile
from speccas.core.runtime.backend import LoadOptions
from speccas.core.runtime.pair import Pair, load_pair
from tests.builders.workers import Lent, worker

Load = Callable[..., Pair]


@pytest.fixture(scope="module")
def lent() -> Iterator[Lent]:
    with worker() as found:
        yield found


def on(profile: Profile, *addresses: str, output: str = "") -> Profile:
    """The pair with its expert on these workers."""
    return replace(profile, expert=replace(profile.expert, rpc=",".join(addresses), rpc_output=output))


@pytest.fixture
def load() -> Iterator[Load]:
    """Loads tiny-model on workers; what is loaded is freed."""
    pairs: list[Pair] = []

    def made(*addresses: str, ctx: int = 1024) -> Pair:
        try:
            pairs.append(load_pair(on(find_profile("tiny-model"), *addresses), LoadOptions(threads=1, ctx=ctx)))
        except Unavailable as missing:
            if "extra" in missing.facts:
                pytest.skip(missing.message)
            raise
        return pairs[-1]

    yield made
    for pair in pairs:
        pair.close()
