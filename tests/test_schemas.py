"""Every document that is printed or kept, held against its JSON Schema in docs/schema."""

import json
import runpy
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from speccas.core.bench.samples import Sample
from speccas.core.conversation.transcript import Conversation, Turn, save
from speccas.core.record.manifest import Manifest
from speccas.core.record.metrics import Figures
from tests.builders.schemas import closed
from tests.cli.conftest import clean, needed, script, speccas

__all__ = ["clean", "needed", "script", "speccas"]  # fixtures

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs/schema"
NAMES = sorted(path.name.partition(".")[0] for path in FOLDER.glob("*.schema.json"))
Run = Callable[..., "subprocess.CompletedProcess[str]"]
SHORT = ("Hello.", "--rule", "token", "-n", "4", "-k", "2", "--json")


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.schema.json").read_text())
    return found


def check(name: str, document: object) -> None:
    """Our own documents have no key that their schema does not name, or the two would drift apart."""
    Draft202012Validator(closed(schema(name))).validate(document)


def printed(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_the_schemas_are_what_the_classes_say() -> None:
    made: Mapping[str, str] = runpy.run_path(str(ROOT / "scripts/schemas.py"))["files"]()
    assert {path.name: path.read_text() for path in FOLDER.iterdir()} == made, "run `make docs`"


@pytest.mark.parametrize("name", NAMES)
def test_each_is_a_schema(name: str) -> None:
    Draft202012Validator.check_schema(schema(name))
    with pytest.raises(ValidationError):
        check(name, {})


def nodes(part: object) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        yield part
        part = list(part.values())
    for each in part if isinstance(part, list) else ():
        yield from nodes(each)


@pytest.mark.parametrize("name", NAMES)
def test_other_keys_may_come(name: str) -> None:
    assert all(node.get("additionalProperties") is not False for node in nodes(schema(name)))


def test_what_is_required_is_what_the_classes_hold() -> None:
    run = schema("run")["properties"]
    figures = {each.name for each in fields(Figures)}
    assert set(run["manifest"]["required"]) == {each.name for each in fields(Manifest)}
    assert set(run["arms"]["items"]["required"]) == figures
    assert set(schema("sample")["required"]) == figures | {each.name for each in fields(Sample)} - {"figures"}


@pytest.mark.tiny
def test_runs(speccas: Run, tmp_path: Path) -> None:
    file = tmp_path / "trace.jsonl"
    document = printed(speccas("compare", *SHORT, "--trace", str(file)))
    check("run", document)
    check("run", printed(speccas("run", *SHORT)))
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert {line["type"] for line in lines} == {"started", "round", "finished"}
    for line in lines:
        check("trace", line)
    document["arms"][0]["finish"] = "tired"
    with pytest.raises(ValidationError):
        check("run", document)


@pytest.mark.tiny
@pytest.mark.parametrize("command", ["list", "show tiny", "check tiny", "doctor"])
def test_what_is_here(speccas: Run, command: str) -> None:
    check(command.partition(" ")[0], printed(speccas(*command.split(), "--json")))


def test_a_saved_chat(tmp_path: Path) -> None:
    file = tmp_path / "chat.json"
    turns = tuple(Turn("Hello.", "Hi.", ids, "exact", "end") for ids in ((1, 2), None))
    save(Conversation("Be brief.", turns, "ff"), file)
    check("session", json.loads(file.read_text()))


@pytest.fixture
def patient(script: str, clean: Mapping[str, str], tmp_path: Path) -> Run:
    """Runs the script with files of its own; the limit is only against hanging."""
    home = {f"XDG_{kind}_HOME": str(tmp_path / kind) for kind in ("CONFIG", "STATE", "CACHE")}

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [script, *arguments]
        return subprocess.run(command, capture_output=True, text=True, env={**clean, **home}, timeout=400)

    return run


@pytest.mark.slow
@pytest.mark.tiny
def test_measurements(patient: Run, tmp_path: Path) -> None:
    folder = str(tmp_path / "out")
    plan = ("--limit", "1", "--repeats", "1", "-n", "4", "--rule", "token")
    check("bench", printed(patient("bench", *plan, "--report", folder, "--json")))
    check("bench", json.loads((tmp_path / "out/report.json").read_text()))
    for line in (tmp_path / "out/samples.jsonl").read_text().splitlines():
        check("sample", json.loads(line))
    check("bench-compare", printed(patient("bench", "--compare", folder, folder, "--json")))
    check("check", printed(patient("check", "tiny", "--measure", "--json")))


@pytest.mark.slow
@pytest.mark.tiny
def test_searches(patient: Run) -> None:
    check("tune", printed(patient("tune", "--limit", "2", "--rule", "exact", "-k", "2,auto", "-n", "8", "--json")))
    check("doctor", printed(patient("doctor", "--curve", "--json")))
