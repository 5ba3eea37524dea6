"""What is said of a pair when it is loaded: models that are the wrong way round, a context beyond what was trained."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from speccas.cli.notes import load_notes
from speccas.core.files.profiles import Profile
from speccas.core.files.source import Source
from speccas.core.runtime.backend import LoadOptions
from speccas.core.runtime.pair import load_pair
from tests.builders.models import TINY, smollm2
from tests.builders.rehead import reheaded

Run = Callable[..., "subprocess.CompletedProcess[str]"]
SWAPPED = "are they the wrong way round?"


def test_a_context_that_nobody_was_trained_for(tmp_path: Path) -> None:
    short = Source(path=str(reheaded(TINY, tmp_path / "short.gguf", {"llama.context_length": 256})))
    for drafter, expert, roles in ((short, Source(path=str(TINY)), ["drafter"]), (short, short, ["drafter", "expert"])):
        for ctx, told in ((256, False), (512, True)):
            with load_pair(Profile("made", drafter, expert), LoadOptions(ctx=ctx, threads=1)) as pair:
                notes = [note for note in load_notes(pair) if "trained for 256 tokens" in note]
            assert [role for role in roles if any(f"the {role} was" in note for note in notes)] == roles * told
            assert len(notes) == len(roles) * told


@pytest.mark.tiny
def test_a_pair_that_is_the_wrong_way_round_is_told(speccas: Run) -> None:
    files = ["--drafter", str(smollm2()), "--expert", str(TINY)]
    told = speccas("run", "hi", *files, "-n", "2")
    assert told.returncode == 0 and told.stderr.count(SWAPPED) == 1
    assert SWAPPED in " ".join(speccas("check", str(smollm2()), str(TINY)).stdout.split())
    assert SWAPPED not in speccas("run", "hi", *files, "-n", "2", "-q").stderr


@pytest.mark.slow
@pytest.mark.tiny
def test_it_is_told_wherever_a_pair_is_loaded(speccas: Run) -> None:
    files = ["--drafter", str(smollm2()), "--expert", str(TINY)]
    assert SWAPPED in speccas("compare", "hi", *files, "-n", "2", "--rule", "exact").stderr
    assert SWAPPED in speccas("chat", *files, "-n", "2", "-p", "hi").stderr
    assert SWAPPED not in speccas("run", "hi", "-n", "2").stderr
