"""Files written whole or not at all, and changed by one process at a time."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from speccas.core.atomic import atomic_file, atomic_write, locked, read_json, take_lock, update_json

ADD = """
import sys
from pathlib import Path
from speccas.core.atomic import update_json
for _ in range(40):
    update_json(Path(sys.argv[1]), lambda data: data.update(n=data.get("n", 0) + 1))
"""


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with atomic_file(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]
    with pytest.raises(KeyError), atomic_file(path) as file:
        file.write(b"half")
        raise KeyError
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_text_of_any_kind_is_written(tmp_path: Path) -> None:
    atomic_write(tmp_path / "a", "é\ud800\n")
    assert (tmp_path / "a").read_bytes() == b"\xc3\xa9?\n"


@pytest.mark.skipif(os.name == "nt", reason="modes of POSIX")
@pytest.mark.parametrize(("private", "mode"), [(True, 0o600), (False, 0o640)])
def test_a_private_file_is_for_its_owner_alone(private: bool, mode: int, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        atomic_write(tmp_path / "a", "text", private)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode


def test_a_lock_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    lock = tmp_path / "new" / "a.lock"
    with locked(lock), lock.open("ab") as other:
        assert not take_lock(other, wait=False)
    with lock.open("ab") as other:
        assert take_lock(other, wait=False)


def test_no_change_is_lost_between_two_processes(tmp_path: Path) -> None:
    path = tmp_path / "n.json"
    both = [subprocess.Popen([sys.executable, "-c", ADD, str(path)]) for _ in range(2)]
    assert [each.wait(60) for each in both] == [0, 0]
    assert read_json(path) == {"n": 80}


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 100_000])
def test_a_damaged_file_is_written_anew(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    assert read_json(path) == {}
    update_json(path, lambda data: data.update(a=1))
    assert json.loads(path.read_text()) == {"a": 1}
