"""Help and version: everything is explained, and nothing heavy is imported to say it."""

import json
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer

from speccas.cli.app import app
from speccas.cli.checks import rules
from speccas.cli.examples import EXAMPLES, SHORT
from speccas.core.tune.candidates import LENGTHS

Run = Callable[..., "subprocess.CompletedProcess[str]"]
ROOT = Path(__file__).parents[2]
GROUP: Any = typer.main.get_command(app)
COMMANDS: Mapping[str, Any] = GROUP.commands
HEAVY = ("numpy", "llama_cpp", "jinja2", "yaml", "rich", "speccas.core.runtime", "speccas.core.decoding")
WATCHED = f"""
import json, sys
from speccas.cli.app import main
try:
    main()
except SystemExit as end:
    print(json.dumps([end.code, [name for name in {HEAVY} if name in sys.modules]]), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)], ids=" ".join
)
def test_help_imports_nothing_heavy(clean: Mapping[str, str], arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", WATCHED, *arguments], capture_output=True, env=clean, timeout=60)
    assert json.loads(done.stderr) == [0, []]
    assert done.stdout.strip() and b"\x1b" not in done.stdout


def test_version_and_help_say_what_there_is(speccas: Run) -> None:
    assert speccas("--version").stdout == f"speccas {version('speccas')}\n"
    told = speccas("--help")
    assert told.returncode == 0 and told.stderr == ""
    for word in (*COMMANDS, "130 interrupted", "7 cannot be paired"):
        assert word in " ".join(told.stdout.split())
    assert speccas("-h").stdout == told.stdout


@pytest.mark.parametrize("command", COMMANDS.values(), ids=str)
def test_every_command_and_flag_is_explained(command: Any) -> None:
    assert len(command.help.split()) >= 5
    for parameter in command.params:
        assert parameter.help and parameter.help.strip().endswith((".", ")")), parameter.name


def arguments_of(example: str) -> list[list[str]]:
    """What each `speccas` of an example is given."""
    parts = re.split(r"; | \| ", re.sub(r" < \S+$", "", example))
    return [shlex.split(part)[1:] for part in parts if part.startswith("speccas ")]


def test_every_example_is_what_its_command_takes() -> None:
    """Every command has one; each fits a terminal, and names flags and values that there are."""
    assert set(COMMANDS) | {""} == set(EXAMPLES) and set(SHORT) == set(COMMANDS)
    for name, examples in EXAMPLES.items():
        for does, example in examples:
            assert len(does) <= 72 and len(example) <= 78 and arguments_of(example)
            for command, *rest in arguments_of(example):
                context = COMMANDS[command].make_context(command, rest)
                assert command == name or not name
                for rule in context.params.get("rule") or ():
                    rules("--rule", rule)


def test_options_stand_in_groups_with_the_defaults_of_the_command(speccas: Run) -> None:
    wide = {"COLUMNS": "110"}
    told = {name: " ".join(speccas(name, "--help", env=wide).stdout.split()) for name in ("run", "compare", "chat")}
    for text in told.values():
        order = ["Models and machine:", "Prompt:", "Drafting:", "Answer:", "Output:", "Examples:"]
        assert [text.index(group) for group in order] == sorted(text.index(group) for group in order)
    for name, length, most, temperature in (
        ("run", "auto", "256", "0"), ("compare", "4", "256", "0"), ("chat", "auto", "until its end", "0.7"),
    ):  # fmt: skip
        assert f"as many as pay (default: {length})." in told[name]
        assert f"Most tokens of an answer (default: {most})." in told[name]
        assert f"the model's own chances (default: {temperature})." in told[name]
        assert "--lookup (default: one is drawn and shown)." in told[name]
    assert "share of the best one (default: 0.05)." in told["chat"]


@pytest.mark.slow
def test_the_page_of_the_command_line_shows_what_it_prints() -> None:
    made: str = runpy.run_path(str(ROOT / "scripts/cli_docs.py"))["page"]()
    assert (ROOT / "docs/cli.md").read_text(encoding="utf-8") == made, "run `make docs`"


def test_tune_tells_the_lengths_that_it_tries() -> None:
    length = next(each for each in COMMANDS["tune"].params if each.name == "draft_tokens")
    assert f"(default: {','.join(map(str, LENGTHS))})" in length.help


@pytest.mark.parametrize("columns", [45, 80, 100])
def test_help_has_the_width_of_the_terminal(speccas: Run, columns: int) -> None:
    lines = speccas("run", "--help", env={"COLUMNS": str(columns)}).stdout.partition("Examples:")[0].splitlines()
    assert columns * 0.8 < max(map(len, lines)) < columns


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["run", "hello", "big", "world"], 'put the prompt in quotes: speccas run "hello big world"'),
        (["compare", "-k", "2", "hello", "world"], 'put the prompt in quotes: speccas compare "hello world"'),
        (["chat", "hello"], 'put the prompt in quotes: speccas chat -p "hello"'),
        (["list", "tiny"], "speccas list --help lists what it takes"),
    ],
    ids=str,
)
def test_a_prompt_without_quotes_is_told_so(speccas: Run, words: list[str], hint: str) -> None:
    told = speccas(*words)
    assert told.returncode == 2 and told.stderr.splitlines()[-1] == f"hint: {hint}"


def test_bare_speccas_shows_the_help(speccas: Run) -> None:
    """As help: line by line on stdout, for a pager, and no error."""
    bare, told = speccas(), speccas("--help")
    assert (bare.returncode, bare.stdout, bare.stderr) == (0, told.stdout, "")
    assert told.stdout.startswith("Usage: speccas [OPTIONS] COMMAND [ARGS]...\n") and "␊" not in told.stdout


def test_help_is_a_word_too(speccas: Run) -> None:
    for words, same in ((["help"], ["--help"]), (["help", "help"], ["-h"]), (["help", "run"], ["run", "-h"])):
        assert speccas(*words).stdout == speccas(*same).stdout != ""
    assert speccas("help", "rum").returncode == 2


@pytest.mark.slow
def test_help_in_a_pipe_has_no_codes_and_a_width(speccas: Run) -> None:
    """Whatever a CI system forces."""
    forced = {"FORCE_COLOR": "1", "PY_COLORS": "1", "GITHUB_ACTIONS": "true", "TTY_COMPATIBLE": "1"}
    for words in ([], ["bench", "--help"]):
        told = speccas(*words, env=forced)
        assert told.stdout == speccas(*words).stdout and max(map(len, told.stdout.splitlines())) <= 80


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said", "hint"),
    [
        (["rum"], "Did you mean 'rm', 'run'?", "speccas --help lists commands and flags"),
        (["--verson"], "--version", "speccas --help lists commands and flags"),
        (["replay"], "Missing argument 'TRACE'", "speccas replay --help lists what it takes"),
        (["check"], "Missing argument 'DRAFTER'", "speccas check --help lists what it takes"),
        (["run", "hi", "--trce", "x"], "--trace", "speccas run --help lists what it takes"),
    ],
    ids=str,
)
def test_a_wrong_word_says_what_is_near_and_where_to_look(speccas: Run, words: list[str], said: str, hint: str) -> None:
    told = speccas(*words)
    error, last = told.stderr.splitlines()
    assert told.returncode == 2 and told.stdout == "" and said in error and last == f"hint: {hint}"


@pytest.mark.slow
def test_run_without_a_prompt_on_a_terminal(terminal: Callable[..., tuple[int, str]]) -> None:
    for command in ("run", "compare"):
        code, screen = terminal(command)
        assert code == 2 and screen.startswith("error: the prompt is missing\r\nhint: ") and screen.count("\n") == 2


def test_rules_explains_every_rule_and_ancestor(speccas: Run) -> None:
    from speccas.core.decoding.arms import BASELINES
    from speccas.core.decoding.rules import RULES

    told = speccas("rules")
    assert told.returncode == 0 and told.stderr == "" and "\x1b" not in told.stdout
    said = " ".join(told.stdout.split())
    explained: dict[str, Any] = {**RULES, **BASELINES}
    for name, rule in explained.items():
        shown = name if rule.dial is None else f"{name}:{rule.dial.default:g}"
        assert f"{shown} [{rule.paper}]" in said
        assert rule.formula in said and rule.ends in said
