"""What speccas does is what c598e1a did: every arm, ending, document, refusal and help text.

`SPECCAS_RECORD=write pytest tests/recorded -m slow` writes the record anew: read the difference before you commit it.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.recorded.recorder import CASES, HERE, Case, done, ends, helps, interrupted, keys, play, refused, run, smollm2

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(smollm2() is None, reason="needs the tiny extra"),
]
DATA = HERE / "data"


def held(name: str, found: Any) -> Any:
    """What is on record under this name; written first where that is wanted."""
    file = HERE / "record" / f"{name}.json"
    if os.environ.get("SPECCAS_RECORD") == "write":
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(found, ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_every_arm_writes_what_it_wrote(case: Case, tmp_path: Path) -> None:
    found = play(case, tmp_path)
    before = held(case.name, found)
    assert found["vocabulary"] == before["vocabulary"]
    assert list(found["arms"]) == sorted(before["arms"], key=list(found["arms"]).index)
    for name, arm in before["arms"].items():
        now = found["arms"][name]
        for i, (was, token) in enumerate(zip(arm["ids"].split(), now["ids"].split(), strict=False)):
            assert token == was, f"{name}: token {i}"
        assert now == arm, name


@pytest.mark.parametrize(("name", "made"), [("ends", ends), ("keys", keys), ("helps", helps)])
def test_answers_end_and_documents_and_helps_read_as_they_did(
    name: str, made: Callable[[Path], dict[str, Any]], tmp_path: Path
) -> None:
    found = json.loads(json.dumps(made(tmp_path)))
    before = held(name, found)
    for each, was in before.items():
        assert found[each] == was, each
    assert found.keys() == before.keys()


def test_what_is_refused_has_its_exit_code_and_its_line(tmp_path: Path) -> None:
    found = json.loads(json.dumps(refused(tmp_path)))
    before = held("refused", found)
    assert {name: code for name, (code, _) in found.items()} == {name: code for name, (code, _) in before.items()}
    assert found == before, "the error lines"


@pytest.mark.parametrize("rule", ["exact", "token"])
def test_an_interrupted_answer_is_a_part_of_the_whole(rule: str, tmp_path: Path) -> None:
    code, part, whole = interrupted(tmp_path, rule)
    assert code == 130
    assert part and whole.startswith(part.rstrip("\n")) and len(part) < len(whole)


def test_data_of_c598e1a_still_loads(tmp_path: Path) -> None:
    """A saved chat, a trace, reports, learned figures, a lock, and a profile that tune has written in."""
    few = ["--threads", "1", "-n", "4"]
    done(["chat", "-p", "And another?", "--load", str(DATA / "session.json"), *few], tmp_path)
    assert "exact" in done(["replay", str(DATA / "trace.jsonl")], tmp_path)
    reports = [str(DATA / "bench" / "report.json")] * 2
    assert json.loads(done(["bench", "--compare", *reports, "--json"], tmp_path))["arms"]
    for kind, name in (("state", "lock.json"), ("config", "pairs/tiny.yaml")):
        target = tmp_path / kind / "speccas" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((DATA / Path(name).name).read_bytes())
    assert "some-model-GGUF" in done(["doctor", "--json"], tmp_path), "the lock: its files are gone, and it is told"
    answer = run(["run", "Hello", "--json", *few], tmp_path)
    document = json.loads(answer.stdout)
    assert document["arms"][0]["name"] == "token:0.5" and document["manifest"]["k"] == 2
    told = run(["run", "Hello", *few], tmp_path).stderr
    assert "tuned: --rule token:0.5 -k 2 (1.20x the expert alone [1.10, 1.30], 24 prompts" in told


def test_figures_that_c598e1a_learned_are_gone_on_from(tmp_path: Path) -> None:
    """They are kept by files, threads and build, so they are put under this machine's key first."""
    answer = ["run", "Hello", "-k", "auto", "-n", "8", "--threads", "1"]
    done(answer, tmp_path)
    file = tmp_path / "cache" / "speccas" / "curves.json"
    (key,) = json.loads(file.read_text())
    (old,) = json.loads((DATA / "curves.json").read_text()).values()
    old["seen"]["13"] = 123.0
    file.write_text(json.dumps({key: old}))
    done(answer, tmp_path)
    new = json.loads(file.read_text())[key]
    assert "13" in new["seen"] and new["chances"].keys() >= old["chances"].keys()
