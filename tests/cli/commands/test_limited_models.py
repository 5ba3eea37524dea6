"""Hybrid and recurrent models through the commands: always the expert's own text, and said what they cost.

Two pairs have both kinds on both sides. The expert alone, in a process of its own, is what every answer is held to.
"""

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.builders.random_models import random_model

Run = Callable[..., "subprocess.CompletedProcess[str]"]
PROMPT = "The sea is wide, and the sky above it"
NEAR = 0.05  # of the expert's two best logits, where a text may go on otherwise
MOST = 40


class Files:
    """A pair of files, and what the expert alone writes in a process of its own."""

    def __init__(self, speccas: Run, folder: Path, expert: str, drafter: str) -> None:
        made = {role: random_model(folder / f"{role}.gguf", kind, layers=i)
                for i, (role, kind) in enumerate((("expert", expert), ("drafter", drafter)))}  # fmt: skip
        self.names = ("--drafter", str(made["drafter"]), "--expert", str(made["expert"]))
        self.flags = (*self.names, "--ctx", "512", "--ignore-eos", "--temperature", "0", "--raw")
        self.alone = document(speccas("run", PROMPT, *self.flags, "--rule", "expert", "-n", str(MOST), "--json"))[0]


def document(done: "subprocess.CompletedProcess[str]") -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    arms: list[dict[str, Any]] = json.loads(done.stdout)["arms"]
    return arms


@pytest.fixture(scope="module", params=[("hybrid", "recurrent"), ("recurrent", "hybrid")], ids="-".join)
def files(request: pytest.FixtureRequest, speccas: Run, tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(speccas, tmp_path_factory.mktemp("models"), *request.param)


@pytest.fixture
def unknown(tmp_path: Path) -> dict[str, str]:
    """A machine that knows no pair: no curves."""
    return {"XDG_CACHE_HOME": str(tmp_path / "cache")}


@pytest.mark.slow
def test_the_first_answer_on_a_machine_that_does_not_know_the_pair(
    speccas: Run, files: Files, unknown: Mapping[str, str], tmp_path: Path
) -> None:
    """All at their defaults: `-k auto` measures what calls cost. In a pipe, the answer's bytes."""
    first = speccas("run", PROMPT, *files.flags, "-n", str(MOST), env=unknown)
    assert (tmp_path / "cache" / "speccas" / "curves.json").is_file()
    again = speccas("run", PROMPT, *files.flags, "-n", str(MOST), "-q", env=unknown)
    assert first.stdout == again.stdout == files.alone["text"] + "\n"
    assert "note: the expert (" in first.stderr and "note: the drafter (" in first.stderr, "loading says what it costs"
    assert not again.stderr


@pytest.mark.slow
@pytest.mark.parametrize("count", [6, 17, MOST])
def test_compare(speccas: Run, files: Files, unknown: Mapping[str, str], count: int) -> None:
    arms = document(
        speccas("compare", PROMPT, *files.flags, "-n", str(count), "--rule", "token", "--json", env=unknown)
    )
    expert, exact = arms[:2]
    assert files.alone["text"].startswith(expert["text"].rstrip("\ufffd"))
    assert (expert["name"], exact["name"], exact["tokens"]) == ("expert", "exact", count)
    assert exact["identical_to_expert"] or exact["first_difference_gap"] < NEAR
    assert exact["expert_logprob"] == pytest.approx(expert["expert_logprob"], abs=0.01)
    if count == MOST:
        assert 0.2 < exact["acceptance"] < 0.9, "neither all nor none, or nothing is shown here"


@pytest.mark.slow
def test_bench_with_the_automatic_draft_length(speccas: Run, files: Files, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text(json.dumps({"prompt": PROMPT}) + "\n")
    flags = (*files.flags, "--prompts", str(prompts), "--repeats", "2", "-n", "12", "-k", "auto,3", "--rule", "token")
    done = speccas("bench", *flags, "--report", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    samples = [json.loads(line) for line in (tmp_path / "out" / "samples.jsonl").read_text().splitlines()]
    by = {(each["prompt_id"], each["repeat"], each["name"], str(each["k"])): each for each in samples}
    for (prompt, repeat, name, k), sample in by.items():
        if name == "exact":
            alone = by[prompt, repeat, "expert", "None"]
            differs = next(
                (i for i, (a, b) in enumerate(zip(alone["ids"], sample["ids"], strict=True)) if a != b), None
            )
            assert differs is None or alone["gaps"][differs] < NEAR, (prompt, repeat, k)
    assert {key[3] for key in by if key[2] == "exact"} == {"auto", "3"}


def test_check_says_what_it_costs(speccas: Run, files: Files) -> None:
    done = speccas("check", files.names[1], files.names[3])
    assert done.returncode == 0
    assert "note: the expert (" in done.stdout and "note: the drafter (" in done.stdout
