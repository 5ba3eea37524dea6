"""Hashes that are remembered: a file is read once, and again only where it changed."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from speccas.core.files import local
from speccas.core.files.hashes import remembered_hash

LONG_AGO = 1_700_000_000


def written(path: Path, content: bytes, at: int = LONG_AGO) -> str:
    path.write_bytes(content)
    os.utime(path, (at, at))
    return hashlib.sha256(content).hexdigest()


def refuse(*_: object) -> str:
    raise AssertionError("the file is read")


def test_a_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, memory = tmp_path / "model.gguf", tmp_path / "cache" / "hashes.json"
    right = written(file, b"weights")
    assert remembered_hash(file, memory) == right
    with monkeypatch.context() as patch:
        patch.setattr(local, "hash_file", refuse)
        assert remembered_hash(file, memory) == right
    assert memory.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("content", "at"), [(b"weights!", LONG_AGO), (b"WEIGHTS", LONG_AGO + 1)])
def test_another_size_or_time_is_another_file(tmp_path: Path, content: bytes, at: int) -> None:
    file, memory = tmp_path / "model.gguf", tmp_path / "hashes.json"
    written(file, b"weights")
    remembered_hash(file, memory)
    changed = written(file, content, at)
    assert remembered_hash(file, memory) == changed


def test_a_file_changed_just_now_is_read_again(tmp_path: Path) -> None:
    file, memory = tmp_path / "model.gguf", tmp_path / "hashes.json"
    file.write_bytes(b"weights")
    remembered_hash(file, memory)
    assert not memory.exists()


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"%s": 3}', '{"%s": {"sha256": 3}}'])
def test_a_damaged_memory_is_not_believed(tmp_path: Path, damage: str) -> None:
    file, memory = tmp_path / "model.gguf", tmp_path / "hashes.json"
    right = written(file, b"weights")
    memory.write_text(damage.replace("%s", str(file.resolve())))
    assert remembered_hash(file, memory) == right
    entry = json.loads(memory.read_text())[str(file.resolve())]
    memory.write_text(json.dumps({str(file.resolve()): {**entry, "sha256": "ff"}}))
    assert remembered_hash(file, memory) == right


def test_a_memory_that_cannot_be_written(tmp_path: Path) -> None:
    file, blocked = tmp_path / "model.gguf", tmp_path / "file"
    right = written(file, b"weights")
    blocked.write_text("")
    assert remembered_hash(file, blocked / "hashes.json") == right
