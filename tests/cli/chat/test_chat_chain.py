"""A chat over a cascade of three: what is taken back leaves the expert's own text."""

import shutil
from pathlib import Path

import pytest

from tests.builders.going_back import Saved, Start, gone_back, own_turns
from tests.builders.random_models import random_model


@pytest.mark.slow
def test_going_back(start: Start, saved: Saved, tmp_path: Path) -> None:
    expert = random_model(tmp_path / "expert.gguf", "plain")
    drafters = [shutil.copy(expert, tmp_path / f"{name}.gguf") for name in ("first", "middle")]
    models = ("--drafter", str(drafters[0]), "--drafter", str(drafters[1]), "--expert", str(expert))
    talk = gone_back(start, tmp_path, models, "4", "auto")
    own_turns(start, saved, tmp_path, models, talk)
