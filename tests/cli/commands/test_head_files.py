"""Heads through the commands of pairs and files: what `check`, `show`, `list` and `pull` make of them."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from speccas.cli.values import choices
from speccas.core.files.found import found_files
from tests.builders.head_headers import eagle3, expert, mtp, written
from tests.builders.heads import Eagle
from tests.builders.random_models import random_model
from tests.cli.commands.test_pairs import speccas, write_pair
from tests.hub_server import Hub

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_model(tmp_path_factory.mktemp("expert") / "expert.gguf", "plain")


def test_check_takes_a_head_and_says_what_it_is(model: Path, tmp_path: Path) -> None:
    head = Eagle().write(tmp_path / "eagle3-expert.gguf", model)
    found = speccas("check", str(head), str(model), "--json")
    assert found.returncode == 0, found.stderr
    document = json.loads(found.stdout)
    assert (document["verdict"], document["head"]["kind"], document["head"]["reads"]) == ("head", "EAGLE-3", [0, 1, 1])
    told = speccas("check", str(head), str(model)).stdout
    assert told.startswith("head\nan EAGLE-3 head of 1 layer, on the states at layers 0, 1 and 1")
    assert "it can propose 100.0% of the expert's tokens" in told and "tokenizer" not in told


@pytest.mark.slow
def test_a_head_that_does_not_fit_is_refused_by_check_and_at_load(model: Path, tmp_path: Path) -> None:
    file = str(Eagle(hidden=128).write(tmp_path / "eagle3-other.gguf", model))
    reason = "it reads states of 128 numbers, and those of the expert have 64"
    check, run = speccas("check", file, str(model)), speccas("run", "x", "--drafter", file, "--expert", str(model))
    for done in (check, run):
        assert done.returncode == 7 and reason in " ".join(done.stderr.split()), done.stderr
        assert "Traceback" not in done.stderr
    assert "eagle3-other.gguf cannot read the states of expert.gguf" in " ".join(run.stderr.split())
    assert len(run.stderr.strip().splitlines()) <= 3


@pytest.mark.slow
def test_an_expert_without_a_head_inside_is_refused_by_check_and_at_load(model: Path) -> None:
    for words in (["check", "head", str(model)], ["run", "x", "--drafter", "head", "--expert", str(model)]):
        found = speccas(*words)
        assert found.returncode == 7 and "expert.gguf holds no head" in found.stderr, found.stderr
    missing = speccas("check", "head")
    assert missing.returncode == 2 and "the expert is missing" in missing.stderr
    alone = speccas("run", "x", "--expert", str(model))
    assert alone.returncode == 2 and "--drafter head" in alone.stderr


def test_show_says_that_a_file_holds_a_head(tmp_path: Path) -> None:
    file = written(tmp_path, "m.gguf", expert(guessing=1))
    beside = written(tmp_path, "mtp-m.gguf", mtp())
    shown = speccas("show", str(file)).stdout
    assert "head inside" in shown and "an MTP head of 1 layer" in shown and str(beside) in shown


@pytest.mark.slow
def test_a_pair_with_its_head_inside_is_one_download(hub: Hub, tmp_path: Path) -> None:
    data = expert(guessing=1)
    hub.add("owner/model-GGUF", {"model-Q4_K_M.gguf": data, "MTP/mtp-model.gguf": mtp()})
    write_pair(tmp_path, "mine", "{head: inside}", "{hf: owner/model-GGUF, quant: Q4_K_M}", untried="true")
    assert speccas("check", "mine").returncode == 0
    shown = speccas("show", "mine").stdout
    assert "drafter: the head in model-Q4_K_M.gguf" in shown and "not run by us" in shown
    assert "hf:owner/model-GGUF:MTP/mtp-model.gguf" in shown
    pulled = speccas("pull", "mine")
    assert pulled.returncode == 0 and len(pulled.stdout.splitlines()) == 1, pulled.stderr
    listed = {each["name"]: each for each in json.loads(speccas("list", "--json").stdout)["pairs"]}["mine"]
    assert (listed["state"], listed["bytes"], listed["drafter"]["source"]) == ("have", len(data), "head")
    assert listed["untried"] and "(not run by us)" in speccas("list").stdout
    checked = speccas("verify", "mine")
    assert checked.returncode == 0 and checked.stdout.count("right") == 1
    assert f"freed 0.00 GB ({len(data)} bytes)" in speccas("rm", "mine").stdout


def test_heads_that_other_programs_left_are_found_and_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".lmstudio/models/maker/two-GGUF"
    for name in ("two.gguf", "mtp-two.gguf", "eagle3-two.gguf", "mmproj-two.gguf", "smtp-two.gguf"):
        written(folder, name, eagle3())
    found = {each.path.name: each.head for each in found_files() if each.program == "LM Studio"}
    assert found == {"two.gguf": False, "mtp-two.gguf": True, "eagle3-two.gguf": True, "smtp-two.gguf": False}


def test_head_is_a_drafter_that_can_be_completed() -> None:
    assert ("head", "in the expert's file") in choices("drafters", "he") and not choices("models", "hea")
