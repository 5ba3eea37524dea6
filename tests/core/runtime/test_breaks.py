"""Long runs without a break: refused where llama.cpp's tokenizer would overflow, read where it would not.

Each is tried on a real tokenizer of that name, in a process of its own.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import llama_cpp.llama_cpp as api
import pytest

from speccas.core.errors import UsageError
from speccas.core.files.source import Source
from speccas.core.runtime import breaks
from speccas.core.runtime.breaks import BY_HAND, SAFE, TOGETHER, require_breaks
from speccas.core.runtime.llama import LlamaBackend, start
from tests.builders.gguf import model_file
from tests.builders.models import TINY
from tests.builders.rehead import reheaded
from tests.builders.sentencepiece import TEXTS, Made

REGEX = [
    "default", "falcon", *TOGETHER, "afmoe", "bailingmoe", "deepseek-coder", "deepseek-llm", "deepseek-v3", "gpt-4o",
    "hunyuan-dense", "jais-2", "joyai-llm", "llada-moe", "llama4", "minimax-m2", "seed-coder", "tekken", "tiny_aya",
    "youtu",
]  # fmt: skip
"""Not superbpe: its expression takes minutes for a text of this length."""
UNITS = [
    "a",
    "A",
    " ",
    "\n",
    ".",
    "1",
    "\u6c49",
    "\u00e9",
    "a1",
    "a.",
    "aA",
    "a\u0301",
    "ab ",
    "+/",
    "\u0e01\u0e47",
    "a_",
]
LONG = 30_000  # characters; it crashes from 26,100


def refused(text: str, pre: str) -> bool:
    try:
        require_breaks(text, "gpt2", pre)
    except UsageError as error:
        assert f"{SAFE:,} in a row are safe" in error.hint
        return True
    return False


@pytest.mark.parametrize("pre", ["gpt-4o", "deepseek-v3", "tekken", "llama4", "somebody's own"])
@pytest.mark.parametrize("unit", ["a", " ", "-", "\u6c49"])
def test_a_run_is_refused_by_what_it_is_made_of(pre: str, unit: str) -> None:
    text = f"Look: {unit * 200_000}!"
    with pytest.raises(UsageError, match=r"20\d,\d{3}|199,999|200,000") as raised:
        require_breaks(text, "gpt2", pre)
    assert pre in raised.value.message
    require_breaks(f"{unit * SAFE}1" * 3, "gpt2", pre)


def test_what_is_cut_by_hand_or_is_no_bpe_is_read() -> None:
    for model, pre in (("gpt2", "llama-bpe"), ("gpt2", "qwen2"), ("llama", "default"), ("llama", "")):
        require_breaks("a" * 200_000, model, pre)
    require_breaks("a" * 200_000, "gpt2", "")  # as `default`: letters are no matter for that
    assert refused("." * 200_000, "")


def test_a_smaller_stack_takes_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaks, "stack", lambda: 2 << 20)
    with pytest.raises(UsageError, match="5,000 letters"):
        require_breaks("a" * 5000, "gpt2", "tekken")
    require_breaks("a" * 4000, "gpt2", "tekken")


def test_a_loaded_model_refuses_it_before_it_is_tokenised(tmp_path: Path) -> None:
    path = reheaded(TINY, tmp_path / "model.gguf", {"tokenizer.ggml.pre": "tekken"})
    backend = LlamaBackend()
    weights = backend.load(backend.open(Source(path=str(path))))
    with pytest.raises(UsageError, match="200,000 letters"):
        weights.tokenize("a" * 200_000, special=True)
    assert weights.tokenize("a" * 1000, special=True)
    weights.close()


@pytest.mark.slow
def test_a_crash_of_llama_cpp_calls_no_debugger(tmp_path: Path) -> None:
    twice = tmp_path / "twice.gguf"
    twice.write_bytes(Made([*TEXTS[:-1], TEXTS[-2]]).head())
    load = "import sys; from speccas.core.runtime.llama import api, start; start(); "
    load += "api.llama_model_load_from_file(sys.argv[1].encode(), api.llama_model_default_params())"
    done = subprocess.run([sys.executable, "-c", load, str(twice)], capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGABRT and len(done.stderr.splitlines()) == 1, done.stderr


def crashes(pre: str, folder: Path, texts: list[str]) -> list[str]:
    """The texts that llama_tokenize dies at, by the names of their units."""
    start()
    path = folder / "model.gguf"
    path.write_bytes(
        model_file(
            general__architecture="llama",
            tokenizer__ggml__model="gpt2",
            tokenizer__ggml__pre=pre,
            tokenizer__ggml__tokens=["a", "b", "."],
            tokenizer__ggml__merges=["a b"],
        )
    )
    params = api.llama_model_default_params()
    params.vocab_only = True
    model = api.llama_model_load_from_file(os.fsencode(path), params)
    assert model, f"{pre} is not known"
    vocab, died = api.llama_model_get_vocab(model), []
    for text in texts:
        data = text.encode()
        child = os.fork()
        if not child:
            room = len(data) + 8
            api.llama_tokenize(vocab, data, len(data), (api.llama_token * room)(), room, False, False)
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            died.append(text[:2])
    api.llama_model_free(model)
    return died


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("pre", [*REGEX, "gpt-2", "kimi-k2", "llama-bpe", "qwen2"])
def test_nothing_that_is_let_through_overflows(pre: str, tmp_path: Path) -> None:
    every = [(unit * LONG)[:LONG] for unit in UNITS] + [unit * SAFE for unit in UNITS if len(unit) == 1]
    let_through = [text for text in every if not refused(text, pre)]
    assert crashes(pre, tmp_path, let_through) == []
    assert pre in BY_HAND or len(let_through) < len(every)
