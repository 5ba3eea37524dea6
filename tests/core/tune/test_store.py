"""The user's profile after `tune`: what it holds, and that nothing else in it was touched."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from speccas.core.errors import UsageError
from speccas.core.files import profiles as pairs
from speccas.core.files.profiles import Profile, find_profile, read_profile
from speccas.core.files.source import Source
from speccas.core.tune.store import Tuned, as_text, edited, merged, save, target, tuned_of

FOUND = Tuned("2026-11-25", "EPYC, 2 threads", "token:0.5", 3, True, 1.18, 1.1, 1.25, 40, 0.012, 0.0, file="/x/y.json")
HEAD = "# mine\nname: twins # both\ndrafter: {path: a.gguf}\nexpert:\n  path: b.gguf  # large\n"
TAILS = {
    "nothing": "",
    "no line end": "licence: mit",
    "empty tables": "defaults:\ntuned:\n",
    "null": "defaults: ~ # none\nlicence: mit\n",
    "in braces": "defaults: {temperature: 0.5, rule: exact}\ntuned: {date: x}\nlicence: mit # l\n",
    "a block": "defaults:  # mine\n  # keep this\n  temperature: 0.5  # warm\n  rule: exact # mild\n# end\n",
    "a list of rules": "defaults:\n    rule:\n      - exact\n      - token\n    stop: [a]\n",
    "tuned before": "tuned:\n  date: x\n  evidence:\n    a: 1\n# after\nlicence: mit\ndefaults:\n  draft_tokens: 4\n",
}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the user's profiles; profiles of other names are the shipped ones."""
    monkeypatch.setattr(pairs, "user_profiles", lambda: tmp_path / "pairs")
    monkeypatch.setattr("speccas.core.tune.store.user_profiles", lambda: tmp_path / "pairs")
    (tmp_path / "pairs").mkdir()
    return tmp_path / "pairs"


@pytest.mark.parametrize("tail", TAILS.values(), ids=list(TAILS))
def test_a_profile_is_changed_in_place(tail: str) -> None:
    before = HEAD + tail
    after = edited(before, FOUND)
    assert after is not None
    assert yaml.safe_load(after) == merged(yaml.safe_load(before), FOUND)
    kept = [line for line in before.splitlines() if "#" in line and "exact" not in line]
    for line in kept:
        assert line.partition("#")[2] in after, "comments stay"
    assert after.startswith(HEAD)
    again = edited(after, replace(FOUND, rule="exact", draft_tokens="auto"))
    assert again is not None and yaml.safe_load(again)["defaults"]["draft_tokens"] == "auto"
    assert again.count("tuned:") == 1 and len(again.splitlines()) == len(after.splitlines())


def test_what_cannot_be_changed_in_place_is_known() -> None:
    assert edited(HEAD + "defaults: &a {seed: 3}\ntuned: *a\n", FOUND) is None
    assert edited("{name: twins, drafter: {path: a}, expert: {path: b}}", FOUND) is None


def test_a_profile_that_is_written_anew_is_kept_beside(config: Path) -> None:
    path = config / "twins.yaml"
    text = HEAD + "defaults: &a {seed: 3}\ntuned: *a\n"
    path.write_text(text)
    saved = save(find_profile("twins"), "twins", FOUND)
    assert saved.path == path and saved.backup is not None and saved.backup.read_text() == text
    pair = find_profile("twins")
    assert pair.defaults == {"seed": 3, "rule": "token:0.5", "draft_tokens": 3} and tuned_of(pair) == FOUND


def test_a_users_profile_keeps_its_keys(config: Path) -> None:
    (config / "twins.yaml").write_text(HEAD + TAILS["a block"] + "memory_gb: 3\n")
    before = find_profile("twins")
    assert save(before, "twins", FOUND).backup is None
    after = find_profile("twins")
    assert after.defaults == {"temperature": 0.5, "rule": "token:0.5", "draft_tokens": 3}
    assert replace(after, defaults=before.defaults, tuned=before.tuned) == before
    assert tuned_of(after) == FOUND
    assert [each.name for each in config.iterdir()] == ["twins.yaml"], "nothing is left lying about"


def test_a_shipped_profile_is_copied(config: Path) -> None:
    shipped = find_profile("tiny")
    saved = save(shipped, "tiny", FOUND)
    mine = find_profile("tiny")
    assert saved.path == config / "tiny.yaml" == Path(mine.origin) and tuned_of(mine) == FOUND
    assert replace(mine, defaults={}, tuned={}, origin="") == replace(shipped, origin="")
    assert "Delete this file to go back" in saved.path.read_text().splitlines()[0]


def test_files_get_a_profile_with_whole_paths(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = Profile("a + b", Source(path="a.gguf"), Source(hf="owner/repo", quant="Q4_0"))
    save(given, "mine", FOUND)
    mine = find_profile("mine")
    assert (mine.drafter, mine.expert) == (Source(path=str(tmp_path / "a.gguf")), given.expert)
    assert target(given, "mine") == config / "mine.yaml", "the same files may be tuned again"
    text = as_text(given, FOUND)
    (config / "NAME.yaml").write_text(text)
    assert read_profile(config / "NAME.yaml").defaults == FOUND.as_defaults()


def test_another_pairs_name_is_refused(config: Path) -> None:
    given = Profile("a + b", Source(path="a.gguf"), Source(path="b.gguf"))
    with pytest.raises(UsageError, match="another pair 'tiny' already"):
        save(given, "tiny", FOUND)
    for name in ("", "../x", ".x", "a/b", "x" * 65):
        with pytest.raises(UsageError, match="is no name"):
            target(given, name)


def test_a_folder_that_cannot_be_written_is_a_users_error(config: Path) -> None:
    config.rmdir()
    config.write_text("a file")
    with pytest.raises(UsageError, match="cannot write"):
        save(find_profile("tiny"), "tiny", FOUND)


@pytest.mark.parametrize(
    "tuned",
    [
        {},
        {"date": "x", "machine": "y"},
        {"date": "x", "machine": "y", "evidence": "fast"},
        {"date": "x", "machine": "y", "evidence": {"rule": "exact"}},
        {"date": "x", "machine": "y", "evidence": {**FOUND.as_profile()["evidence"], "more": 1}},
        {"date": "x", "machine": "y", "evidence": {**FOUND.as_profile()["evidence"], "speedup": "fast"}},
        {"date": "x", "machine": "y", "evidence": {**FOUND.as_profile()["evidence"], "rule": ["exact"]}},
    ],
)
def test_what_somebody_else_wrote_there_is_no_finding(tuned: dict[str, object]) -> None:
    assert tuned_of(Profile("x", Source(path="a"), Source(path="b"), tuned=tuned)) is None
