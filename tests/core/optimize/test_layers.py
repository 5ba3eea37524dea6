"""A drafter of the expert's first layers: what it says is what the expert's own layer says there, bit by bit."""

from pathlib import Path

import numpy as np
import pytest

from speccas.core.decoding.sampling import Floats, distribution
from speccas.core.distill.weights import read_weights
from speccas.core.errors import CannotPair, Stopped, UsageError
from speccas.core.files.source import Source
from speccas.core.headers.gguf import read_header
from speccas.core.headers.write import pieces
from speccas.core.optimize.layers import cut_layers, layer_of
from speccas.core.runtime.backends import backend_of
from speccas.core.runtime.stop import StopFlag
from tests.builders.heads import Eagle
from tests.builders.models import smollm2
from tests.builders.mtp import with_head
from tests.builders.random_models import random_model

TEXT = [1, 5, 9, 4, 7, 3]


def run(path: Path, layer: int) -> tuple[Floats, Floats]:
    """What goes into a layer behind each token of TEXT (tokens, width), and the logits behind the last."""
    backend = backend_of(Source(path=str(path)))
    weights = backend.load(backend.open(Source(path=str(path))), 0, StopFlag(), None)
    try:
        context = weights.context(64, 1, 1, (layer,))
        logits = distribution(context.extend(TEXT)[0]).logits.copy()
        assert context.states is not None
        return np.array(context.states), logits
    finally:
        weights.close()


def assert_is_the_beginning(cut: Path, expert: Path, layers: int) -> None:
    """Its last layer reads what the expert's reads, and its logits are those of the expert's state behind that."""
    into, logits = run(cut, layers - 1)
    assert np.array_equal(into, run(expert, layers - 1)[0])
    state = run(expert, layers)[0][-1]
    header, arrays = read_weights(expert)
    normed = state / np.sqrt((state**2).mean() + header.get("llama.attention.layer_norm_rms_epsilon", float, 1e-5))
    output = arrays.get("output.weight", arrays["token_embd.weight"])
    wanted = output @ (normed * arrays["output_norm.weight"])
    assert np.abs(logits - wanted).max() < 0.02 * np.abs(wanted).max()


def test_it_computes_what_the_experts_own_layers_do(tmp_path: Path) -> None:
    expert = random_model(tmp_path / "expert.gguf", "plain")
    layers = read_header(expert).get("llama.block_count", int, 0) - 1
    heard: list[tuple[int, int]] = []
    cut_layers(expert, tmp_path / "cut.gguf", layers, tell=lambda done, of: heard.append((done, of)))
    cut = read_header(tmp_path / "cut.gguf")
    assert cut.get("llama.block_count", int, 0) == layers
    assert heard[-1][0] == heard[-1][1] and heard == sorted(heard)
    whole = {tensor.name: tensor for tensor in read_header(expert).tensors}
    for tensor in cut.tensors:
        assert layer_of(tensor) < layers
        mine = b"".join(pieces(tmp_path / "cut.gguf", cut, tensor))
        assert mine == b"".join(pieces(expert, read_header(expert), whole[tensor.name]))
    assert {*whole} - {each.name for each in cut.tensors} == {
        name for name, each in whole.items() if layer_of(each) >= layers
    }
    assert_is_the_beginning(tmp_path / "cut.gguf", expert, layers)


@pytest.mark.slow
@pytest.mark.tiny
def test_of_a_real_model(tmp_path: Path) -> None:
    expert = smollm2()
    assert expert
    cut_layers(expert, tmp_path / "cut.gguf", 12)
    assert_is_the_beginning(tmp_path / "cut.gguf", expert, 12)


def test_what_cannot_be_cut(tmp_path: Path) -> None:
    expert = random_model(tmp_path / "expert.gguf", "plain")
    count = read_header(expert).get("llama.block_count", int, 0)
    for layers in (0, count, count + 1):
        with pytest.raises(UsageError, match=f"has {count} layers, and {layers} were wanted"):
            cut_layers(expert, tmp_path / "cut.gguf", layers)
    with pytest.raises(UsageError, match="has a head behind its layers"):
        cut_layers(with_head(tmp_path / "headed.gguf", "gated"), tmp_path / "cut.gguf", 1)
    with pytest.raises(CannotPair):
        cut_layers(Eagle().write(tmp_path / "head.gguf", expert), tmp_path / "cut.gguf", 1)
    stop = StopFlag()
    stop.set()
    with pytest.raises(Stopped):
        cut_layers(expert, tmp_path / "cut.gguf", 1, stop)
    assert not (tmp_path / "cut.gguf").exists()
