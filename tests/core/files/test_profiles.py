"""Profiles to pairs: every fault of a file is one error that names the file, and a stranger's YAML runs nothing."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speccas.core.errors import SpeccasError, Unavailable, UsageError
from speccas.core.files import known_pairs
from speccas.core.files import profiles as pairs
from speccas.core.files.local import locate
from speccas.core.files.profiles import Profile, find_profile, profiles, read_profile
from speccas.core.files.source import Source, parse_drafter

WHOLE = """\
name: mine
title: Mine
licence: mit
gated: true
memory_gb: 2
drafter:
  path: small.gguf
expert:
  hf: owner/repo
  quant: Q4_K_M
  revision: main
  sha256: abababababababababababababababababababababababababababababababab
  bytes: 12
defaults: {rule: token, draft_tokens: 3}
tuned: {date: 2026-01-02}
"""
FILES = "drafter: {path: a}\nexpert: {path: b}\n"


def write(folder: Path, text: str | bytes, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_whole_profile(tmp_path: Path) -> None:
    path = write(tmp_path, WHOLE)
    found = read_profile(path)
    assert (found.name, found.title, found.licence, found.gated, found.memory_gb) == ("mine", "Mine", "mit", True, 2.0)
    assert found.drafter == Source(path="small.gguf")
    expert = Source(hf="owner/repo", quant="Q4_K_M", revision="main", sha256="ab" * 32, bytes=12)
    assert found.expert == expert and found.origin == str(path)
    assert found.defaults == {"rule": "token", "draft_tokens": 3} and set(found.tuned) == {"date"}


def test_the_shipped_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))  # a user's own are not shipped
    assert "tiny" in profiles() and len(profiles()) > 10
    for name in profiles():
        found = find_profile(name)
        assert isinstance(found, Profile) and found.name == name and found.title and found.licence
        named = [each for each in (found.drafter, found.expert) if not each.head]
        for source in named:
            assert source.path == "", "a shipped profile names no path of somebody's machine"
            assert source.bytes > 0 or found.untried
            assert len(source.sha256) == 64 or (source.hf and (source.quant or found.untried)), "the hub has the hash"
        files = sum(each.bytes for each in named)
        if all(each.bytes for each in named):
            assert files * 1.1 < found.memory_gb * 1e9 < files * 2 + 1e9, "both files, caches and tables"


def test_a_drafter_may_be_the_head_in_the_experts_file(tmp_path: Path) -> None:
    found = read_profile(
        write(tmp_path, "name: mine\ndrafter: {head: inside}\nexpert: {path: b.gguf}\nuntried: true\n")
    )
    assert found.drafter == Source(head="inside") == parse_drafter("head") and str(found.drafter) == "head"
    assert found.untried and not read_profile(write(tmp_path, "name: x\n" + FILES)).untried
    assert found.sources("drafter") == () and found.sources("expert") == (found.expert,)


@pytest.mark.parametrize(
    "text",
    [
        "drafter: {head: outside}\nexpert: {path: b}",
        "drafter: {head: inside, path: a}\nexpert: {path: b}",
        "drafter: {path: a}\nexpert: {head: inside}",
    ],
)
def test_a_head_is_inside_and_nothing_else(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError) as raised:
        read_profile(write(tmp_path, f"name: x\n{text}\n"))
    assert "write drafter: {head: inside}" in raised.value.hint


SCHEMA = {
    "an unknown key": ("name: x\ntitel: y\n" + FILES, "line 2: unknown key 'titel'", "'title'"),
    "an unknown key of a source": (
        "name: x\ndrafter:\n  pat: a\nexpert: {path: b}\n",
        "line 3: unknown key 'pat'",
        "'path'",
    ),
    "a key like no other": (
        "zzz: 1\nname: x\n" + FILES,
        "line 1: unknown key 'zzz'",
        "known keys: chain, defaults, drafter",
    ),
    "a key that is no text": ("1: 2\nname: x\n" + FILES, "line 1: unknown key '1'"),
    "origin is ours": ("name: x\norigin: /etc\n" + FILES, "line 2: unknown key 'origin'"),
    "a merge key": ("name: x\ndrafter: {<<: {path: a}}\nexpert: {path: b}\n", "line 2: unknown key '<<'"),
    "no name": (FILES, "lacks name"),
    "nothing but a name": ("name: x\n", "lacks drafter, expert"),
    "a source that is a number": ("name: x\ndrafter: 2\nexpert: {path: b}\n", "drafter is not a model source"),
    "a source of nothing": ("name: x\ndrafter: {}\nexpert: {path: b}\n", "drafter needs one of path, package and hf"),
    "a source of two": ("name: x\ndrafter: {path: a, package: b}\nexpert: {path: b}\n", "drafter needs one of"),
    "a path left out": ("name: x\ndrafter: {path: }\nexpert: {path: b}\n", "drafter's path is no text"),
    "bytes in words": ("name: x\ndrafter: {path: a, bytes: many}\nexpert: {path: b}\n", "bytes is no whole number"),
    "bytes in a list": ("name: x\ndrafter: {path: a, bytes: [1]}\nexpert: {path: b}\n", "bytes is no whole number"),
    "a hash cut short": (
        "name: x\ndrafter: {path: a, sha256: abc}\nexpert: {path: b}\n",
        "sha256 is not 64 hex digits",
    ),
    "no repository": ("name: x\ndrafter: {hf: ../../etc}\nexpert: {path: b}\n", "'../../etc' is no repository"),
    "a name that is a list": ("name: [x]\n" + FILES, "name is no text"),
    "gated in words": ("name: x\ngated: perhaps\n" + FILES, "gated is no true or false"),
    "memory in words": ("name: x\nmemory_gb: much\n" + FILES, "memory_gb is no number"),
    "defaults that are a number": ("name: x\ndefaults: 3\n" + FILES, "defaults is no table"),
    "a processor that is none": (
        "name: x\ndrafter: {hf: a/b, tpu: {quant: Q4_0}}\nexpert: {path: b}\n",
        "'tpu'",
        "gpu",
    ),
    "a processor's unknown key": (
        "name: x\nexpert:\n  hf: a/b\n  cpu:\n    quan: Q4_0\ndrafter: {path: b}\n",
        "line 5: unknown key 'quan'",
        "'quant'",
    ),
    "a processor of a path": (
        "name: x\ndrafter: {path: a, cpu: {quant: x}}\nexpert: {path: b}\n",
        "of a repository",
    ),
    "a processor in a word": ("name: x\ndrafter: {hf: a/b, cpu: Q4_0}\nexpert: {path: b}\n", "cpu is no table"),
    "an empty processor": ("name: x\ndrafter: {hf: a/b, cpu: }\nexpert: {path: b}\n", "cpu is no table"),
    "a processor's path": ("name: x\ndrafter: {hf: a/b, cpu: {path: c}}\nexpert: {path: b}\n", "unknown key 'path'"),
    "a processor's repository": ("name: x\ndrafter: {hf: a/b, gpu: {hf: ../c}}\nexpert: {path: b}\n", "'../c' is no"),
    "no keys": ("- name\n- drafter\n", "it holds no keys"),
    "one word": ("name", "it holds no keys"),
    "nothing": ("", "it holds no keys"),
    "unfinished": ("name: [x\n", "is not YAML"),
    "two documents": ("name: x\n---\nname: y\n", "is not YAML"),
    "a table for a key": ("{a: 1}: 2\n", "is not YAML"),
    "no such day": ("name: x\nlicence: 2024-13-45\n" + FILES, "is not YAML"),
    "not UTF-8": (b"name: \xff\xfe\n", "is not YAML"),
    "a zero": (b"name: \0\n", "is not YAML"),
    "depth": ("a: " + "[" * 3000, "is nested too deeply"),
    "length": ("# " + "x" * pairs.MAX_BYTES + "\nname: x\n", "too large for a profile"),
    "code": ("name: !!python/object/apply:pathlib.Path.touch [canary]\n" + FILES, "is not YAML"),
    "code as a name": ("name: !!python/name:os.system ''\n" + FILES, "is not YAML"),
    "an object": ("name: !!python/object/new:type [x, [], {}]\n" + FILES, "is not YAML"),
}


@pytest.mark.parametrize("case", SCHEMA)
def test_faults(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, says, *hint = SCHEMA[case]
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, text)
    with pytest.raises(UsageError) as refused:
        read_profile(path)
    assert refused.value.message.startswith(str(path)) and str(says) in refused.value.message
    assert all(str(words) in refused.value.hint for words in hint)
    assert len(refused.value.message) < 1000 and refused.value.hint
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("key", ["name", "drafter", "defaults", "gated", "memory_gb", "drafter path", "drafter bytes"])
def test_an_alias_bomb_is_one_short_error(key: str, tmp_path: Path) -> None:
    """Nine levels of nine: 387 million items, were they ever written out."""
    lines = ["title: &a [0,0,0,0,0,0,0,0,0]"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"tuned: &{name} [{','.join([f'*{before}'] * 9)}]")
    outer, _, inner = key.partition(" ")
    lines.append(f"{outer}: {{{inner}: *i}}" if inner else f"{outer}: *i")
    lines += [f"{role}: {{path: x}}" for role in ("drafter", "expert") if role != outer]
    lines += [] if outer == "name" else ["name: x"]
    with pytest.raises(UsageError) as refused:
        read_profile(write(tmp_path, "\n".join(lines)))
    assert len(refused.value.message) < 1000


def test_an_endless_alias(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        read_profile(write(tmp_path, "name: &a [*a]\n" + FILES))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    for name in ("missing.yaml", "folder.yaml"):
        with pytest.raises(UsageError, match=f"{name} cannot be read"):
            read_profile(tmp_path / name)


LINES = WHOLE.splitlines()
noise = st.text(" :-{}[]&*!|>'\"#%@`,?\n\tax0~", max_size=12)


@pytest.mark.slow
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(LINES) - 1), st.integers(0, 40), noise)
def test_a_changed_profile_is_a_pair_or_an_error_of_ours(tmp_path: Path, line: int, at: int, text: str) -> None:
    lines = list(LINES)
    lines[line] = lines[line][:at] + text + lines[line][at + len(text) // 2 :]
    try:
        found = read_profile(write(tmp_path, "\n".join(lines)))
    except UsageError as error:
        assert "mine.yaml" in error.message
    else:
        assert isinstance(found.name, str) and isinstance(found.defaults, dict)


def test_a_profile_of_the_user_hides_a_shipped_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_pairs, "user_config_path", lambda _: tmp_path)
    write(tmp_path, "name: tiny\ntitle: another\n" + FILES, "pairs/tiny.yaml")
    write(tmp_path, "name: own\n" + FILES, "pairs/own.yaml")
    assert find_profile("tiny").title == "another" and find_profile("own").drafter.path == "a"
    with pytest.raises(UsageError, match="there is no pair 'owm'") as refused:
        find_profile("owm")
    assert refused.value.hint.startswith("did you mean 'own'? known pairs: ") and "tiny" in refused.value.hint


def test_where_a_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path, "x", "model.gguf")
    assert locate(Source(path=str(file))) == file
    monkeypatch.setenv("HOME", str(tmp_path))
    assert locate(Source(path="~/model.gguf")) == file
    assert locate(Source(package="speccas.profiles", file="tiny-*.gguf")).name == "tiny-drafter.gguf"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (Source(path="no/such.gguf"), "no such file: no/such.gguf"),
        (Source(path="a" * 5000), "File name too long"),
        (Source(path="~no-such-user/x"), "home directory"),
        (Source(path="a\0b"), "no such file"),
    ],
    ids=["missing", "long", "nobody's", "zero"],
)
def test_a_path_that_leads_nowhere(source: Source, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        locate(source)


@pytest.mark.parametrize(
    "source",
    [
        Source(package="no_such_package", file="*.gguf", extra="tiny"),
        Source(package="no.such.package", file="*.gguf", extra="tiny"),
        Source(package="speccas.profiles", file="no-such-*.gguf", extra="tiny"),
        Source(package="speccas.profiles", file="../../*", extra="tiny"),
        Source(package="speccas.profiles", file="/etc/passwd", extra="tiny"),
        Source(package="speccas.profiles", file="", extra="tiny"),
        Source(package="sys", file="*", extra="tiny"),
        Source(package="..", file="*", extra="tiny"),
    ],
    ids=str,
)
def test_a_package_that_has_no_such_file(source: Source) -> None:
    with pytest.raises(Unavailable, match="is not installed") as missing:
        locate(source)
    assert missing.value.facts == {"extra": "tiny"} and missing.value.exit_code == 3


def test_what_is_not_here_yet() -> None:
    with pytest.raises(SpeccasError) as missing:
        locate(Source(hf="no-such-owner/no-such-repository", quant="Q4_0"))
    assert missing.value.exit_code == 3 and "hf:no-such-owner/no-such-repository:Q4_0" in missing.value.message
