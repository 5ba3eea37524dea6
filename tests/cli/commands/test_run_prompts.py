"""`speccas run --prompts FILE`: a line of JSON for each prompt, in order, as soon as its answer ends."""

import json
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]
pytestmark = pytest.mark.tiny

ASKED = ("Name a fruit.", "Say 'été' — twice.", "2+2?")
FEW = ("-n", "6", "-k", "3")


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.slow
def test_each_line_of_a_text_is_a_prompt(speccas: Run, tmp_path: Path) -> None:
    file = tmp_path / "asked.txt"
    file.write_bytes("\ufeff{}\r\n\n{}\n  \n{}".format(*ASKED).encode())
    done = speccas("run", "--prompts", str(file), *FEW)
    assert done.returncode == 0
    answers = lines(done.stdout)
    assert [(each["line"], each["prompt"], each["error"]) for each in answers] == [
        (1, ASKED[0], None), (3, ASKED[1], None), (5, ASKED[2], None),
    ]  # fmt: skip
    for answer in answers:
        alone = json.loads(speccas("run", answer["prompt"], *FEW, "--json").stdout)["arms"][0]
        assert set(alone) == set(answer["arm"]) and alone["text"] == answer["arm"]["text"]
        assert answer["arm"]["expert_logprob"] is not None and "seed" in answer


@pytest.mark.slow
def test_other_fields_are_carried_and_a_bad_line_stops_nothing(speccas: Run, tmp_path: Path) -> None:
    file = tmp_path / "asked.jsonl"
    rows: list[object] = [
        {"prompt": ASKED[0], "id": 7, "tags": ["a", {"b": None}]}, "not an object", {"id": 8}, {"prompt": "  "},
        {"prompt": 3}, {"prompt": "x", "arm": 1}, {"prompt": ASKED[2], "text": "\x1b[31mgold"},
        {"prompt": "long " * 5000, "id": 9},
    ]  # fmt: skip
    file.write_text("\n".join(json.dumps(each) for each in rows) + "\n{broken\n" + '{"prompt": "\\ud800"}\n')
    done = speccas("run", "--prompts", str(file), *FEW)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-2:] == ["error: 8 of 10 prompts failed", "hint: the field `error` says why"]
    found = lines(done.stdout)
    assert [each["line"] for each in found] == list(range(1, 11))
    assert [each["error"] is None for each in found] == [True] + [False] * 5 + [True] + [False] * 3
    assert (found[0]["id"], found[0]["tags"]) == (7, ["a", {"b": None}]) and found[0]["arm"]["text"]
    assert found[6]["text"] == "\x1b[31mgold" and "\x1b" not in done.stdout, "a terminal would obey it"
    assert found[2]["id"] == 8 and "no field 'prompt'" in found[2]["error"]
    assert "one of the answer's" in found[5]["error"]
    assert found[7]["id"] == 9 and "tokens" in found[7]["error"] and found[7]["arm"] is None
    assert found[8]["error"].startswith("not JSON")


BAD = {
    "no file": (["--prompts", "nowhere.txt"], "nowhere.txt cannot be read: no such file"),
    "a folder": (["--prompts", "."], ". cannot be read: is a directory"),
    "an empty file": (["--prompts", "empty.txt"], "holds no prompt"),
    "not UTF-8": (["--prompts", "latin.txt"], "is not UTF-8: byte 0xe9 at offset 1"),
    "a prompt too": (["Hello", "--prompts", "one.txt"], "--prompts gives the prompts"),
    "a file too": (["-f", "one.txt", "--prompts", "one.txt"], "--prompts gives the prompts"),
    "a trace": (["--prompts", "one.txt", "--trace", "t.jsonl"], "--trace"),
    "a token": (["--prompts", "one.txt", "--why", "1"], "--why"),
}


@pytest.mark.slow
def test_what_is_wrong_is_said_before_a_model_is_loaded(
    speccas: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, data in {"empty.txt": b"\n \n", "latin.txt": b"t\xe9", "one.txt": b"Hello"}.items():
        (tmp_path / name).write_bytes(data)
    for case, (words, says) in BAD.items():
        done = speccas("run", *words)
        assert (done.returncode, done.stdout) == (2, ""), case
        assert says in done.stderr and len(done.stderr.splitlines()) == 2, (case, done.stderr)
    done = speccas("run", "--prompts", "one.txt", stdin="more")
    assert done.returncode == 2 and "text is piped in beside it" in done.stderr


@pytest.mark.slow
def test_lines_come_as_answers_end_and_ctrl_c_keeps_them(script: str, clean: Mapping[str, str], tmp_path: Path) -> None:
    file = tmp_path / "asked.txt"
    file.write_text("\n".join(ASKED[:1] * 40))
    child = subprocess.Popen(
        [script, "run", "--prompts", str(file), "-n", "40", "--ignore-eos"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=dict(clean),
    )  # fmt: skip
    assert child.stdout is not None
    first = child.stdout.readline()
    child.send_signal(signal.SIGINT)
    rest, told = child.communicate(timeout=60)
    assert child.returncode == 130
    found = lines((first + rest).decode())
    assert [each["line"] for each in found] == list(range(1, len(found) + 1)) and len(found) < 40
    assert all(each["arm"]["finish"] == "length" for each in found[:-1])
    assert b"Traceback" not in told


@pytest.mark.slow
def test_a_full_disk_ends_it_at_once(script: str, clean: Mapping[str, str], tmp_path: Path) -> None:
    file = tmp_path / "asked.txt"
    file.write_text("\n".join(ASKED))
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [script, "run", "--prompts", str(file), *FEW],
            stdout=full, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=dict(clean), timeout=60,
        )  # fmt: skip
    assert done.returncode == 1 and b"cannot write to stdout: No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr
