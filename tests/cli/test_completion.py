"""Completion in bash, zsh and fish, by the protocol of their scripts: values are known, nothing heavy is imported."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from speccas.cli.choosing import ADVICE
from speccas.core.decoding.arms import BASELINES
from speccas.core.decoding.rules import RULES
from tests.cli.test_help import HEAVY

Run = Callable[..., Any]
WATCHED = f"""
import json, sys
from speccas.cli.app import main
try:
    main()
except SystemExit as end:
    print(json.dumps([end.code, [name for name in {HEAVY} if sys.modules.get(name)]]), file=sys.stderr)
"""
ASKED = {
    "speccas ": {"compare", "run", "chat", "rules"},
    "speccas run --rule to": {"token", "token-q", "token-margin", "token-safe", "top-k", "token-cascade"},
    "speccas compare --rule token,conf": {"token,confidence"},
    "speccas run --pair ti": {"tiny", "tiny-model"},
    "speccas pull qwen3-": {"qwen3-4b", "qwen3-8b"},
    "speccas chat --view ": {"tokens", "numbers", "rounds", "off"},
    "speccas bench --prompts ": {"builtin", "copying", "languages", "gsm8k", "humaneval", "spec-bench", "own.jsonl"},
    "speccas run --lookup o": {"on", "off"},
    "speccas run --drafter ": {"head", "a.gguf", "below/b.gguf"},
    "speccas check below/": {"below/b.gguf"},
    "speccas replay ": {"own.jsonl"},
    "speccas rules bi": {"bild"},
}


def asked(shell: str, line: str) -> dict[str, str]:
    """The environment in which a shell's script asks."""
    words = line.split(" ")
    kind = {"_SPECCAS_COMPLETE": f"complete_{shell}"}
    if shell == "bash":
        return {**kind, "COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)}
    return {**kind, "_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}


def values(shell: str, text: str) -> set[str]:
    """The values of an answer, without what is said of them."""
    if shell == "zsh":
        inner = text.partition("((")[2].rpartition("))")[0]
        return {line.split('"')[1] for line in inner.splitlines()}
    return {line.partition("\t")[0] for line in text.splitlines()}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with models and traces, one of them with a name that a shell would run."""
    (tmp_path / "below").mkdir()
    for name in ("a.gguf", "below/b.gguf", "own.jsonl", "$(touch gone).gguf", "two words.jsonl", "note.txt"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize("line", ASKED)
def test_values_are_completed_in_each_shell(clean: Mapping[str, str], place: Path, line: str) -> None:
    for shell in ("bash", "zsh", "fish") if "--rule to" in line else ("bash",):
        command = [sys.executable, "-c", WATCHED]
        env = {**clean, **asked(shell, line)}
        done = subprocess.run(command, capture_output=True, env=env, cwd=place, text=True, timeout=60)
        assert json.loads(done.stderr) == [0, []], shell
        found = values(shell, done.stdout)
        assert found == ASKED[line] if line != "speccas " else found > ASKED[line]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_itself(clean: Mapping[str, str], place: Path, script: str) -> None:
    """The script that Typer installs, in a real shell: its words arrive, and no file's name is run."""
    line = "COMP_WORDS=(speccas run --expert ''); COMP_CWORD=3; _speccas_completion speccas"
    told = f'eval "$(_SPECCAS_COMPLETE=source_bash speccas)"; {line}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    env = {**clean, "PATH": f"{Path(script).parent}:{clean['PATH']}"}
    done = subprocess.run(["bash", "-c", told], capture_output=True, env=env, cwd=place, text=True, timeout=60)
    assert done.stdout.split() == ["a.gguf", "below/b.gguf"] and not (place / "gone").exists()


def test_every_rule_and_ancestor_has_its_few_words() -> None:
    assert list(ADVICE) == [*RULES, *sorted(BASELINES, key=list(ADVICE).index)]
