"""A pair that seems not to fit: refused, unless that is not to be checked."""

import pytest

from speccas.core.errors import DoesNotFit
from speccas.core.files.profiles import Profile
from speccas.core.files.source import Source
from speccas.core.machine.memory import Memory
from speccas.core.runtime import room
from speccas.core.runtime.backend import LoadOptions
from speccas.core.runtime.pair import load_pair
from tests.builders.models import TINY

SOURCE = Source(path=str(TINY))
PAIR = Profile("twice", SOURCE, SOURCE)


def test_a_pair_that_seems_not_to_fit_is_loaded_only_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "memory", lambda: Memory(1 << 20, 1 << 20))
    monkeypatch.setattr(room, "resident", lambda: 0)
    with pytest.raises(DoesNotFit, match="too little even for the smallest context") as raised:
        load_pair(PAIR, LoadOptions(ctx=256, threads=1))
    assert raised.value.facts == {"context": 0}
    with load_pair(PAIR, LoadOptions(ctx=256, threads=1, memory_check=False)) as pair:
        assert pair.context == 256
