"""The gate before every terminal: whatever a model, a file, a name or a server says, no code of theirs is obeyed.

The real script on pseudo-terminals. Only our own codes may be there, and only where something may be redrawn.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.builders.gguf import model_file
from tests.builders.processes import Written, run_on
from tests.builders.tiers import few_fast

ROOT = Path(__file__).parents[2]
TRACE = ROOT / "docs" / "cascade.jsonl"
OURS = re.compile(r"\x1b\[(?:[0-9;]*m|\d*A|0?J|[02]?K|\?25[lh])|\r")
HOSTILE = "\x1b]52;c;cHduZWQ=\x07\x9b2J\r\x1b]8;;http://x\x1b\\\u202e\x7f\x08"
"""OSC 52 (clipboard) with BEL, a C1 CSI, a carriage return, an OSC 8 link, an override of the direction, DEL, BS."""
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029]")
PLAIN = {"NO_COLOR": "1"}

On = Callable[..., Written]


@pytest.fixture(scope="module")
def on(script: str, clean: Mapping[str, str]) -> On:
    """Runs the script with both streams on terminals."""

    def run(*arguments: str, env: Mapping[str, str] | None = None) -> Written:
        return run_on("tty", "tty", [script, *arguments], {**clean, **(env or {})})

    return run


def shown(written: Written) -> str:
    """What a person sees. Nothing in it is obeyed but our own codes."""
    text = (written.out + written.err).decode("utf-8")
    assert not OBEYED.search(OURS.sub("", text)), ascii(OBEYED.findall(OURS.sub("", text)))
    assert "Traceback" not in text
    return text


SAID = "see \x1b]52;c;cHduZWQ=\x07\x9b2J\u202e end, "
COPY = [f"{SAID}{SAID}see", "--raw", "-n", "24", "--rule", "top-k:49152", "-k", "8", "--lookup", "on"]
"""A prompt that is copied from, by a rule that keeps every draft: the tiny model writes what it was shown."""


@pytest.mark.tiny
@pytest.mark.parametrize(
    "command",
    few_fast(
        [["run", "-q"], ["run", "--view", "off"], ["run"], ["run", "--view", "rounds"], ["run", "--why", "2"],
         ["run", "--json"], ["chat", "-q", "-p"], ["chat", "--view", "off", "-p"], ["compare"]], 1
    ),
    ids=" ".join,
)  # fmt: skip
def test_an_answer(on: On, command: list[str]) -> None:
    written = on(*command, *COPY, env=PLAIN)
    text = shown(written)
    assert written.code == 0 and ("␛" in text or "\\u001b]52" in text)


@pytest.mark.slow
@pytest.mark.tiny
def test_an_answer_in_a_pipe_is_raw(script: str, clean: Mapping[str, str]) -> None:
    """The same answer, byte by byte."""
    for command in (["run"], ["run", "-q"]):
        written = run_on("pipe", "tty", [script, *command, *COPY], clean)
        assert SAID[3:-1].encode() in written.out


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recorded run with every text in it made hostile, arms and rules included."""

    def mend(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: mend(each, name) for name, each in value.items()}
        if isinstance(value, list):
            return [mend(each, key) for each in value]
        free = isinstance(value, str) and key not in ("type", "status", "mode", "source", "bytes", "finish", "schema")
        return value + HOSTILE if free else value

    path = tmp_path_factory.mktemp("trace") / "t.jsonl"
    lines = [json.loads(line) for line in TRACE.read_text(encoding="utf-8").splitlines()]
    path.write_text("\n".join(json.dumps(mend(line)) for line in lines), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "flags", few_fast([[], ["--no-live"], ["--view", "rounds"], ["--why", "5"], ["--side-by-side"]], 1), ids=" ".join
)
def test_a_trace(on: On, hostile: Path, flags: list[str]) -> None:
    written = on("replay", str(hostile), "--speed", "10000", *flags, env={"COLUMNS": "80"})
    text = shown(written)
    assert "␛]52" in text


@pytest.mark.slow
def test_columns_of_a_trace(on: On, hostile: Path, script: str, clean: Mapping[str, str]) -> None:
    command = [script, "replay", str(hostile), "--speed", "10000", "--side-by-side"]
    written = run_on("tty", "tty", command, clean, size=(24, 200))
    assert written.code == 0 and "␛]52" in shown(written)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that say hostile things of themselves, with hostile names; a profile and a config of the same kind."""
    folder = tmp_path_factory.mktemp("files")
    for name, letters in (("a", "abc"), ("b", "xyz")):
        (folder / f"{name}\x1b[2J.gguf").write_bytes(
            model_file(
                general__architecture="llama", general__name="n" + HOSTILE, general__license="l" + HOSTILE,
                llama__block_count=1, llama__embedding_length=8, llama__attention__head_count=2,
                tokenizer__ggml__model="gpt2", tokenizer__ggml__tokens=[each + HOSTILE for each in letters],
                tokenizer__ggml__token_type=[1, 1, 1], tokenizer__ggml__pre=name + HOSTILE,
                tokenizer__chat_template=name + HOSTILE,
            )
        )  # fmt: skip
    pairs = folder / "speccas" / "pairs"
    pairs.mkdir(parents=True)
    told = json.dumps("x" + HOSTILE)
    files = (json.dumps(str(folder / f"{name}\x1b[2J.gguf")) for name in "ab")
    (pairs / "ev.yaml").write_text(
        "name: ev\ntitle: {0}\nlicence: {0}\ndrafter: {{path: {1}}}\nexpert: {{path: {2}}}\n".format(told, *files)
    )
    (pairs / "bad\x1b[2J.yaml").write_text(f"name: {told}\n")
    return folder


@pytest.mark.parametrize(
    ("command", "code"),
    few_fast(
        [(["list"], 0), (["check", "ev"], 7), (["show", "ev"], 0), (["check", "ev", "--json"], 7),
         (["list", "--json"], 0), (["verify", "ev"], 0), (["pull", "ev"], 0), (["show", "ev", "--json"], 0),
         (["run", "hi", "--pair", "ev"], 7)], 2
    ),
    ids=str,
)  # fmt: skip
def test_what_files_say(on: On, folder: Path, command: list[str], code: int) -> None:
    written = on(*command, env={"XDG_CONFIG_HOME": str(folder)})
    assert shown(written) and written.code == code


E = "\x1b]0;x\x07\x9b"
MISTAKES = [
    ["replay", f"no{E}"], ["tune", "--prompts", E], ["check", f"no{E}.gguf", f"no{E}.gguf"], [f"r{E}m"],
    ["replay", str(TRACE), "--export", f"/no{E}/x.svg"], ["run", "hi", "--trace", f"/no{E}/t"],
    ["run", "hi", f"--tr{E}"], ["bench", "--compare", f"a{E}", f"b{E}"], ["chat", "-p", "hi", "--load", f"no{E}"],
    ["run", "hi", "--pair", E],
]  # fmt: skip


@pytest.mark.parametrize("command", few_fast(MISTAKES, 2), ids=lambda command: ascii(" ".join(command)))
def test_mistakes(on: On, command: list[str]) -> None:
    written = on(*command)
    text = shown(written)
    assert written.code not in (0, 70) and text.count("error: ") == 1


@pytest.mark.slow
def test_what_a_hub_says(on: On, hub: Any, tmp_path: Path) -> None:
    hub.add("owner/evil", {"evil-Q4_0.gguf": model_file(general__architecture="llama")}, licence=HOSTILE)
    env = {**hub.environment(tmp_path), "HOME": str(tmp_path)}
    assert "licence ␛]52" in shown(on("pull", "hf:owner/evil", env=env))
