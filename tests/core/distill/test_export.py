"""The exported file: what our reader and llama.cpp make of it, without torch."""

import ctypes
from collections.abc import Mapping
from pathlib import Path

import llama_cpp
import numpy as np
import pytest
from numpy.typing import NDArray

from speccas.core.distill.export import Types, metadata, write_drafter
from speccas.core.distill.weights import beginning, read_weights
from speccas.core.headers.gguf import Header, StringArray, read_header
from speccas.core.headers.kept import Kept
from speccas.core.headers.vocabulary import Relation, Tokens, compare
from tests.core.distill.conftest import compared

Loaded = tuple[Header, Mapping[str, NDArray[np.float32]]]
LAYERS = (0, 29)


def written(path: Path, loaded: Loaded, kept: Kept, types: Types) -> Path:
    header, arrays = loaded
    write_drafter(path, metadata(header, kept, len(LAYERS), types), beginning(arrays, LAYERS, kept.ids), types)
    return path


@pytest.fixture(scope="module")
def drafter(tmp_path_factory: pytest.TempPathFactory, loaded: Loaded, kept: Kept) -> Path:
    """Two layers of the expert and 600 of its tokens, as Q4_0 and Q8_0."""
    return written(tmp_path_factory.mktemp("export") / "drafter.gguf", loaded, kept, Types())


def test_our_reader_finds_what_was_written(drafter: Path, loaded: Loaded, kept: Kept, tokens: Tokens) -> None:
    header = read_header(drafter)
    expert = loaded[0]
    assert header.architecture == "llama" and header.file_type == "Q4_0"
    for key in ("llama.embedding_length", "llama.rope.freq_base", "tokenizer.chat_template", "tokenizer.ggml.pre"):
        assert header.metadata[key] == expert.metadata[key]
    assert header.metadata["llama.block_count"] == 2 and header.metadata["llama.vocab_size"] == 600
    mine = Tokens.of(header)
    assert isinstance(mine.texts, StringArray) and mine.texts == kept.tokens.texts and mine.merges == kept.tokens.merges
    assert mine.stands_for(mine.end) == tokens.stands_for(tokens.end)
    found = compare(mine, tokens)
    assert found.relation is Relation.SUBSET and found.share == 1.0
    types = {tensor.name: tensor.type_name for tensor in header.tensors}
    assert types["token_embd.weight"] == "Q8_0" and types["blk.1.ffn_down.weight"] == "Q4_0"
    assert types["blk.0.attn_norm.weight"] == "F32" and len(types) == 2 + 2 * 9


def quantised(source: Path, out: Path, kind: int) -> None:
    """`source` through llama.cpp's own function, every tensor to one type."""
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.pure, params.nthread = kind, True, 1
    assert llama_cpp.llama_model_quantize(bytes(source), bytes(out), ctypes.byref(params)) == 0


@pytest.mark.parametrize(("kind", "number"), [("Q4_0", 2), ("Q8_0", 7)])
def test_blocks_are_those_that_llama_cpp_writes(
    kind: str, number: int, tmp_path: Path, loaded: Loaded, kept: Kept
) -> None:
    plain = written(tmp_path / "plain.gguf", loaded, kept, Types("F32", "F32"))
    ours = written(tmp_path / "ours.gguf", loaded, kept, Types(kind, kind))
    quantised(plain, tmp_path / "theirs.gguf", number)
    _, mine = read_weights(ours)
    _, theirs = read_weights(tmp_path / "theirs.gguf")
    for name, array in mine.items():
        assert np.array_equal(array, theirs[name]), name


@pytest.mark.slow
def test_it_loads_pairs_as_a_subset_and_exact_is_lossless(drafter: Path, expert: Path) -> None:
    arms = compared(drafter, expert, "Name three colours of the rainbow.")
    assert arms["exact"]["identical_to_expert"] is True
    assert arms["exact"]["tokens"] == arms["expert"]["tokens"] == 24
    assert arms["exact"]["drafted"] > 20, "there were drafts to turn down"
