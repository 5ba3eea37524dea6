"""`speccas config`: the config file is changed key by key, checked as flags are, and loses nothing. Real processes."""

import errno
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from speccas.cli.app import app
from speccas.cli.hints import hint_of
from speccas.core.errors import SpeccasError

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Config = Callable[..., "subprocess.CompletedProcess[str]"]

WRITTEN = """# mine
temperature: 0.7   # warm
stop:
  - "###"
  - END
# about rules
rule: [token:0.5, exact]

lookup: on
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "speccas/config.yaml"
    path.parent.mkdir()
    return path


@pytest.fixture
def config(
    tmp_path: Path, clean: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Config:
    """Runs `speccas config` in this process, with a config directory of the test's own."""

    def run(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        with monkeypatch.context() as patched:
            for name, value in {**clean, "XDG_CONFIG_HOME": str(tmp_path), **environment}.items():
                patched.setenv(name, value)
            code = 0
            try:
                app(["config", *words], prog_name="speccas", standalone_mode=False)
            except SpeccasError as error:
                code = error.exit_code
                sys.stderr.write(f"error: {error.message}\nhint: {hint_of(error)}\n")
        done = capfd.readouterr()
        return subprocess.CompletedProcess(words, code, done.out, done.err)

    return run


def told(done: "subprocess.CompletedProcess[str]") -> tuple[int, str, str]:
    return done.returncode, done.stdout, done.stderr


def test_a_value_goes_in_and_comes_out(config: Config, file: Path) -> None:
    assert told(config("path")) == (0, f"{file}\n", "")
    assert told(config()) == (0, "", "")
    for words, shown in {
        ("temperature", "0.7"): "0.7", ("--max-tokens", "none"): "none", ("ctx", "auto"): "auto", ("k", "3"): "",
        ("draft-tokens", "auto"): "auto", ("gpu_layers", "-1"): "-1", ("system", "on"): "on", ("think", "off"): "off",
        ("stop", "12:30", "a b"): "12:30 a b", ("rule", "token:0.5"): "token:0.5", ("raw", "yes"): "true",
        ("aliases.fast", "tiny"): "tiny", ("pair", "fast"): "fast",
    }.items():  # fmt: skip
        done = config("set", *words)
        if shown:
            assert told(done) == (0, "", "")
            assert told(config("get", words[0])) == (0, f"{shown}\n", "")
        else:
            assert done.returncode == 2 and "there is no setting 'k'" in done.stderr
    assert "aliases.fast tiny\n" in config("list").stdout and "pair fast\n" in config("list").stdout
    assert told(config("unset", "raw")) == (0, "", "")
    done = config("get", "raw")
    assert done.returncode == 1 and "raw is not set in" in done.stderr
    assert 'system: "on"\n' in file.read_text() and 'think: "off"\n' in file.read_text()


def test_what_is_set_counts(config: Config, speccas: Run, file: Path, tmp_path: Path) -> None:
    assert config("set", "temperature", "nine").returncode == 2
    file.write_text("temperature: nine\n")
    done = speccas("run", "Hello", env={"XDG_CONFIG_HOME": str(tmp_path)})
    assert done.returncode == 2 and "temperature (from the config file) 'nine' is out of range" in done.stderr


def test_comments_order_and_quotes_stay(config: Config, file: Path) -> None:
    file.write_text(WRITTEN)
    file.chmod(0o600)
    assert config("set", "temperature", "0.2").returncode == 0
    assert file.read_text() == WRITTEN.replace("0.7", "0.2")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert config("set", "top_k", "5").returncode == 0
    assert config("unset", "stop").returncode == 0
    left = WRITTEN.replace("0.7", "0.2").replace('stop:\n  - "###"\n  - END\n', "")
    assert file.read_text() == left + "top_k: 5\n"
    real = file.with_name("kept elsewhere.yaml")
    file.rename(real)
    file.symlink_to(real)
    assert config("set", "aliases.fast", "tiny").returncode == 0
    assert file.is_symlink() and real.read_text() == left + "top_k: 5\naliases:\n  fast: tiny\n"
    assert config("unset", "aliases.fast").returncode == 0
    assert real.read_text() == left + "top_k: 5\n"
    assert sorted(each.name for each in file.parent.iterdir()) == ["config.lock", "config.yaml", real.name]


BAD = {
    "an unknown key": (["set", "temprature", "1"], "there is no setting 'temprature'", "did you mean 'temperature'?"),
    "an unknown action": (["sett", "a", "1"], "config knows no 'sett'", "did you mean 'set'?"),
    "a bad value": (["set", "temperature", "-1"], "temperature '-1' is out of range", "give a number from 0 to 100"),
    "a bad word": (["set", "lookup", "maybe"], "lookup 'maybe' is unknown", "auto, on, off"),
    "a bad rule": (["set", "rule", "tokn:0.5"], "tokn", "token"),
    "no pair": (["set", "pair", "tinny"], "there is no pair 'tinny'", "did you mean 'tiny'?"),
    "two values": (["set", "system", "be", "kind"], "system takes one value, not 2", "quotes"),
    "no value": (["set", "system"], "config set takes KEY VALUE", "config set KEY VALUE"),
    "too much": (["list", "all"], "config list takes nothing more", "config list"),
    "an alias of nothing": (["set", "aliases.a", "b"], "there is no pair 'b'", "known pairs"),
    "an alias of an alias": (["set", "aliases.a", "first"], "'first' is an alias itself", "the name of a pair"),
    "the name of a pair": (["set", "aliases.tiny", "tiny"], "there is a pair 'tiny'", "another name"),
    "no name": (["set", "aliases.a/b", "tiny"], "'aliases.a/b' names no alias", "aliases.NAME"),
    "nothing to take out": (["unset", "top_k"], "top_k is not set in", "config list"),
}  # fmt: skip


def test_what_is_wrong_is_said_and_nothing_changes(config: Config, file: Path) -> None:
    text = "aliases: {first: tiny}\n"
    for case, (words, says, hint) in BAD.items():
        file.write_text(text)
        done = config(*words)
        message, advice = done.stderr.splitlines()
        assert done.returncode == 2 and done.stdout == "", case
        assert message.startswith("error: ") and says in message, (case, message)
        assert advice.startswith("hint: ") and hint in advice, (case, advice)
        assert file.read_text() == text, case


@pytest.mark.parametrize("text", ["- a", "a: [", "a: 1\na: 2\n", b"\xff: 1", "aliases: 3\n", "aliases:\n  a: [1]\n"])
def test_a_damaged_file_is_told_and_left_alone(config: Config, file: Path, text: str | bytes) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    file.write_bytes(data)
    for words in (["set", "aliases.x", "tiny"], ["set", "temperature", "1"]):
        done = config(*words)
        assert done.returncode in (0, 2) and len(done.stderr.splitlines()) == 2 * (done.returncode > 0)
        if done.returncode:
            assert file.read_bytes() == data


def test_a_folder_that_cannot_be_written_and_a_full_disk_leave_the_old_file(
    config: Config, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("top_k: 5\n")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("speccas.core.atomic.os.fsync", full)
        for words in (["set", "top_k", "6"], ["unset", "top_k"], ["set", "aliases.fast", "tiny"]):
            wanted = f"error: cannot write {file}: No space left on device\nhint: it is as it was\n"
            assert told(config(*words)) == (1, "", wanted)
    assert sorted(each.name for each in file.parent.iterdir()) == ["config.lock", "config.yaml"]
    assert file.read_text() == "top_k: 5\n"
    file.unlink()
    file.symlink_to(os.devnull)
    done = config("set", "top_k", "6")
    assert done.returncode == 2 and done.stderr.startswith(f"error: {file} is no regular file")
    file.unlink()
    file.with_suffix(".lock").unlink()
    file.parent.rmdir()
    file.parent.write_text("no folder")
    done = config("set", "top_k", "6")
    assert done.returncode == 1 and done.stderr.startswith(f"error: cannot write {file}: ")


def test_the_command_line_tells_it_in_one_line(speccas: Run, tmp_path: Path) -> None:
    env = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert told(speccas("config", "set", "gpu_layers", "-1", env=env)) == (0, "", "")
    done = speccas("config", "set", "top_k", "-1", env={**env, "SPECCAS_TOP_K": "1"})
    assert done.returncode == 2 and done.stderr.startswith("error: top_k '-1' is out of range\nhint: ")
    done = speccas("config", "set", "top_k", "1", env={**env, "SPECCAS_TOP_K": "1"})
    assert told(done) == (0, "", "note: SPECCAS_TOP_K is set here, and goes before the file\n")


def editor(folder: Path, body: str) -> str:
    """A program that takes a file, as editors do."""
    path = folder / "editor"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_an_editor_changes_the_file_only_to_what_is_right(config: Config, file: Path, tmp_path: Path) -> None:
    copy = file.with_name("config.edited.yaml")
    assert told(config("edit", EDITOR=editor(tmp_path, "true"), VISUAL="")) == (0, "", "")
    assert not file.exists() and not copy.exists(), "nothing was written into it"
    done = config("edit", EDITOR=editor(tmp_path, 'echo "top_k: 5 # mine" >> "$1"'), VISUAL="")
    assert done.returncode == 0 and "top_k: 5 # mine\n" in file.read_text() and not copy.exists()
    before = file.read_text()
    done = config("edit", VISUAL=editor(tmp_path, 'echo "topp_k: 6" > "$1"'))
    assert done.returncode == 2 and file.read_text() == before and copy.read_text() == "topp_k: 6\n"
    assert done.stderr.splitlines() == [
        "error: unknown key 'topp_k' in the config file; config.yaml is as it was",
        f"hint: what you wrote is in {copy}",
    ]
    done = config("edit", VISUAL=editor(tmp_path, 'sed -i s/topp/top/ "$1"'))
    assert done.returncode == 0 and file.read_text() == "top_k: 6\n", "it goes on with what was written"
    done = config("edit", VISUAL=editor(tmp_path, "exit 3"))
    assert done.returncode == 1 and "ended with 3: nothing is changed" in done.stderr and not copy.exists()
    done = config("edit", VISUAL="no-such-editor --wait")
    assert done.returncode == 2 and "the editor no-such-editor cannot be started" in done.stderr


@pytest.mark.tiny
@pytest.mark.slow
def test_a_default_pair_and_an_alias_are_taken_wherever_a_pair_is(config: Config, speccas: Run, tmp_path: Path) -> None:
    env: Mapping[str, str] = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert config("set", "aliases.fast", "tiny").returncode == 0
    assert config("set", "pair", "fast").returncode == 0
    shown: dict[str, Any] = json.loads(speccas("show", "fast", "--json", env=env).stdout)
    assert shown["name"] == "tiny"
    for words in (["check", "fast"], ["verify", "fast"], ["pull", "fast"]):
        assert speccas(*words, env=env).returncode == 0, words
    for words in ([], ["--pair", "fast"]):
        done = speccas("run", "Hello", "-n", "2", "--json", *words, env=env)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["manifest"]["pair"] == "tiny"
    done = speccas("run", "Hello", "--pair", "fats", env=env)
    assert done.returncode == 2 and "did you mean 'fast'?" in done.stderr
    listed = speccas("list", env=env).stdout
    assert "fast is tiny" in listed and "default pair: tiny" in listed
    document = json.loads(speccas("list", "--json", env=env).stdout)
    assert (document["default_pair"], document["aliases"]) == ("tiny", {"fast": "tiny"})
    file = tmp_path / "speccas/config.yaml"
    file.write_text(file.read_text().replace("  fast: tiny\n", "  fast: tiny\n  gone: nowhere\n"))
    done = speccas("show", "gone", env=env)
    assert done.returncode == 2 and "there is no pair 'nowhere', which the alias 'gone' means" in done.stderr
