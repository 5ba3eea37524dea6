"""GGUF files that other programs left here: `list` names them, and a name is taken wherever a file is.

Real folders as huggingface_hub, LM Studio, Ollama and llama.cpp lay them out, with damaged and foreign ones between.
"""

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from speccas.core.files.local import locate
from speccas.core.files.profiles import find_profile

Run = Callable[..., "subprocess.CompletedProcess[str]"]

COMMIT, OLD = "a" * 40, "b" * 40
MODEL = b"GGUF" + bytes(60)


def put(path: Path, data: bytes = MODEL) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def hub(home: Path, repo: str, name: str, data: bytes = MODEL, commit: str = COMMIT) -> None:
    """A file as huggingface_hub keeps it."""
    root = home / "hf/hub" / ("models--" + repo.replace("/", "--"))
    blob = put(root / "blobs" / hashlib.sha256(data + name.encode()).hexdigest(), data)
    link = root / "snapshots" / commit / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(os.path.relpath(blob, link.parent))
    put(root / "refs/main", COMMIT.encode())


def ollama(home: Path, place: str, data: bytes | None = MODEL, manifest: object = None) -> None:
    """A model as Ollama keeps it: a manifest, and a blob called by its hash."""
    digest = hashlib.sha256(place.encode()).hexdigest()
    root = home / ".ollama/models"
    layers = [
        {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{digest}", "size": 64},
        {"mediaType": "application/vnd.ollama.image.template", "digest": f"sha256:{'0' * 64}", "size": 3},
    ]
    put(root / "manifests" / place, json.dumps({"layers": layers} if manifest is None else manifest).encode())
    if data is not None:
        put(root / "blobs" / f"sha256-{digest}", data)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory with models of four programs."""
    hub(tmp_path, "owner/one-GGUF", "one-Q4_0.gguf")
    hub(tmp_path, "owner/one-GGUF", "sub/one-Q8_0.gguf", MODEL * 2)
    hub(tmp_path, "owner/one-GGUF", "one-Q2_K.gguf", MODEL * 3, commit=OLD)
    put(tmp_path / ".lmstudio/models/maker/two-GGUF/two.gguf")
    for part in (1, 2):
        put(tmp_path / f".lmstudio/models/maker/big/big-{part:05}-of-00002.gguf", MODEL * part)
    put(tmp_path / ".cache/llama.cpp/owner_three.gguf")
    ollama(tmp_path, "registry.ollama.ai/library/llama3.2/1b")
    ollama(tmp_path, "registry.ollama.ai/library/qwen/latest")
    ollama(tmp_path, "registry.ollama.ai/me/own/v2")
    ollama(tmp_path, "hf.co/owner/four-GGUF/Q4_K_M")
    return tmp_path


NAMES = {
    "hf:owner/one-GGUF:one-Q4_0.gguf": 64,
    "hf:owner/one-GGUF:sub/one-Q8_0.gguf": 128,
    "lmstudio:maker/two-GGUF/two.gguf": 64,
    "lmstudio:maker/big/big-00001-of-00002.gguf": 192,
    "llama.cpp:owner_three.gguf": 64,
    "ollama:llama3.2:1b": 64,
    "ollama:qwen:latest": 64,
    "ollama:me/own:v2": 64,
    "ollama:hf.co/owner/four-GGUF:Q4_K_M": 64,
}


@pytest.fixture
def listed(speccas: Run) -> Callable[[Path], dict[str, int]]:
    """The names and sizes of `list --json` in this home."""

    def run(home: Path) -> dict[str, int]:
        done = speccas("list", "--json", env=environment(home))
        assert (done.returncode, done.stderr) == (0, "")
        document: dict[str, Any] = json.loads(done.stdout)
        assert all(Path(each["path"]).is_file() for each in document["files"])
        return {each["name"]: each["bytes"] for each in document["files"]}

    return run


def environment(home: Path) -> dict[str, str]:
    return {"HOME": str(home), "HF_HOME": str(home / "hf"), "XDG_STATE_HOME": str(home / "state"), "LLAMA_CACHE": ""}


def test_list_names_what_is_here(speccas: Run, listed: Callable[[Path], dict[str, int]], home: Path) -> None:
    found = listed(home)
    old = home / f"hf/hub/models--owner--one-GGUF/snapshots/{OLD}/one-Q2_K.gguf"
    assert found == {**NAMES, str(old): 192}, "what is of no branch is named by its path"
    shown = speccas("list", env=environment(home)).stdout
    for name in NAMES:
        assert name in shown
    assert "LM Studio" in shown and "files that are here already" in shown


def test_damaged_and_foreign_files_break_nothing(listed: Callable[[Path], dict[str, int]], home: Path) -> None:
    before = listed(home)
    put(home / ".lmstudio/models/maker/two-GGUF/empty.gguf", b"")
    put(home / ".lmstudio/models/maker/two-GGUF/text.gguf", b"<html>")
    put(home / ".lmstudio/models/maker/two-GGUF/mmproj-two-F16.gguf")
    put(home / ".lmstudio/models/maker/big/lone-00002-of-00002.gguf")
    (home / ".lmstudio/models/maker/dir.gguf").mkdir()
    os.mkfifo(home / ".lmstudio/models/maker/pipe.gguf")
    (home / ".lmstudio/models/maker/gone.gguf").symlink_to("nowhere")
    (home / ".lmstudio/models/loop").symlink_to(home / ".lmstudio/models")
    put(home / ".lmstudio-home-pointer", b"\xff\xfe/nowhere")
    put(home / "hf/hub/models--owner--one-GGUF/snapshots/main/other.gguf")
    put(home / "hf/hub/models--x/snapshots" / COMMIT / "x.gguf")
    put(home / "hf/hub/version.txt")
    (home / "hf/hub/models--owner--empty").mkdir()
    for n, manifest in enumerate(([], 3, {"layers": 3}, {"layers": [3, {}]}, {"layers": [{"mediaType": None}]})):
        ollama(home, f"registry.ollama.ai/library/bad/{n}", manifest=manifest)
    evil = {"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:../../../../etc/passwd"}
    ollama(home, "registry.ollama.ai/library/evil/latest", manifest={"layers": [evil]})
    ollama(home, "registry.ollama.ai/library/gone/latest", data=None)
    ollama(home, "registry.ollama.ai/library/text/latest", data=b"text")
    put(home / ".ollama/models/manifests/deep", b"{" * 5000)
    put(home / ".ollama/models/manifests/a/b/c", b"[" * 100_000)
    assert listed(home) == before
    locked = home / ".lmstudio/models/maker"
    locked.chmod(0)
    try:
        assert {"ollama:qwen:latest", "llama.cpp:owner_three.gguf"} < set(listed(home))
    finally:
        locked.chmod(0o755)
    assert listed(home / "nobody") == {}


@pytest.mark.tiny
@pytest.mark.slow
def test_a_name_is_taken_wherever_a_file_is(speccas: Run, home: Path) -> None:
    """The tiny pair's own files, as LM Studio and Ollama would have them."""
    pair = find_profile("tiny")
    drafter, expert = locate(pair.drafter), locate(pair.expert)
    (home / ".lmstudio/models/maker/two-GGUF/small.gguf").symlink_to(drafter)
    ollama(home, "registry.ollama.ai/library/smol/latest", data=None)
    manifest = json.loads((home / ".ollama/models/manifests/registry.ollama.ai/library/smol/latest").read_bytes())
    blob = home / ".ollama/models/blobs" / manifest["layers"][0]["digest"].replace(":", "-")
    blob.symlink_to(expert)
    env = environment(home)
    for small, large in (
        ("lmstudio:maker/two-GGUF/small.gguf", "ollama:smol:latest"), ("small.gguf", "ollama:smol"), ("small", "smol"),
    ):  # fmt: skip
        done = speccas("run", "Hello", "--drafter", small, "--expert", large, "-n", "2", "--json", env=env)
        assert done.returncode == 0, done.stderr
        manifest = json.loads(done.stdout)["manifest"]
        assert manifest["drafter"]["file"] == drafter.name or manifest["drafter"]["file"] == "small.gguf"
    for words in (["check", "small.gguf", "smol"], ["verify", "smol"], ["pull", "small"]):
        done = speccas(*words, env=env)
        assert done.returncode == 0, done.stderr
    assert json.loads(speccas("show", "ollama:smol", "--json", env=env).stdout)["models"]["model"]["tokens"] > 0
    put(home / ".cache/llama.cpp/small.gguf")
    done = speccas("check", "small.gguf", "smol", env=env)
    assert done.returncode == 2 and "small.gguf is more than one file here" in done.stderr
    assert "lmstudio:maker/two-GGUF/small.gguf" in done.stderr and "llama.cpp:small.gguf" in done.stderr
    done = speccas("check", "nothing.gguf", "smol", env=env)
    assert done.returncode == 2 and done.stderr.startswith("error: no such file: nothing.gguf")
