"""Help and version: everything is explained, and nothing heavy is imported to say it."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import pytest
import typer

from speccas.cli.app import app

Run = Callable[..., "subprocess.CompletedProcess[str]"]
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


def test_commands_without_arguments_say_how(speccas: Run) -> None:
    told = speccas()
    assert told.returncode in (0, 2) and "Usage: speccas" in told.stdout + told.stderr


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
