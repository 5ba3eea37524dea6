"""Mixtures of experts: what `check` and `show` say of them from a header on the hub, before anything is downloaded."""

from pathlib import Path

import pytest

from speccas.cli.commands.check import show as show_check
from speccas.cli.commands.show import show
from speccas.core.files.source import Source
from speccas.core.headers.check import judge, times_as_large
from speccas.core.headers.gguf import Header
from speccas.core.headers.mixture import Mixture, never_batches
from speccas.core.headers.spelling import LETTER
from speccas.core.headers.weights import active_share
from speccas.core.inventory.check import check_files
from speccas.core.inventory.details import details
from tests.builders.gguf import T_F32, Value, build, entry, model_file, model_header, parsed, tensor
from tests.hub_server import Hub

LINE = (
    "the expert (qwen3moe) is a mixture of 128 experts, 8 a token: on a CPU a call of several tokens costs nearly as "
    "much as one after another, since each token reads experts of its own, so drafts win little there"
)
TOKENS = [letter.encode() for _, letter in sorted(LETTER.items())]


def made(kind: str, **more: int) -> bytes:
    """The file of a language model without weights."""
    keys = {f"{kind}__{key}": value for key, value in more.items()}
    words = {"tokenizer__ggml__model": "gpt2", "tokenizer__ggml__tokens": TOKENS, "tokenizer__ggml__merges": ["w 1"]}
    return model_file(general__architecture=kind, **words, **keys)  # type: ignore[arg-type]


def test_what_a_header_says_of_its_experts() -> None:
    mixture = model_header(general__architecture="qwen3moe", qwen3moe__expert_count=128, qwen3moe__expert_used_count=8)
    assert Mixture.of(mixture) == Mixture(128, 8)
    assert never_batches(mixture, "the expert") == [LINE]
    silent = model_header(general__architecture="qwen3moe", qwen3moe__expert_count=16)
    assert never_batches(silent, "it")[0].startswith("it (qwen3moe) is a mixture of 16 experts: on a CPU")
    for dense in (model_header(general__architecture="llama"), model_header(llama__expert_count=0)):
        assert Mixture.of(dense) is None and never_batches(dense, "the expert") == []


def test_a_mixture_on_the_hub_is_told_before_a_download(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.add("owner/dense", {"m-Q4_0.gguf": made("llama")})
    hub.add("owner/moe", {"m-Q4_0.gguf": made("qwen3moe", expert_count=128, expert_used_count=8)})
    checked = check_files(Source(hf="owner/dense"), Source(hf="owner/moe"), "")
    assert checked.as_json()["remarks"].count(LINE) == 1
    show_check(checked.check, "small", "large")
    assert f"note: {LINE}" in capsys.readouterr().out
    for typed, experts, remarks in (("owner/moe", (128, 8), 1), ("owner/dense", (0, 0), 0)):
        model = details(f"hf:{typed}", None).as_json()["models"]["model"]
        assert (model["experts"], model["experts_used"], len(model["remarks"])) == (*experts, remarks)
    show("hf:owner/moe", None, False)
    assert "mixture of 128 experts" in capsys.readouterr().out
    assert not list((tmp_path / "hf").rglob("*.gguf")), "headers alone"


def sized(kind: str, experts: int, width: int = 0) -> Header:
    """A model of `width` dense parameters and 8,192 in experts, of which a token uses one."""
    tensors = [tensor("blk.0.ffn_up_exps.weight", (32, 32, 8), T_F32, 0)] if experts else []
    tensors += [tensor("blk.0.attn_q.weight", (32, width // 32), T_F32, 32768 if experts else 0)]
    keys: dict[str, Value] = {
        "general.architecture": kind, f"{kind}.expert_count": experts, f"{kind}.expert_used_count": 1,
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.tokens": TOKENS, "tokenizer.ggml.merges": ["w 1"],
    }  # fmt: skip
    pairs = [entry(key, value) for key, value in keys.items()]
    return parsed(build(pairs, tensors, 4 * (width + (8192 if experts else 0))))


def test_a_mixture_is_judged_by_what_a_token_uses() -> None:
    mixture, dense = sized("qwen3moe", 8, 1024), sized("llama", 0, 1024)
    assert active_share(mixture) == pytest.approx(2048 / 9216) and active_share(dense) == 1
    assert times_as_large(dense, mixture, (1, 1)) == pytest.approx(2.0)
    assert times_as_large(mixture, dense, (1, 1)) == pytest.approx(0.5)
    told = judge(dense, mixture, (1, 1))
    assert told.ratio == pytest.approx(2.0)
    assert "of the expert's 0.0 million parameters a token uses 0.0 million: it is judged by those" in told.remarks
    assert any("only 2.0 times as large" in remark for remark in told.remarks)
    assert any("2.0 times as large as the expert" in remark for remark in judge(mixture, dense, (1, 1)).remarks)
