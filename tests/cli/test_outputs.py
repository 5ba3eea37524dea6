"""Files that a user names to be written: what is there stays unless --force was said, and is told before a load."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from speccas.cli.outputs import open_new, require_new, write_new
from speccas.core.errors import UsageError

Run = Callable[..., Any]
NOWHERE = ("--drafter", "none.gguf", "--expert", "none.gguf")
"""Models that are not there: what is refused before them was refused before anything was loaded."""


@pytest.mark.parametrize("command", ["run", "compare"])
def test_a_trace_is_refused_before_a_load(speccas: Run, tmp_path: Path, command: str) -> None:
    theirs = tmp_path / "theirs.jsonl"
    theirs.write_text("precious\n")
    for flags, said in (
        (["--trace", str(theirs)], f"error: {theirs} exists\nhint: give another name, or --force\n"),
        (["--trace", str(tmp_path)], "it is a directory"),
        (["--trace", str(tmp_path / "no/x.jsonl")], "there is no directory"),
        (["--force"], "--force goes with --trace"),
        (["--trace", str(theirs), "--force"], "none.gguf"),
    ):
        done = speccas(command, "hi", *NOWHERE, *flags)
        assert done.returncode == 2 and said in done.stderr, flags
    assert theirs.read_text() == "precious\n" and list(tmp_path.iterdir()) == [theirs]


def test_bench_writes_over_nothing_of_others(speccas: Run, tmp_path: Path) -> None:
    """A web project has a manifest.json too."""
    (tmp_path / "manifest.json").write_text('{"name": "my site"}')
    (tmp_path / "report.html").write_text("mine")
    flags = ("--report", str(tmp_path), "--limit", "1", *NOWHERE)
    done = speccas("bench", *flags)
    assert done.returncode == 2 and "holds manifest.json, report.html of something else" in done.stderr
    assert "--force" in done.stderr and not (tmp_path / "samples.jsonl").exists()
    assert "none.gguf" in speccas("bench", *flags, "--force").stderr
    assert "do not go together" in speccas("bench", *flags, "--force", "--resume").stderr


def test_what_is_there_stays(tmp_path: Path) -> None:
    path, link = tmp_path / "a", tmp_path / "link"
    write_new(path, "one", force=False)
    writes: tuple[Callable[[], object], ...] = (
        lambda: write_new(path, "two", False),
        lambda: open_new(path, False),
        lambda: require_new(path, False),
    )
    for write in writes:
        with pytest.raises(UsageError, match="exists"):
            write()
    assert path.read_text() == "one"
    link.symlink_to(path)
    write_new(link, "two", force=True)
    assert path.read_text() == "two" and link.is_symlink()
    os.close(open_new(path, force=True))
    assert path.read_text() == ""
    os.close(open_new(tmp_path / "b", force=False))
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o600


def test_a_device_is_no_file_that_could_be_lost() -> None:
    os.close(open_new(Path(os.devnull), force=False))
    write_new(Path(os.devnull), "gone", force=False)
    assert not Path(os.devnull).is_file()
