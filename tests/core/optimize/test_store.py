"""Where made files are kept: whole or not at all, one process at a time, and under no other pair's name."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from speccas.core.errors import IntegrityError, NameTaken, UsageError
from speccas.core.files.profiles import Profile, find_profile
from speccas.core.files.source import Source
from speccas.core.machine.processor import cpu_name
from speccas.core.optimize.store import (
    CARD,
    Optimized,
    card_of,
    keep,
    made_elsewhere,
    made_folder,
    optimized_of,
    register,
    remove_made,
    require_free,
    workplace,
)


@pytest.fixture(autouse=True)
def homes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for kind in ("DATA", "CONFIG"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind.lower()))


def made(name: str, processor: str = "some processor") -> Profile:
    """A pair of two small files, made and registered."""
    with workplace(name) as part:
        (part / "expert.gguf").write_bytes(b"e" * 10)
        (part / "drafter.gguf").write_bytes(b"d")
        folder = keep(part, name, {"of": "tiny"}, "made of tiny\n")
    table = Optimized("tiny", processor, "a build", 0.02, 0, str(folder))
    drafter, expert = (Source(path=str(folder / f"{role}.gguf")) for role in ("drafter", "expert"))
    register(Profile(name, drafter, expert, "tiny made anew", "mit", memory_gb=0.5, optimized=asdict(table)))
    return find_profile(name)


def test_what_is_kept_is_found_again() -> None:
    found = made("tiny-fast")
    table = optimized_of(found)
    assert table is not None and (table.of, table.loss, table.vocabulary) == ("tiny", 0.02, 0)
    assert (found.title, found.licence, found.memory_gb) == ("tiny made anew", "mit", 0.5)
    assert json.loads(table.card.read_text()) == {"of": "tiny"}
    assert found.expert.path and Path(found.expert.path).read_bytes() == b"e" * 10
    assert [path.name for path in made_folder("tiny-fast").parent.iterdir() if path.is_dir()] == ["tiny-fast"]


def test_what_is_interrupted_is_gone_and_the_one_before_stays() -> None:
    made("tiny-fast")
    with pytest.raises(KeyboardInterrupt), workplace("tiny-fast") as part:
        (part / "expert.gguf").write_bytes(b"half")
        raise KeyboardInterrupt
    assert not part.exists() and (made_folder("tiny-fast") / "expert.gguf").read_bytes() == b"e" * 10
    part.mkdir()
    (part / "left.gguf").write_bytes(b"by a process that was killed")
    with workplace("tiny-fast") as part:
        assert not list(part.iterdir())


def test_a_kill_between_two_renames_is_undone() -> None:
    """The folder before is beside its place, and nothing in it: the next run puts it back."""
    folder = Path(made("tiny-fast").optimized["folder"])
    old = folder.with_name(".tiny-fast.old")
    folder.rename(old)
    with pytest.raises(IntegrityError, match="the card of tiny-fast is gone or damaged"):
        card_of(find_profile("tiny-fast"))
    with workplace("tiny-fast"):
        pass
    assert (folder / "expert.gguf").read_bytes() == b"e" * 10 and not old.exists()


def test_a_name_with_a_dot_is_nobody_elses_place() -> None:
    for name in ("a.part", "a.old", "a.lock"):
        made(name)
    made("a")
    assert all((made_folder(name) / "expert.gguf").exists() for name in ("a", "a.part", "a.old", "a.lock"))


def test_what_cannot_be_written_is_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where a folder should be")
    with pytest.raises(UsageError, match=r"cannot write .*optimized: ") as refused, workplace("tiny-fast"):
        pass
    assert "XDG_DATA_HOME" in refused.value.hint
    (tmp_path / "data").unlink()
    (tmp_path / "config").write_text("")
    with pytest.raises(UsageError, match=r"cannot write .*tiny-fast\.yaml: "):
        made("tiny-fast")


def test_a_profile_of_somebody_else_stands(tmp_path: Path) -> None:
    own = tmp_path / "config/speccas/pairs/mine-fast.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("name: mine-fast\ndrafter: {path: a}\nexpert: {path: b}\n")
    with pytest.raises(NameTaken):
        made("mine-fast")
    assert own.read_text().endswith("expert: {path: b}\n")


def test_one_process_at_a_time() -> None:
    told = "another process is making files for tiny-fast"
    with workplace("tiny-fast"), pytest.raises(UsageError, match=told), workplace("tiny-fast"):
        pass
    with workplace("tiny-fast"):
        pass


def test_no_other_pair_is_overwritten() -> None:
    with pytest.raises(NameTaken, match="there is a pair tiny already"):
        require_free("tiny")
    for name in ("../x", "", "a/b", "x" * 65):
        with pytest.raises(UsageError, match="is no name for a pair"):
            require_free(name)
    made("tiny-fast")
    require_free("tiny-fast")


def test_a_machine_is_told_of_files_for_another_one() -> None:
    assert made_elsewhere(made("tiny-fast", cpu_name())) is None and made_elsewhere(find_profile("tiny")) is None
    told = made_elsewhere(made("tiny-there", "a Zuse Z3"))
    assert told is not None and "made for a Zuse Z3" in told


def test_a_table_that_somebody_wrote_says_nothing() -> None:
    for table in ({"of": "x"}, {"of": 1, "processor": "", "build": "", "loss": 0.0, "vocabulary": 0, "folder": ""}):
        assert optimized_of(Profile("x", Source(path="a"), Source(path="b"), optimized=table)) is None


def test_rm_takes_only_what_was_made(tmp_path: Path) -> None:
    found = made("tiny-fast")
    assert remove_made(found) > 11
    assert not made_folder("tiny-fast").exists() and not Path(found.origin).exists()
    own = tmp_path / "own"
    own.mkdir()
    (own / "expert.gguf").write_bytes(b"mine")
    (own / CARD).write_text("{}")
    table = Optimized("tiny", "p", "b", 0.0, 0, str(own))
    register(Profile("tiny-own", Source(path="a"), Source(path=str(own / "expert.gguf")), optimized=asdict(table)))
    assert remove_made(find_profile("tiny-own")) == 0 and (own / "expert.gguf").exists()
