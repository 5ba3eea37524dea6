"""A chat with a hybrid and a recurrent model on both sides: going back in it leaves the expert's own text."""

from pathlib import Path

import pytest

from tests.builders.going_back import Saved, Start, gone_back, own_turns
from tests.builders.random_models import random_model


@pytest.mark.slow
@pytest.mark.parametrize("kinds", [("hybrid", "recurrent"), ("recurrent", "hybrid")], ids="-".join)
def test_going_back(start: Start, saved: Saved, tmp_path: Path, kinds: tuple[str, str]) -> None:
    expert, drafter = (str(random_model(tmp_path / f"{i}.gguf", kind, layers=i)) for i, kind in enumerate(kinds))
    models = ("--drafter", drafter, "--expert", expert)
    talk = gone_back(start, tmp_path, models, "auto", "4")
    own_turns(start, saved, tmp_path, models, talk)
