"""`speccas compare` on the tiny pair: its JSON is the public one, its counts add up, and its marks need no colour."""

import json
import re
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from speccas.core.decoding.arms import BASELINES
from speccas.core.decoding.rules import RULES
from speccas.core.files.profiles import find_profile

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Terminal = Callable[..., tuple[int, str]]
Arm = dict[str, Any]
pytestmark = pytest.mark.tiny

POEM = "Write a short poem about the sea."
SHOWN_BY = ["--rule", "confidence", "--rule", "token", "--temperature", "0", "-k", "4", "-n", "96", "--json"]

# Design section 7, version 1: adding a key is a change that users must be told of.
DOCUMENT = {"schema", "manifest", "arms", "drift"}
MANIFEST = {
    "speccas", "llama_cpp_python", "system", "cpu", "threads", "pair", "drafter", "expert", "first",
    "chain_rule", "chain_k", "vocabulary",
    "template_sha256", "k", "lookup", "temperature", "top_k", "top_p", "min_p", "repeat_penalty",
    "repeat_last_n", "seed", "think", "test", "budget", "confidence_temperature", "ctx",
    "command", "optimized",
}  # fmt: skip
MODEL = {"file", "sha256", "quant", "parameters", "server"}
ARM = {
    "name", "rule", "alpha", "text", "finish", "tokens", "seconds", "tokens_per_second", "speedup", "ttft_ms",
    "prefill_seconds", "draft_seconds", "verify_seconds", "overhead_seconds", "drafted", "judged", "agreed", "kept",
    "deferred", "bonus", "discarded", "looked_up", "looked_up_accepted", "alone", "mode", "rounds_off", "expert_calls",
    "acceptance", "tokens_per_expert_call", "expert_logprob", "identical_to_expert", "first_difference",
    "first_difference_gap", "drafter_steps", "speedup_if_flat", "speedup_low", "speedup_high",
    "charged", "budget_left", "by_first",
}  # fmt: skip
COUNTS = {"drafted", "judged", "agreed", "kept", "deferred", "bonus", "discarded", "looked_up", "looked_up_accepted"}
FINISHES = {"end", "length", "stop", "context", "interrupted"}


def check_speedup(arm: Arm, place: float, baseline: Arm, drift: float | None) -> None:
    """Against the expert alone as it was before the arms and behind them; `place` of the way between. Never more than
    the counts allow."""
    most = arm["tokens"] / arm["expert_calls"] if arm["expert_calls"] else float("inf")
    plain = arm["tokens_per_second"] / baseline["tokens_per_second"]
    drift = drift or 1.0
    if arm["name"] == "expert":
        assert arm["speedup"] == 1.0
        return
    assert arm["speedup"] == pytest.approx(min(most, plain * (1 + (drift - 1) * place)))
    if arm["speedup_low"] is not None:
        assert arm["speedup_low"] == pytest.approx(min(most, plain * min(1, drift)))
        assert arm["speedup_high"] == pytest.approx(min(most, plain * max(1, drift)))
        assert arm["speedup_low"] <= arm["speedup"] <= arm["speedup_high"]


def check_arm(arm: Arm, baseline: Arm, comparable: bool) -> None:
    """The shape of section 7 and the identities of section 2."""
    assert set(arm) == ARM
    assert arm["finish"] in FINISHES and isinstance(arm["text"], str)
    assert all(arm[key] >= 0 for key in ("seconds", "prefill_seconds", "draft_seconds", "verify_seconds"))
    assert 0 <= arm["overhead_seconds"] <= arm["seconds"]
    assert arm["tokens_per_second"] == pytest.approx(arm["tokens"] / arm["seconds"])
    assert arm["ttft_ms"] > 1e3 * arm["prefill_seconds"] > 0
    assert arm["expert_logprob"] < 0
    if arm["rule"] in RULES:
        assert arm["judged"] == arm["agreed"] + arm["kept"] + arm["deferred"]
        assert arm["drafted"] == arm["judged"] + arm["discarded"]
        assert arm["tokens"] == arm["agreed"] + arm["kept"] + arm["deferred"] + arm["bonus"] + arm["alone"]
        assert arm["acceptance"] == pytest.approx((arm["agreed"] + arm["kept"]) / arm["judged"])
        assert arm["kept"] == 0 or arm["rule"] != "exact"
        assert (arm["mode"], arm["rounds_off"], arm["alone"]) == ("on", 0, 0), "compare drafts 4 in every round"
    else:
        assert all(arm[count] is None for count in COUNTS) and arm["acceptance"] is None
        assert arm["alone"] == arm["tokens"] and arm["mode"] == "off"
        assert (arm["rule"] is None) == (arm["name"] in ("expert", "drafter"))
    if arm["expert_calls"]:
        assert arm["tokens_per_expert_call"] == pytest.approx(arm["tokens"] / arm["expert_calls"])
    else:
        assert arm["name"] in ("drafter", "answer-cascade") and arm["tokens_per_expert_call"] is None
    assert (arm["drafter_steps"] == 0) == (arm["name"] == "expert")
    assert (
        arm["tokens"] / (arm["expert_calls"] + arm["drafter_steps"]) < arm["speedup_if_flat"]
        or not arm["draft_seconds"]
    )
    if not comparable:
        assert arm["identical_to_expert"] is arm["first_difference"] is arm["first_difference_gap"] is None
    elif arm["identical_to_expert"]:
        assert arm["text"] == baseline["text"]
        assert arm["first_difference"] is arm["first_difference_gap"] is None
    else:
        assert 0 <= arm["first_difference"] <= min(arm["tokens"], baseline["tokens"])
        assert arm["first_difference_gap"] is None or arm["first_difference_gap"] > 0


def read(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    assert (done.returncode, done.stderr) == (0, "")
    document: dict[str, Any] = json.loads(done.stdout)
    assert set(document) == DOCUMENT and document["schema"] == 1
    arms = document["arms"]
    for place, arm in enumerate(arms):
        check_arm(arm, arms[0], document["manifest"]["temperature"] == 0 or document["manifest"]["test"] == "coupled")
        check_speedup(arm, place / len(arms), arms[0], document["drift"])
    assert document["drift"] > 0 and all(arm["speedup_low"] is not None for arm in arms)
    return document


@pytest.fixture(scope="module")
def poem(speccas: Run) -> dict[str, Any]:
    """The command of "Shown by" 2 of the issue."""
    return read(speccas("compare", POEM, *SHOWN_BY))


@pytest.mark.slow
def test_the_manifest(poem: dict[str, Any]) -> None:
    manifest = poem["manifest"]
    assert set(manifest) == MANIFEST and set(manifest["drafter"]) == set(manifest["expert"]) == MODEL
    assert manifest["drafter"] == {
        "file": "eagle3-smollm2-135m.gguf",
        "sha256": find_profile("tiny").drafter.sha256,
        "quant": "Q4_0",
        "parameters": 9_818_048,
        "server": None,
    }
    assert manifest["expert"]["parameters"] == 134_515_008 and manifest["expert"]["quant"] == "Q4_1"
    settings = {"pair": "tiny", "vocabulary": "identical", "k": 4, "temperature": 0, "top_k": 0, "top_p": 1, "min_p": 0}
    assert manifest | settings | {"test": "coupled", "ctx": 4096, "threads": 1} == manifest
    assert isinstance(manifest["seed"], int), "one was drawn"
    assert manifest["command"].startswith(f"speccas compare '{POEM}' --rule confidence")
    assert re.fullmatch("[0-9a-f]{64}", manifest["template_sha256"])


@pytest.mark.slow
def test_exact_is_the_expert_and_confidence_defers(poem: dict[str, Any]) -> None:
    arms = {arm["name"]: arm for arm in poem["arms"]}
    assert list(arms) == ["expert", "exact", "confidence", "token"]
    assert [arm["rule"] for arm in arms.values()] == [None, "exact", "confidence", "token"]
    assert [arm["alpha"] for arm in arms.values()] == [None, None, 0.3, 0.5]
    assert arms["exact"]["identical_to_expert"] is True and arms["exact"]["kept"] == 0
    assert arms["exact"]["expert_logprob"] == pytest.approx(arms["expert"]["expert_logprob"], abs=1e-3)
    assert arms["expert"]["expert_calls"] == arms["expert"]["tokens"] == 96
    assert arms["expert"]["draft_seconds"] == 0 < arms["exact"]["draft_seconds"]
    assert arms["confidence"]["deferred"] > 0 and arms["confidence"]["discarded"] == 0
    assert arms["confidence"]["kept"] + arms["token"]["kept"] > 0
    assert arms["exact"]["prefill_seconds"] > arms["expert"]["prefill_seconds"]


@pytest.mark.slow
def test_all_runs_every_rule_and_ancestor(speccas: Run) -> None:
    arms = read(speccas("compare", POEM, "--pair", "tiny-model", "--all", "-n", "12", "--json"))["arms"]
    assert {arm["name"] for arm in arms} == {*RULES, *BASELINES}
    assert arms[0]["name"] == "expert" and len(arms) == len(RULES) + len(BASELINES)
    for arm in arms:
        method: Any = {**RULES, **BASELINES}[arm["name"]]
        assert arm["alpha"] == (method.dial and method.dial.default)


@pytest.mark.slow
@pytest.mark.parametrize("test", ["coupled", "token"])
def test_above_temperature_0_texts_are_compared_where_one_seed_gives_one_text(speccas: Run, test: str) -> None:
    flags = ["--temperature", "0.8", "--top-k", "40", "--top-p", "0.95", "--min-p", "0.05", "--seed", "7", "-n", "16"]
    flags += ["--test", test]
    document = read(speccas("compare", POEM, *flags, "--rule", "lossy:0.5", "--json"))
    manifest = document["manifest"]
    assert manifest | {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05, "seed": 7} == manifest
    assert [arm["name"] for arm in document["arms"]] == ["expert", "exact", "lossy:0.5"]
    assert document["arms"][2]["alpha"] == 0.5


@pytest.mark.slow
def test_an_arm_asked_for_twice_runs_once(speccas: Run) -> None:
    rules = ["--rule", "exact", "--rule", "token:0.5,token:0.5", "--rule", "expert", "--rule", "token"]
    arms = read(speccas("compare", POEM, *rules, "-n", "2", "--json"))["arms"]
    assert [arm["name"] for arm in arms] == ["expert", "exact", "token:0.5"]


@pytest.mark.slow
def test_a_rule_named_beside_all_is_played_too(speccas: Run) -> None:
    flags = ("--pair", "tiny-model", "--all", "--rule", "token:0.2", "--rule", "token", "-n", "2", "--json")
    arms = read(speccas("compare", POEM, *flags))["arms"]
    names = [arm["name"] for arm in arms]
    assert names[-1] == "token:0.2" and sorted(names[:-1]) == sorted({*RULES, *BASELINES})


PLAIN = {"NO_COLOR": {"NO_COLOR": "1"}, "dumb": {"TERM": "dumb"}}


def readable(text: str, width: int) -> None:
    """No escape codes; the legend, each arm, marks of three kinds and the figures are there; nothing is cut."""
    assert "\x1b" not in text and "\r" not in text
    for mark in ("‹kept›", "[deferred]", "+bonus", "── expert ", "── exact ", "── comparative ", "tokens/s"):
        assert mark in text
    written = text[text.index("── exact ") : text.rindex("log-prob")]
    assert re.search(r"\[[^\]\s]+\]", written) and re.search(r"(?m)(^|\s)\+\w", written)
    assert re.search(r"‹[^›\s]+›", text[text.index("── comparative ") :])
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.slow
def test_off_a_terminal(speccas: Run) -> None:
    for width in (80, 40):
        done = speccas("compare", POEM, "--rule", "comparative", "-n", "16", env={"COLUMNS": str(width)})
        assert (done.returncode, done.stderr) == (0, "")
        readable(done.stdout, width)


@pytest.mark.slow
@pytest.mark.parametrize("case", PLAIN)
def test_on_a_terminal_that_wants_no_colour(terminal: Terminal, case: str) -> None:
    code, text = terminal("compare", POEM, "--rule", "comparative", "-n", "16", env=PLAIN[case])
    assert code == 0, text
    readable(text.replace("\r\n", "\n"), 80)


@pytest.mark.slow
def test_quiet_is_the_table_only(speccas: Run) -> None:
    done = speccas("compare", POEM, "-n", "4", "-q", env={"COLUMNS": "120"})
    assert (done.returncode, done.stderr) == (0, "")
    before, _, behind = done.stdout.partition("\narm ")
    assert "SmolLM2-135M-Instruct" in before and "eagle3-smollm2-135m" in before, "whose figures they are"
    table = behind.splitlines()
    assert table[0].split()[:2] == ["tokens/s", "speed-up"]
    assert [line.split()[0] for line in table[1:5]] == ["expert", "exact", "token", "confidence"]
    assert "──" not in done.stdout


@pytest.mark.slow
def test_a_reader_that_leaves(script: str, clean: dict[str, str]) -> None:
    command = [script, "compare", POEM, "-n", "48"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean) as writer:
        assert writer.stdout is not None and writer.stderr is not None
        assert writer.stdout.readline()
        writer.stdout.close()
        assert writer.stderr.read() == b""
        assert writer.wait(60) == 0


@pytest.mark.slow
def test_a_stream_that_knows_only_ascii(speccas: Run) -> None:
    done = speccas("compare", POEM, "-n", "4", env={"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "tokens/s" in done.stdout and "‹kept›" in done.stdout, "off a terminal everything is UTF-8"
