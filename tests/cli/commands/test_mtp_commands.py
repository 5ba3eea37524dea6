"""MTP heads and an assistant as drafters through the commands: the expert's own text."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders.mtp import assistant, assisted, head_alone, with_head
from tests.builders.random_models import random_model

Run = Callable[..., "subprocess.CompletedProcess[str]"]
PROMPT = "The sea is wide, and the sky above it"


def inside(folder: Path) -> tuple[str, Path]:
    return "head", with_head(folder / "expert.gguf", "gated")


def beside(folder: Path) -> tuple[str, Path]:
    return str(head_alone(folder / "mtp-expert.gguf", "gated")), random_model(folder / "expert.gguf", "gated")


def sharing(folder: Path) -> tuple[str, Path]:
    expert = assisted(folder / "expert.gguf")
    return str(assistant(folder / "assistant-expert.gguf", expert)), expert


@pytest.mark.slow
@pytest.mark.parametrize("files", [inside, beside, sharing])
def test_compare(speccas: Run, files: Callable[[Path], tuple[str, Path]], tmp_path: Path) -> None:
    drafter, expert = files(tmp_path)
    trace = tmp_path / "x.jsonl"
    flags = ("--ctx", "512", "--ignore-eos", "--temperature", "0", "--raw", "-n", "24", "-k", "3")
    models = ("--drafter", drafter, "--expert", str(expert))
    done = speccas("compare", PROMPT, *models, *flags, "--rule", "comparative", "--json", "--trace", str(trace))
    assert done.returncode == 0, done.stderr
    arms = {each["name"]: each for each in json.loads(done.stdout)["arms"]}
    assert arms["exact"]["identical_to_expert"] and 0.2 < arms["exact"]["acceptance"] < 0.9
    rounds = [line for line in map(json.loads, trace.read_text().splitlines()) if line["type"] == "round"]
    bonus = [each for line in rounds if line["arm"] == "comparative" for each in line["tokens"]
             if each["status"] == "bonus"]  # fmt: skip
    assert bonus and all(each["q"] is not None for each in bonus), "the rule read q there too"
    fits = speccas("check", drafter, str(expert), "--json")
    assert fits.returncode == 0 and json.loads(fits.stdout)["verdict"] == "head", fits.stderr
