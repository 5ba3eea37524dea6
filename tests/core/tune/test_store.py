"""What `tune` found, in a file of its own: what it holds, what it is about, and what older profiles hold of it."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from speccas.core.errors import NameTaken, UsageError
from speccas.core.files import known_pairs, profiles
from speccas.core.files.profiles import Profile, find_profile
from speccas.core.files.source import Source
from speccas.core.tune import store
from speccas.core.tune.store import Tuned, as_text, require_name, save, tuned_file, tuned_of, tuned_settings

FOUND = Tuned("2026-11-25", "EPYC, 2 threads", "token:0.5", 3, True, 1.18, 1.1, 1.25, 40, 0.012, 0.0, file="/x/y.json")
MINE = """# mine
name: twins # both
drafter: {path: a.gguf}
expert: {path: b.gguf}
defaults: {temperature: 0.5, rule: exact}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the user's profiles; profiles of other names are the shipped ones."""
    monkeypatch.setattr(known_pairs, "user_profiles", lambda: tmp_path / "pairs")
    monkeypatch.setattr(store, "user_profiles", lambda: tmp_path / "pairs")
    (tmp_path / "pairs").mkdir()
    return tmp_path / "pairs"


def test_a_users_profile_is_not_touched(config: Path) -> None:
    (config / "twins.yaml").write_text(MINE)
    before = find_profile("twins")
    assert tuned_of(before) is None and tuned_settings(before) == {}
    assert save(before, "twins", FOUND) == config / "twins.yaml"
    assert (config / "twins.yaml").read_text() == MINE and find_profile("twins") == before
    assert tuned_of(before) == FOUND and tuned_settings(before) == {"rule": "token:0.5", "draft_tokens": 3}
    assert sorted(path.name for path in config.rglob("*")) == ["tuned", "twins.yaml", "twins.yaml"]
    save(before, "twins", replace(FOUND, rule="exact", draft_tokens="auto", threads=2))
    assert tuned_settings(before) == {"rule": "exact", "draft_tokens": "auto", "threads": 2}


def test_a_shipped_profile_stays_where_it_is(config: Path) -> None:
    shipped, known = find_profile("tiny"), profiles.profiles()
    assert save(shipped, "tiny", FOUND) == Path(shipped.origin)
    assert find_profile("tiny") == shipped and profiles.profiles() == known, "the finding is no profile"
    assert tuned_of(shipped) == FOUND and "Delete this file" in tuned_file("tiny").read_text().splitlines()[0]
    tuned_file("tiny").unlink()
    assert tuned_of(shipped) is None


def test_a_profile_that_tune_changed_before_is_still_read(config: Path) -> None:
    old = {"defaults": FOUND.as_settings(), "tuned": FOUND.as_table()}
    (config / "twins.yaml").write_text(MINE[: MINE.index("defaults")] + yaml.safe_dump(old))
    profile = find_profile("twins")
    assert tuned_of(profile) == FOUND and tuned_settings(profile) == {}, "its defaults hold the setting"
    newer = replace(FOUND, rule="exact")
    save(profile, "twins", newer)
    assert tuned_of(find_profile("twins")) == newer


def test_a_finding_about_other_models_does_not_count(config: Path) -> None:
    (config / "twins.yaml").write_text(MINE)
    save(find_profile("twins"), "twins", FOUND)
    (config / "twins.yaml").write_text(MINE.replace("b.gguf", "c.gguf"))
    assert tuned_of(find_profile("twins")) is None and tuned_settings(find_profile("twins")) == {}


@pytest.mark.parametrize("text", ["", "- a", "{", "date: x", "\x00", "evidence: {rule: exact}"])
def test_a_file_that_is_not_what_tune_wrote_is_named(text: str, config: Path) -> None:
    (config / "tuned").mkdir()
    tuned_file("tiny").write_text(text)
    with pytest.raises(UsageError, match="is not what tune wrote") as refused:
        tuned_settings(find_profile("tiny"))
    assert str(tuned_file("tiny")) in refused.value.message and "delete it" in refused.value.hint


def test_files_get_a_profile_with_whole_paths(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = Profile("a + b", Source(path="a.gguf"), Source(hf="owner/repo", quant="Q4_0"))
    save(given, "mine", FOUND)
    mine = find_profile("mine")
    assert (mine.drafter, mine.expert) == (Source(path=str(tmp_path / "a.gguf")), given.expert)
    assert tuned_of(mine) == FOUND and Path(mine.origin) == config / "mine.yaml"
    require_name(given, "mine")  # the same files may be tuned again
    (config / "NAME.yaml").write_text(as_text(given, FOUND))
    printed = find_profile("NAME")
    assert printed.defaults == FOUND.as_settings() and tuned_of(printed) == FOUND


def test_another_pairs_name_is_refused(config: Path) -> None:
    given = Profile("a + b", Source(path="a.gguf"), Source(path="b.gguf"))
    with pytest.raises(UsageError, match="another pair 'tiny' already"):
        save(given, "tiny", FOUND)
    for name in ("", "../x", ".x", "a/b", "x" * 65):
        with pytest.raises(UsageError, match="is no name"):
            require_name(given, name)


def test_a_folder_that_cannot_be_written_is_an_error_of_the_system(config: Path) -> None:
    config.rmdir()
    config.write_text("a file")
    with pytest.raises(OSError, match="pairs") as refused:
        save(find_profile("tiny"), "tiny", FOUND)
    assert refused.value.filename and refused.value.strerror


@pytest.mark.parametrize(
    "tuned",
    [
        {},
        {"date": "x", "machine": "y"},
        {"date": "x", "machine": "y", "evidence": "fast"},
        {"date": "x", "machine": "y", "evidence": {"rule": "exact"}},
        {"date": "x", "machine": "y", "evidence": {**FOUND.as_table()["evidence"], "speedup": "fast"}},
        {"date": "x", "machine": "y", "evidence": {**FOUND.as_table()["evidence"], "rule": ["exact"]}},
    ],
)
def test_what_somebody_else_wrote_there_is_no_finding(tuned: dict[str, object]) -> None:
    assert tuned_of(Profile("x", Source(path="a"), Source(path="b"), tuned=tuned)) is None


def test_what_a_later_version_adds_is_left_out() -> None:
    table = {**FOUND.as_table(), "evidence": {**FOUND.as_table()["evidence"], "more": 1}}
    assert tuned_of(Profile("x", Source(path="a"), Source(path="b"), tuned=table)) == FOUND


def test_what_was_found_over_workers_holds_there_alone(config: Path) -> None:
    (config / "twins.yaml").write_text(MINE)
    here = find_profile("twins")
    there = replace(here, expert=replace(here.expert, rpc="box:50052"))
    save(there, "twins", FOUND)
    assert tuned_of(there) == FOUND and tuned_of(here) is None
    assert tuned_of(replace(here, expert=replace(here.expert, rpc="lab:50052"))) is None
    assert tuned_of(replace(here, expert=replace(there.expert, rpc_output="here"))) is None
    save(here, "twins", FOUND)
    assert tuned_of(here) == FOUND and tuned_of(there) is None


def test_what_was_found_for_three_holds_for_the_three_alone(config: Path) -> None:
    two = Profile("a + b", Source(path="/m/a.gguf"), Source(path="/m/b.gguf"))
    three = replace(two, chain=Source(path="/m/first.gguf"))
    found = replace(FOUND, chain_rule="token:0.5", chain_k=2)
    save(three, "three", found)
    mine = find_profile("three")
    assert mine.chain == three.chain and tuned_of(mine) == found
    assert tuned_settings(mine) == {"rule": "token:0.5", "draft_tokens": 3, "chain_rule": "token:0.5", "chain_k": 2}
    assert tuned_of(replace(mine, chain=None)) is None
    assert tuned_of(replace(mine, chain=Source(path="/m/other.gguf"))) is None
    require_name(three, "three")
    with pytest.raises(NameTaken, match="another pair 'three' already"):
        require_name(two, "three")
    (config / "NAME.yaml").write_text(as_text(three, FOUND))
    assert find_profile("NAME").chain == three.chain
