"""Between settings and a run: what is told while a prompt is read."""

import pytest

from speccas.cli import play
from speccas.cli.view.progress import Waiting
from speccas.core.runtime.pair import Pair
from speccas.core.runtime.prompt import Prompt
from tests.builders.loaded import tokens

TOLD: list[tuple[str, float]] = []


class Heard(Waiting):
    """Notes down what it is told, and shows nothing."""

    def tell(self, what: str, share: float) -> None:
        TOLD.append((what, share))


@pytest.mark.tiny
def test_the_bar_hears_how_far_a_prompt_is_read(tiny: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(play, "Waiting", Heard)
    TOLD.clear()
    tiny.clear()
    word = tokens(tiny, " word")
    assert len(word) == 1
    assert set(play.read(tiny, Prompt(tuple(word * 601)))) == {"expert", "drafter"}
    for role in ("expert", "drafter"):
        shares = [share for what, share in TOLD if what == f"reading the prompt ({role})"]
        assert len(shares) >= 2 and shares == sorted(shares) and shares[-1] == 1.0, TOLD
