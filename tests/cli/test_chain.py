"""A cascade of three from the command line: a first drafter, a drafter and an expert, all real models."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.builders.models import TINY, smollm2

Run = Callable[..., "subprocess.CompletedProcess[str]"]
pytestmark = pytest.mark.tiny
ASK = ("Name three primary colours.", "-n", "24", "-k", "4", "--threads", "1")


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The tiny drafter for a copy of its expert, and that for the expert itself."""
    large = smollm2()
    if large is None:
        pytest.skip("needs the tiny extra")
    middle = tmp_path_factory.mktemp("chain") / "middle.gguf"
    shutil.copy(large, middle)
    return ("--drafter", str(TINY), "--drafter", str(middle), "--expert", str(large))


@pytest.fixture(scope="module")
def reverse() -> tuple[str, ...]:
    """One that is often wrong: the expert's copy drafts for the tiny drafter, which drafts for the expert."""
    large = smollm2()
    return ("--drafter", str(large), "--drafter", str(TINY), "--expert", str(large))


def document(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_who_drafted_what_is_told(speccas: Run, three: tuple[str, ...], tmp_path: Path) -> None:
    trace = tmp_path / "chain.jsonl"
    flags = ("--rule", "exact", "--chain-rule", "token:0.5", "--chain-k", "2", "--temperature", "0")
    found = document(speccas("compare", *ASK, *three, *flags, "--json"))
    alone, exact = found["arms"]
    assert exact["text"] == alone["text"] and exact["identical_to_expert"] and exact["kept"] == 0
    assert 0 < exact["by_first"] < exact["agreed"] and alone["by_first"] is None
    manifest = found["manifest"]
    assert manifest["first"]["file"] == TINY.name and manifest["drafter"]["file"] == "middle.gguf"
    assert (manifest["chain_rule"], manifest["chain_k"]) == ("token:0.5", 2)
    told = speccas("compare", *ASK, *three, *flags).stdout
    assert "writes ahead for the drafter" in told and "between the drafters token:0.5" in told
    assert "accepted tokens that the first drafter wrote: exact " in told and "'" in told
    assert speccas("run", *ASK, *three, *flags, "--trace", str(trace)).returncode == 0
    lines = [json.loads(line) for line in trace.read_text().splitlines()]
    levels = [token["level"] for line in lines if line["type"] == "round" for token in line["tokens"]]
    assert set(levels) == {1, 2, None} and levels.count(1) == exact["by_first"]
    why = speccas("replay", str(trace), "--why", str(levels.index(1))).stdout
    assert "drafted by the first drafter, and the drafter let it stand" in why


@pytest.mark.slow
@pytest.mark.parametrize("inner", ["exact", "token:0.8", "confidence:0.6", "ensemble:0.5"])
def test_exact_writes_the_experts_text(speccas: Run, reverse: tuple[str, ...], inner: str) -> None:
    for temperature in ("0", "0.8"):
        flags = (
            "--rule",
            "exact",
            "--chain-rule",
            inner,
            "--temperature",
            temperature,
            "--seed",
            "3",
            "--lookup",
            "on",
        )
        found = document(speccas("compare", *ASK, *reverse, *flags, "--json"))
        alone, exact = found["arms"]
        assert exact["text"] == alone["text"], inner
        assert 0.1 < exact["acceptance"] < 1


@pytest.mark.slow
def test_a_profile_with_a_chain(speccas: Run, three: tuple[str, ...], tmp_path: Path) -> None:
    pairs = tmp_path / "speccas/pairs"
    pairs.mkdir(parents=True)
    first, middle, large = three[1::2]
    lines = [f"{role}: {{path: {path}}}" for role, path in (("chain", first), ("drafter", middle), ("expert", large))]
    (pairs / "three.yaml").write_text("\n".join(["name: three", *lines, "defaults: {chain_rule: 'token:0.5'}"]))
    env = {"XDG_CONFIG_HOME": str(tmp_path)}
    found = document(speccas("run", *ASK, "--pair", "three", "--json", env=env))
    assert found["manifest"]["chain_rule"] == "token:0.5" and found["arms"][0]["by_first"]
    assert "three" in speccas("list", env=env).stdout
    shown = document(speccas("show", "three", "--json", env=env))
    assert [each["path"] for each in shown["models"].values()] == [first, middle, large]
    assert shown["memory"]["weights"] >= sum(Path(each).stat().st_size for each in (first, middle, large))
    told = speccas("show", "three", env=env).stdout
    assert f"first drafter: {Path(first).name}" in told and shown["first_vocabulary"]["reason"] in told
    head = next((Path(__file__).parents[2] / "profiles").glob("*eagle3*.gguf"))
    (pairs / "three.yaml").write_text("\n".join(["name: three", *lines[1:], f"chain: {{path: {head}}}"]))
    for words in (["show", "three"], ["run", *ASK, "--pair", "three"]):
        done = speccas(*words, env=env)
        assert done.returncode == 7 and "it drafts for the expert alone" in done.stderr
    (pairs / "three.yaml").write_text("\n".join(["name: three", *lines[1:], "chain: 3"]))
    done = speccas("show", "three", env=env)
    assert done.returncode == 2 and "chain is not a model source" in done.stderr


@pytest.mark.slow
def test_what_tune_finds_is_kept_with_the_rule_between_the_drafters(
    speccas: Run, three: tuple[str, ...], tmp_path: Path
) -> None:
    env = {f"XDG_{name}_HOME": str(tmp_path / name) for name in ("CONFIG", "STATE", "CACHE")}
    short = ("--rule", "exact", "-k", "2", "--limit", "2", "-n", "4", "--threads", "1", "-q")
    inner = ("--chain-rule", "token:0.3", "--chain-k", "2")
    done = speccas("tune", *three, *short, *inner, "--save-as", "three", env=env)
    assert done.returncode == 0, done.stderr
    manifest = document(speccas("run", *ASK, "--pair", "three", "--json", env=env))["manifest"]
    assert manifest["first"]["file"] == TINY.name
    assert (manifest["chain_rule"], manifest["chain_k"]) == ("token:0.3", 2)


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (("--drafter", "a.gguf"), 2, "--drafter is given 3 times"),
        (("--chain-rule", "drafter"), 2, "that is no rule"),
        (("--chain-rule", "nope"), 2, "no rule"),
        (("--budget", "1", "--rule", "token"), 2, "a chain has two"),
        (("--chain-k", "0"), 2, "--chain-k '0' is out of range"),
    ],
)
def test_what_no_chain_can_do(
    speccas: Run, three: tuple[str, ...], flags: tuple[str, ...], code: int, said: str
) -> None:
    done = speccas("run", *ASK, *three, *flags)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr and "Traceback" not in done.stderr


def test_a_chain_needs_two_drafters_that_write(speccas: Run, three: tuple[str, ...]) -> None:
    done = speccas("run", *ASK, "--chain-rule", "exact")
    assert done.returncode == 2 and "one drafter makes none" in done.stderr
    done = speccas("run", *ASK, "--drafter", str(TINY), "--drafter", "head", "--expert", three[-1])
    assert done.returncode == 2 and "a head drafts by itself" in done.stderr
