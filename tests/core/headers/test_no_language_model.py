"""Whole, readable GGUF files that are no language model, or not all of one: each is told for what it is."""

from pathlib import Path

import pytest

from speccas.core.errors import CannotPair, IntegrityError, UsageError
from speccas.core.files.inspect import inspect
from speccas.core.files.source import Source
from speccas.core.headers.architecture import HEADS, require_language_model
from speccas.core.headers.check import judge
from speccas.core.headers.gguf import Header
from speccas.core.headers.head_kind import kind_of
from speccas.core.headers.vocabulary import Tokens, require_distinct
from speccas.core.inventory.check import check_files
from speccas.core.machine.build import require_known
from speccas.core.runtime.llama import LlamaBackend
from tests.builders.gguf import Value, model_file, model_header

KEYS: dict[str, Value] = {
    "tokenizer__ggml__model": "gpt2",
    "tokenizer__ggml__tokens": ["a", "b"],
    "tokenizer__ggml__merges": ["a b"],
}


def made(architecture: str, **more: Value) -> Header:
    keys = {f"{architecture}__{key}": value for key, value in more.items()}
    return model_header(general__architecture=architecture, **KEYS, **keys)


def written(folder: Path, name: str, architecture: str, **more: Value) -> Source:
    path = folder / name
    path.write_bytes(model_file(general__architecture=architecture, **{**KEYS, **more}))
    return Source(path=str(path))


@pytest.mark.parametrize(
    ("header", "said"),
    [
        *((made(name), "is a head") for name in sorted(HEADS)),
        (made("qwen35", block_count=1, nextn_predict_layers=1), "is a head"),
        (made("whisper"), "hears"),
        (made("wavtokenizer-dec"), "speaks"),
        (made("t5"), "encoder"),
        (made("nomic-bert-moe"), "embeddings"),
        (made("gemma-embedding"), "embeddings"),
        (made("llama-embed"), "embeddings"),
        (made("qwen3", pooling_type=3), "embeddings"),
        (made("llada"), "one token after another"),
        (made("llama", attention__causal=False), "one token after another"),
        (model_header(general__architecture="llama"), "no vocabulary"),
        (model_header(general__name="x"), "no architecture"),
    ],
)
def test_what_it_is_instead(header: Header, said: str) -> None:
    with pytest.raises(CannotPair, match=said) as raised:
        require_language_model(header, "x.gguf")
    assert "no language model" in raised.value.message
    with pytest.raises(CannotPair, match=said):
        judge(made("llama"), header, (1, 1))
    if kind_of(header) is None:
        with pytest.raises(CannotPair, match=said):
            judge(header, made("llama"), (1, 1))
    else:  # a head of that kind may draft, but not for this expert
        assert not judge(header, made("llama"), (1, 1)).works


@pytest.mark.parametrize(
    "header",
    [
        made("qwen35", block_count=25, nextn_predict_layers=1),
        made("pangu-embedded"),
        made("llama", attention__causal=True),
        made("deepseek2", nextn_predict_layers=1),
    ],
)
def test_what_only_looks_like_one(header: Header) -> None:
    require_language_model(header, "x.gguf")


def test_an_architecture_that_the_installed_llama_cpp_does_not_know(tmp_path: Path) -> None:
    good, odd = written(tmp_path, "good.gguf", "llama"), written(tmp_path, "odd.gguf", "lama9")
    assert check_files(good, good, "").check.works
    for ask in (
        lambda: check_files(good, odd, ""),
        lambda: check_files(odd, good, ""),
        lambda: LlamaBackend().open(odd),
    ):
        with pytest.raises(CannotPair, match="knows no architecture 'lama9'"):
            ask()
    for known in ("mamba", "qwen3moe", "gpt-oss", "lfm2moe", "gemma4"):
        require_known(made(known), "x.gguf")


def test_a_later_part_of_a_split_model_is_told_as_such(tmp_path: Path) -> None:
    more = {"split__no": 1, "split__count": 3, "split__tensors__count": 9}
    part = tmp_path / "m-00002-of-00003.gguf"
    part.write_bytes(model_file(**more))
    with pytest.raises(UsageError, match="part 2 of a model split over 3 files") as raised:
        check_files(Source(path=str(part)), Source(path=str(part)), "")
    assert "first" in raised.value.hint


def test_a_split_model_needs_every_part_beside_the_first(tmp_path: Path) -> None:
    first = written(tmp_path, "m-00001-of-00003.gguf", "llama", split__no=0, split__count=3)
    (tmp_path / "m-00003-of-00003.gguf").write_bytes(b"x")
    for ask in (inspect, LlamaBackend().open):
        with pytest.raises(IntegrityError, match=r"m-00002-of-00003\.gguf is not beside it"):
            ask(first)
    (tmp_path / "m-00002-of-00003.gguf").write_bytes(b"x")
    inspect(first)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["a", "b", "a"], "the tokens 0 and 2 have the same text 'a'"),
        (["x", "b\0c", "b\0d"], "the tokens 1 and 2"),
        (["x", "", "", "y"], ""),
    ],
)
def test_two_tokens_of_one_text(texts: list[str], said: str) -> None:
    header = model_header(**{**KEYS, "general__architecture": "llama", "tokenizer__ggml__tokens": texts})
    if not said:
        require_distinct(Tokens.of(header), "x.gguf")
        return
    with pytest.raises(IntegrityError, match=said):
        require_distinct(Tokens.of(header), "x.gguf")
    with pytest.raises(IntegrityError, match=said):
        judge(header, header, (1, 1))
