"""Weights to blocks and back, held against llama.cpp's own files."""

from pathlib import Path

import numpy as np
import pytest

from speccas.core.distill.weights import beginning, dequantise, quantise, read_weights
from speccas.core.errors import UsageError
from speccas.core.headers.gguf import read_header
from tests.builders.models import TINY


def normal(count: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.random.default_rng(0).standard_normal(count).astype(np.float32)


@pytest.mark.parametrize(("kind", "worst"), [("F32", 0.0), ("F16", 5e-4), ("Q8_0", 5e-3), ("Q4_0", 0.13)])
def test_what_is_written_is_read_again(kind: str, worst: float) -> None:
    """`worst`: the largest error in units of a block's largest weight."""
    weights = normal(4096)
    weights[:128] = 0
    raw = quantise(weights, kind)
    again = dequantise(np.frombuffer(raw, np.uint8), kind)
    largest = np.abs(weights.reshape(-1, 32)).max(axis=1, keepdims=True)
    assert (np.abs(weights - again).reshape(-1, 32) <= worst * largest).all()
    assert not again[:128].any()
    assert quantise(again[128:], kind) == quantise(weights[128:], kind), "what is on a level stays there"


def test_blocks_of_two_scales_are_read() -> None:
    block = np.concatenate([np.array([0.5, -1.0], np.float16).view(np.uint8), np.full(16, 0x2F, np.uint8)])
    assert dequantise(block, "Q4_1").tolist() == [15 * 0.5 - 1] * 16 + [2 * 0.5 - 1] * 16


def test_the_shipped_drafters_tensors_are_the_bytes_that_we_would_write() -> None:
    header, arrays = read_weights(TINY)
    data = TINY.read_bytes()
    for tensor in header.tensors:
        assert arrays[tensor.name].shape == tensor.shape[::-1]
        assert tensor.bytes is not None
        assert quantise(arrays[tensor.name], tensor.type_name) == data[tensor.offset : tensor.offset + tensor.bytes]


def test_a_type_that_is_not_read_is_named(tmp_path: Path) -> None:
    data = bytearray(TINY.read_bytes())
    header = read_header(TINY)
    place = data.index(b"output_norm.weight") + len("output_norm.weight") + 4 + 8
    assert data[place : place + 4] == bytes(4), "the type of a norm, F32"
    data[place] = 26  # I32, as many bytes
    path = tmp_path / "other.gguf"
    path.write_bytes(data)
    assert header.tensors
    with pytest.raises(UsageError, match=r"output_norm\.weight is I32"):
        read_weights(path)


def test_a_drafter_begins_as_some_layers_and_rows_of_the_expert() -> None:
    _, arrays = read_weights(TINY)
    found = beginning(arrays, [3, 0], [7, 9])
    assert found["token_embd.weight"].shape == (2, 576)
    assert (found["token_embd.weight"][1] == arrays["token_embd.weight"][9]).all()
    assert found["blk.0.attn_q.weight"] is arrays["blk.3.attn_q.weight"]
    assert found["blk.1.ffn_up.weight"] is arrays["blk.0.ffn_up.weight"]
    assert len(found) == 2 + 2 * 9
    with pytest.raises(UsageError, match="no layer 4"):
        beginning(arrays, [4], [7])
