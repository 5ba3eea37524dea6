"""Pairs whose files were made here, as list, show, verify, rm and run see them."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from speccas.core.files.local import hash_file
from speccas.core.files.profiles import Profile, find_profile
from speccas.core.files.source import Source
from speccas.core.machine.processor import cpu_name
from speccas.core.optimize.store import Optimized, keep, made_folder, register, workplace
from speccas.core.tune.store import tuned_file
from tests.builders.models import TINY
from tests.test_schemas import check

Run = Callable[..., "subprocess.CompletedProcess[str]"]
FIGURES = {
    "name": "Q4_0, 512 tokens",
    "relative": {"1": 1.0, "4": 1.55},
    "step": 0.35,
    "acceptance": 0.86,
    "same_argmax": 0.952,
}


@pytest.fixture(autouse=True)
def homes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for kind in ("DATA", "CONFIG", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind.lower()))


@pytest.fixture
def ours(speccas: Run) -> Run:
    """The script with the homes of this test."""

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        return speccas(*words, env={name: each for name, each in os.environ.items() if name.startswith("XDG_")})

    return run


def made(name: str, processor: str) -> Profile:
    """A pair as `optimize` writes it: the expert was made, the drafter is the source's own."""
    with workplace(name) as part:
        (part / "expert").mkdir()
        shutil.copy(TINY, part / "expert/large-Q4_0.gguf")
        sha, size = hash_file(TINY), TINY.stat().st_size
        known = {"sha256": sha, "bytes": size, "source_sha256": sha}
        files = {
            "drafter": {"file": str(TINY), "source": str(TINY), "recipe": "", **known},
            "expert": {
                "file": "expert/large-Q4_0.gguf",
                "source": "large.gguf",
                "recipe": "every matrix as Q4_0",
                **known,
            },
        }
        card = {"of": "tiny", "files": files, "finding": "1.32x", "chosen": FIGURES["name"], "judged": [FIGURES]}
        folder = keep(part, name, card, "made of tiny\n")
    table = Optimized("tiny", processor, "llama-cpp-python 0.3.36", 0.0213, 0, str(folder))
    expert = Source(path=str(folder / "expert/large-Q4_0.gguf"), sha256=sha, bytes=size)
    drafter = Source(path=str(TINY), sha256=sha, bytes=size)
    register(Profile(name, drafter, expert, title="tiny as Q4_0", licence="apache-2.0", optimized=asdict(table)))
    return find_profile(name)


def listed(run: Run, name: str) -> dict[str, Any]:
    found = run("list", "--json")
    assert found.returncode == 0 and not found.stderr
    check("list", json.loads(found.stdout))
    pair: dict[str, Any] = next(each for each in json.loads(found.stdout)["pairs"] if each["name"] == name)
    return pair


@pytest.mark.slow
def test_list_says_of_what_and_for_which_machine(ours: Run) -> None:
    made("tiny-fast", cpu_name())
    made("tiny-there", "a Zuse Z3")
    lines = {line.split()[0]: line for line in ours("list").stdout.splitlines() if line.startswith("tiny")}
    assert lines["tiny-fast"].endswith("made of tiny for this processor; 0.021 nats from it")
    assert "made of tiny for another processor, a Zuse Z3;" in lines["tiny-there"]
    pair = listed(ours, "tiny-fast")
    assert pair["optimized"] == {"of": "tiny", "processor": cpu_name(), "here": True, "loss": 0.0213}
    assert pair["state"] == "have" and listed(ours, "tiny-there")["optimized"]["here"] is False
    assert listed(ours, "tiny")["optimized"] is None


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["cut short", "no card", "a card of nothing"])
def test_what_is_not_whole_is_never_taken_for_whole(damage: str, ours: Run) -> None:
    folder = Path(made("tiny-fast", cpu_name()).optimized["folder"])
    if damage == "cut short":
        with (folder / "expert/large-Q4_0.gguf").open("rb+") as file:
            file.truncate(1000)
    elif damage == "no card":
        (folder / "card.json").unlink()
    else:
        (folder / "card.json").write_text('{"files": {"expert": {}}}')
    assert listed(ours, "tiny-fast")["state"] == "partial"
    found = ours("verify", "tiny-fast", "-q")
    assert found.returncode == 5 and found.stderr.count("\n") == 2, found.stderr
    assert "is wrong" in found.stderr if damage == "cut short" else "damaged" in found.stderr
    assert ours("verify").returncode == 5


@pytest.mark.slow
def test_show_has_the_figures_of_the_card(ours: Run) -> None:
    made("tiny-fast", cpu_name())
    text = ours("show", "tiny-fast").stdout
    for told in (
        "made of     tiny (drafter as it was; expert every matrix as Q4_0)",
        f"made for    {cpu_name()} (this one), llama-cpp-python 0.3.36",
        "loss        0.021 nats a token against its source",
        "measured    a call of four costs 1.55 tokens, a step of the drafter 0.35; 86% of drafted tokens",
        "found       1.32x",
    ):
        assert told in text, text
    document = json.loads(ours("show", "tiny-fast", "--json").stdout)
    assert document["optimized"]["figures"]["relative"]["4"] == 1.55 and document["optimized"]["of"] == "tiny"
    check("show", document)


@pytest.mark.slow
def test_verify_goes_by_the_card(ours: Run) -> None:
    folder = Path(made("tiny-fast", cpu_name()).optimized["folder"])
    assert ours("verify", "tiny-fast").stdout.count("right ") == 2
    with (folder / "expert/large-Q4_0.gguf").open("rb+") as file:
        file.seek(-1, 2)
        file.write(b"\x77")
    found = ours("verify", "tiny-fast")
    assert found.returncode == 5 and found.stdout.count("WRONG ") == 1 and "left where it is" in found.stderr
    assert (folder / "expert/large-Q4_0.gguf").exists()


@pytest.mark.slow
def test_rm_takes_files_profile_and_what_tune_found_and_nothing_else(ours: Run) -> None:
    profile = made("tiny-fast", cpu_name())
    made("tiny-there", "a Zuse Z3")
    tuned_file("tiny-fast").parent.mkdir(parents=True)
    tuned_file("tiny-fast").write_text("")
    found = ours("rm", "tiny-fast")
    assert found.returncode == 0 and "deleted tiny-fast: 0.02 GB, made of tiny\nfreed 0.02 GB" in found.stdout
    assert not made_folder("tiny-fast").exists() and not Path(profile.origin).exists()
    assert not tuned_file("tiny-fast").exists() and TINY.exists() and made_folder("tiny-there").exists()
    again = ours("rm", "tiny-fast")
    assert again.returncode == 2 and "there is no pair 'tiny-fast'" in again.stderr


@pytest.mark.slow
def test_a_run_elsewhere_says_so_once_and_goes_on(ours: Run) -> None:
    made("tiny-fast", cpu_name())
    made("tiny-there", "a Zuse Z3")
    for command, name, times in (("run", "tiny-fast", 0), ("compare", "tiny-there", 1)):
        found = ours(command, "Hello", "--pair", name, "-n", "2", "-k", "2")
        assert found.returncode == 0 and found.stderr.count("were made for a Zuse Z3") == times, found.stderr
    assert ours("run", "Hello", "--pair", "tiny-there", "-n", "2", "-q").stderr == ""


@pytest.mark.slow
def test_chat_and_bench_elsewhere(ours: Run, speccas: Run, tmp_path: Path) -> None:
    made("tiny-there", "a Zuse Z3")
    env = {name: each for name, each in os.environ.items() if name.startswith("XDG_")}
    chatted = speccas("chat", "--pair", "tiny-there", "-n", "2", stdin="Hello\n", env=env)
    assert chatted.returncode == 0 and chatted.stderr.count("made for a Zuse Z3") == 1, chatted.stderr
    words = ("--pair", "tiny-there", "--limit", "1", "--repeats", "1", "-n", "2", "--rule", "exact")
    benched = speccas("bench", *words, "--report", str(tmp_path / "report"), env=env)
    assert benched.returncode == 0 and (benched.stdout + benched.stderr).count("made for a Zuse Z3") == 1, (
        benched.stderr
    )
