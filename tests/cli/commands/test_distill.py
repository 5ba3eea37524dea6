"""`speccas distill` as a user runs it, on a random expert and a tiny budget."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

from speccas.core.headers.gguf import read_header
from tests.builders.random_models import random_model
from tests.test_schemas import check

Run = Callable[..., "subprocess.CompletedProcess[str]"]
SMALL = ("--waves", "2", "--texts", "4", "--length", "48", "--batch", "2", "--every", "2", "--vocabulary", "800")


@pytest.fixture(scope="module")
def expert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_model(tmp_path_factory.mktemp("expert") / "expert.gguf", "plain")


@pytest.fixture
def needs_torch() -> None:
    if find_spec("torch") is None:
        pytest.skip("torch is not installed: pip install -e '.[distill]'")


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of prompts: a random model would never end a request of its own."""
    path = tmp_path_factory.mktemp("asked") / "asked.txt"
    path.write_text("".join(f"Say number {n}.\n" for n in range(20)))
    return path


def arguments(expert: Path, folder: Path, kind: str = "head", steps: int = 4) -> tuple[str, ...]:
    place = ("--work", str(folder / "work"), "--out", str(folder / "made.gguf"))
    return ("distill", str(expert), "--kind", kind, "--steps", str(steps), *SMALL, *place)


@pytest.mark.slow
@pytest.mark.usefixtures("needs_torch")
def test_a_head_is_trained_and_drafts(speccas: Run, expert: Path, asked: Path, tmp_path: Path) -> None:
    """From nothing to a file that a run drafts with; the same command again makes nothing anew."""
    command = (*arguments(expert, tmp_path), "--prompts", str(asked))
    done = speccas(*command, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    check("distill", document)
    out = tmp_path / "made.gguf"
    assert document["kind"] == "head" and document["file"] == str(out) and document["bytes"] == out.stat().st_size
    assert [row["step"] for row in document["curve"]] == [2, 4] and 0 <= document["curve"][-1]["acceptance"] <= 1
    header = read_header(out)
    assert header.architecture == "eagle3" and {t.name: t.shape for t in header.tensors}["d2t"] == (800,)
    card = (tmp_path / "made.md").read_text()
    assert document["sha256"] in card and "| 4 |" in card and "EAGLE-3" in card
    pair = ("--drafter", str(out), "--expert", str(expert))
    answered = speccas("compare", "What is rain?", *pair, "--rule", "exact", "-k", "4", "-n", "24", "--json",
                       "--temperature", "0")  # fmt: skip
    exact = next(arm for arm in json.loads(answered.stdout)["arms"] if arm["name"] == "exact")
    assert exact["identical_to_expert"] is True and exact["drafted"] > 20

    waves = sorted((tmp_path / "work/data").glob("wave-*"))
    before = [path.stat().st_mtime_ns for path in waves]
    again = speccas(*command)
    assert again.returncode == 0, again.stderr
    assert [path.stat().st_mtime_ns for path in waves] == before and "goes on at step 4" in again.stderr
    assert f"--drafter {out}" in again.stdout and "wave 1" not in again.stderr


def test_nothing_of_others_is_written_over(speccas: Run, expert: Path, tmp_path: Path) -> None:
    done = speccas(*arguments(expert, tmp_path)[:-1], str(expert))
    assert done.returncode == 2 and "no card says that it was made here" in done.stderr
    done = speccas(*arguments(expert, tmp_path)[:-1], str(tmp_path / "none/x.gguf"))
    assert done.returncode == 2 and "there is no folder" in done.stderr
    done = speccas("distill", str(expert), "--kind", "tail")
    assert done.returncode == 2 and "--kind head" in done.stderr


def test_a_dry_run_says_what_would_be_made(speccas: Run, expert: Path, tmp_path: Path) -> None:
    bad = tmp_path / "asked.jsonl"
    bad.write_text('{"prompt": "Hello."}\n{"text": "Hello."}\n')
    done = speccas(*arguments(expert, tmp_path), "--dry-run")
    assert done.returncode == 0 and "an EAGLE-3 head for expert.gguf" in done.stdout
    assert "writes 384 tokens in 2 files, begun with requests of its own" in done.stdout
    assert not list(tmp_path.glob("work*")) and not (tmp_path / "made.gguf").exists()
    wrong = speccas(*arguments(expert, tmp_path), "--dry-run", "--prompts", str(bad))
    assert wrong.returncode == 2 and "line 2: it has no field 'prompt'" in wrong.stderr


def test_without_torch_it_says_how_to_get_it(clean: Mapping[str, str], expert: Path, tmp_path: Path) -> None:
    start = "import sys; sys.modules['torch'] = None; from speccas.cli.start import main; main()"
    command = [sys.executable, "-c", start, *arguments(expert, tmp_path)]
    done = subprocess.run(command, env=dict(clean), capture_output=True, text=True)
    assert done.returncode == 3 and done.stderr.startswith("error: distill needs torch\n")
    assert "distill]" in done.stderr and not (tmp_path / "work").exists()
