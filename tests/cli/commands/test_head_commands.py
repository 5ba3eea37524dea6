"""An EAGLE-3 head as drafter through the commands: the expert's own text, and what a head cannot do told in a line."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.builders.heads import Eagle
from tests.builders.models import QWEN_EXPERT
from tests.builders.random_models import random_model

Run = Callable[..., "subprocess.CompletedProcess[str]"]
PROMPT = "The sea is wide, and the sky above it"


@dataclass(frozen=True)
class Files:
    head: Path
    expert: Path

    @property
    def flags(self) -> tuple[str, ...]:
        models = ("--drafter", str(self.head), "--expert", str(self.expert))
        return (*models, "--ctx", "512", "--ignore-eos", "--temperature", "0", "--raw")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("head")
    expert = random_model(folder / "expert.gguf", "plain")
    return Files(Eagle().write(folder / "eagle3-expert.gguf", expert), expert)


def document(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_compare_plays_all_but_what_a_head_cannot(speccas: Run, files: Files, tmp_path: Path) -> None:
    trace = tmp_path / "x.jsonl"
    found = document(speccas("compare", PROMPT, *files.flags, "--all", "-n", "24", "--json", "--trace", str(trace)))
    arms = {each["name"]: each for each in found["arms"]}
    assert {"expert", "exact", "token", "lossy", "bild"} <= set(arms)
    assert not {"drafter", "token-cascade", "answer-cascade"} & set(arms)
    assert arms["exact"]["identical_to_expert"] and 0.2 < arms["exact"]["acceptance"] < 0.9
    rounds = [line for line in map(json.loads, trace.read_text().splitlines()) if line["type"] == "round"]
    judged = [token for each in rounds if each["arm"] == "exact" for token in each["tokens"]]
    assert {each["source"] for each in rounds} == {"drafter"}
    assert all(token["p"] is not None for token in judged) and any(token["q"] is not None for token in judged)


@pytest.mark.slow
def test_run_writes_the_experts_text(speccas: Run, files: Files, tmp_path: Path) -> None:
    env = {"XDG_CACHE_HOME": str(tmp_path)}
    alone = speccas("run", PROMPT, *files.flags, "-n", "40", "--rule", "expert", "-q")
    drafted = speccas("run", PROMPT, *files.flags, "-n", "40", "-q", env=env)
    assert alone.returncode == drafted.returncode == 0 and alone.stdout == drafted.stdout
    why = speccas("run", PROMPT, *files.flags, "-n", "12", "-k", "4", "--why", "3")
    assert why.returncode == 0 and "token 3" in why.stdout + why.stderr


@pytest.mark.parametrize("command", ["run", "compare"])
def test_a_head_that_shall_write_alone_is_refused_before_anything_is_read(
    speccas: Run, files: Files, command: str
) -> None:
    done = speccas(command, PROMPT, *files.flags, "-n", "8", "--rule", "drafter")
    assert done.returncode == 7 and not done.stdout
    assert "eagle3-expert.gguf is a head: it writes nothing without the expert" in done.stderr


@pytest.mark.slow
def test_bench_leaves_the_head_alone_out_and_says_so(speccas: Run, files: Files, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text(json.dumps({"prompt": PROMPT}) + "\n")
    flags = (*files.flags, "--prompts", str(prompts), "--repeats", "1", "-n", "12", "-k", "auto,3")
    found = document(speccas("bench", *flags, "--report", str(tmp_path / "out"), "--json"))
    assert {each["name"] for each in found["arms"]} == {"expert", "exact", "token", "confidence"}
    assert any("the drafter is a head" in note for note in found["manifest"]["bench"]["notes"])


@pytest.mark.real
def test_an_expert_that_hands_out_no_states_is_refused(speccas: Run, files: Files) -> None:
    done = speccas("run", PROMPT, "--drafter", str(files.head), "--expert", str(QWEN_EXPERT))
    assert done.returncode == 7
    assert "architecture 'qwen2' hands out none" in done.stderr.replace("\n", " ")
