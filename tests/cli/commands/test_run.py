"""`speccas run` on the tiny pair: stdout is the answer, and every flag does what it says."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from speccas.core.files.local import locate
from speccas.core.files.profiles import find_profile
from speccas.core.headers.gguf import read_header

Run = Callable[..., "subprocess.CompletedProcess[str]"]
pytestmark = pytest.mark.tiny

ASK = "Name three primary colours."
TURN = "<|im_start|>{}\n{}<|im_end|>\n"
WHO = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


def answer(speccas: Run, *arguments: str, stdin: bytes | str = b"", **environment: str) -> dict[str, Any]:
    """The one arm of `run --json`."""
    done = speccas("run", *arguments, "--json", stdin=stdin, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    document: dict[str, Any] = json.loads(done.stdout)
    assert set(document) == {"schema", "manifest", "arms", "drift"}
    (arm,) = document["arms"]
    assert arm["overhead_seconds"] >= 0
    return {**arm, "k": document["manifest"]["k"]}


@pytest.fixture(scope="module")
def plain(speccas: Run) -> dict[str, Any]:
    """What the defaults answer, in at most 24 tokens."""
    return answer(speccas, ASK, "-n", "24")


@pytest.mark.slow
def test_the_defaults(plain: dict[str, Any]) -> None:
    assert (plain["name"], plain["rule"], plain["alpha"], plain["k"]) == ("exact", "exact", None, "auto")
    assert plain["tokens"] <= 24 and plain["kept"] == 0 and plain["text"]


@pytest.mark.slow
def test_a_pipe_gets_the_answer_and_nothing_else(speccas: Run, plain: dict[str, Any]) -> None:
    for arguments, prompt in (([ASK], ""), (["-", "-q"], ASK + "\r\n"), ([], ASK)):
        done = speccas("run", *arguments, "-n", "24", stdin=prompt)
        assert (done.returncode, done.stdout, done.stderr) == (0, plain["text"] + "\n", "")


@pytest.mark.slow
def test_a_repetition_penalty_holds_for_both_models_and_is_told(
    speccas: Run, plain: dict[str, Any], tmp_path: Path
) -> None:
    held, trace = ("-n", "24", "--repeat-penalty", "1.5"), tmp_path / "t.jsonl"
    alone = answer(speccas, ASK, *held, "--rule", "expert")
    assert alone["text"] != plain["text"] and alone["expert_logprob"] != plain["expert_logprob"]
    for more in ((), ("-k", "6", "--lookup", "on", "--trace", str(trace))):
        found = answer(speccas, ASK, *held, *more)
        assert found["text"] == alone["text"] and found["kept"] == 0
        assert found["expert_logprob"] == pytest.approx(alone["expert_logprob"], abs=1e-4)
    off = answer(speccas, ASK, "-n", "24", SPECCAS_REPEAT_PENALTY="1.5", SPECCAS_REPEAT_LAST_N="0")
    assert off["text"] == plain["text"]
    told = " ".join(speccas("replay", str(trace)).stdout.split())
    assert "repetition penalty 1.5 over the last 64 tokens, of both models: p, q and log-prob are of what it" in told
    small = ("--pair", "tiny-model", "--rule", "drafter")
    scored = answer(speccas, ASK, *held, *small)["expert_logprob"]
    assert scored is not None and scored != answer(speccas, ASK, "-n", "24", *small)["expert_logprob"]


@pytest.mark.slow
def test_characters_of_several_bytes(speccas: Run) -> None:
    done = speccas("run", "漢字 漢字 漢字 漢", "--raw", "-n", "16")
    assert (done.returncode, done.stderr) == (0, "")
    assert not done.stdout.isascii() and "\ufffd" not in done.stdout


@pytest.mark.slow
def test_a_rule_with_its_alpha(speccas: Run, plain: dict[str, Any]) -> None:
    arm = answer(speccas, ASK, "-n", "8", "--rule", "token:0.4")
    assert (arm["name"], arm["rule"], arm["alpha"]) == ("token:0.4", "token", 0.4)
    arm = answer(speccas, ASK, "-n", "8", "--rule", "expert")
    assert (arm["name"], arm["rule"], arm["alone"]) == ("expert", None, 8)
    assert plain["text"].startswith(arm["text"])


@pytest.mark.slow
def test_a_seed_fixes_the_answer(speccas: Run) -> None:
    flags = ["-n", "24", "-k", "4", "--temperature", "0.8", "--rule", "token"]
    seeds = ("3", "3", "99999999999999999999")
    first, again, other = (speccas("run", ASK, *flags, "--seed", seed).stdout for seed in seeds)
    assert first == again != other and first


@pytest.mark.slow
def test_stop_ends_the_answer_before_the_text(speccas: Run, plain: dict[str, Any]) -> None:
    whole = plain["text"]
    stop = whole[len(whole) // 2 :][:7]  # wherever that is: at no token's edge
    arm = answer(speccas, ASK, "-n", "24", "--stop", "no such text", "--stop", stop)
    assert arm["text"] == whole[: whole.index(stop)] and arm["finish"] == "stop"


@pytest.mark.slow
def test_a_marker_is_written_as_any_text_and_stops_as_any_text(speccas: Run) -> None:
    flags = ["hi", "-n", "24", "-k", "4", "--ignore-eos"]
    whole = speccas("run", *flags).stdout
    assert "<|im_end|>\n<|im_start|>user\n" in whole
    assert answer(speccas, *flags)["text"] == whole.removesuffix("\n")
    done = speccas("run", *flags, "--stop", "<|im_end|>")
    assert done.returncode == 0 and done.stdout == whole[: whole.index("<|im_end|>")] + "\n"


@pytest.mark.slow
def test_raw_takes_the_prompt_as_it_is(speccas: Run, plain: dict[str, Any]) -> None:
    turns = TURN.format("system", WHO) + TURN.format("user", ASK) + "<|im_start|>assistant\n"
    assert answer(speccas, turns, "--raw", "-n", "24")["text"] == plain["text"]


@pytest.mark.slow
def test_system_replaces_the_system_turn(speccas: Run, plain: dict[str, Any]) -> None:
    turns = TURN.format("system", "You speak like a pirate.") + TURN.format("user", ASK) + "<|im_start|>assistant\n"
    arm = answer(speccas, ASK, "--system", "You speak like a pirate.", "-n", "24")
    assert arm["text"] == answer(speccas, turns, "--raw", "-n", "24")["text"] != plain["text"]


@pytest.mark.slow
def test_one_token(speccas: Run, plain: dict[str, Any]) -> None:
    arm = answer(speccas, ASK, "-n", "1", "-k", "4")
    assert (arm["tokens"], arm["expert_calls"], arm["drafted"], arm["bonus"], arm["finish"]) == (1, 1, 0, 1, "length")
    assert arm["acceptance"] is None and plain["text"].startswith(arm["text"])


@pytest.mark.slow
def test_the_ends_of_an_answer(speccas: Run) -> None:
    ended = answer(speccas, "Hi", "-n", "24")
    assert ended["finish"] == "end" and ended["tokens"] < 24
    on = answer(speccas, "Hi", "-n", "24", "--ignore-eos")
    assert (on["finish"], on["tokens"]) == ("length", 24) and on["text"].startswith(ended["text"])
    full = answer(speccas, "Hi", "-n", "24", "--ignore-eos", "--ctx", "48")
    assert full["finish"] == "context" and 0 < full["tokens"] < 24 and on["text"].startswith(full["text"])


@pytest.mark.slow
def test_settings_come_from_everywhere(speccas: Run, tmp_path: Path, plain: dict[str, Any]) -> None:
    """Which one wins is tested in tests/core/test_settings.py."""
    (tmp_path / "speccas").mkdir()
    (tmp_path / "speccas/config.yaml").write_text("draft_tokens: 2\nmax_tokens: 3\nrule: token:0.25\n")
    home = {"XDG_CONFIG_HOME": str(tmp_path)}
    arm = answer(speccas, ASK, "-k", "5", SPECCAS_RULE="exact", SPECCAS_DRAFT_TOKENS="3", **home)
    assert (arm["name"], arm["k"], arm["tokens"]) == ("exact", 5, 3)
    assert plain["text"].startswith(arm["text"])


def cache_bytes(file: Path) -> int:
    """One position of a model's cache: keys and values of every layer, as F16."""
    header = read_header(file)
    layers, wide, heads, kv_heads = (
        header.get(f"llama.{key}", int, 0)
        for key in ("block_count", "embedding_length", "attention.head_count", "attention.head_count_kv")
    )
    return 2 * 2 * layers * kv_heads * wide // heads


WATCH = """import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10)"""


def peak(command: list[str], env: dict[str, str]) -> int:
    """Most memory the command held, in bytes. A small process starts it: Linux counts as a program's own what the
    process held that became it, and this one has loaded every model by now."""
    told = subprocess.run([sys.executable, "-c", WATCH, *command], capture_output=True, text=True, env=env, check=True)
    return int(told.stdout)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB only on Linux")
def test_memory_is_measured_without_ours(clean: dict[str, str]) -> None:
    """The measure below sees what a command takes, in a child of its own too, and nothing of this process."""
    ours = b"x" * 300_000_000
    take = "import os\nif os.fork(): os.wait()\nelse: held = b'x' * 150_000_000"
    assert peak([sys.executable, "-c", "pass"], clean) < 50_000_000 < len(ours)
    assert peak([sys.executable, "-c", take], clean) > 150_000_000


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB only on Linux")
def test_memory_is_files_and_caches_and_a_constant(script: str, clean: dict[str, str]) -> None:
    """At most 200 MB besides, Python included; above all no logits of every position, which would be 192 KiB each."""
    pair = find_profile("tiny-model")
    files = [locate(pair.drafter), locate(pair.expert)]
    position = cache_bytes(files[0]) * 3 // 2 + cache_bytes(files[1])
    most: dict[int, int] = {}
    for context in (512, 4096):
        command = [script, "run", "Hi", "--pair", pair.name, "-n", "24", "--ignore-eos", "--ctx", str(context)]
        most[context] = peak(command, clean)
        assert most[context] < sum(file.stat().st_size for file in files) + context * position + 200_000_000
    assert most[4096] - most[512] < 1.3 * 3584 * position
