"""The quality of a file against its source: nothing lost by itself, more by one that is damaged more."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from speccas.core.decoding.sampling import Floats
from speccas.core.decoding.table import TableModel
from speccas.core.errors import Stopped
from speccas.core.headers.gguf import read_header
from speccas.core.headers.write import Stored, pieces, values_of, write_gguf
from speccas.core.optimize import quality as module
from speccas.core.optimize.quality import LENGTH, builtin_texts, quality, reader, reference, windows
from speccas.core.runtime.stop import StopFlag
from tests.builders.loaded import llama_model
from tests.builders.models import TINY
from tests.builders.table_backend import TableWeights

VOCABULARY = 50


def table(seed: int, noise: float = 0.0, order: int = 2, vocabulary: int = VOCABULARY) -> TableModel:
    values = np.random.default_rng(1).standard_normal((vocabulary,) * (order + 1)) * 2
    values += np.random.default_rng(seed).standard_normal(values.shape) * noise
    return TableModel(values.astype(np.float32), order, max_rows=7)


def texts(vocabulary: int = VOCABULARY) -> list[list[int]]:
    chance = np.random.default_rng(3)
    return [chance.integers(0, vocabulary, length).tolist() for length in (2, 40, 7, 8, 9)]


def log_rows(model: TableModel, ids: Sequence[int]) -> Floats:
    rows = np.array([model.row(ids[: at + 1]) for at in range(len(ids) - 1)], dtype=np.float64)
    found: Floats = rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))
    return found


def test_a_file_against_itself_has_lost_nothing() -> None:
    source = reference(table(0), texts())
    found = quality(table(0), source)
    assert (found.tokens, found.kl, found.same_argmax, found.cost) == (61, 0.0, 1.0, 0.0)


@pytest.mark.parametrize("noise", [0.1, 0.5, 2.0])
def test_figures_are_those_of_the_whole_rows(noise: float) -> None:
    before, after = (np.concatenate([log_rows(table(2, each), ids) for ids in texts()]) for each in (0.0, noise))
    following = np.array([token for ids in texts() for token in ids[1:]])
    found = quality(table(2, noise), reference(table(0), texts()))
    assert found.kl == pytest.approx((np.exp(before) * (before - after)).sum(axis=1).mean(), rel=1e-4)
    assert found.same_argmax == pytest.approx((before.argmax(axis=1) == after.argmax(axis=1)).mean())
    at = np.arange(len(following))
    assert found.loss_source == pytest.approx(-before[at, following].mean(), rel=1e-5)
    assert found.cost == pytest.approx((before - after)[at, following].mean(), rel=1e-3, abs=1e-5)


def test_of_a_large_row_the_rest_counts_as_one_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never more than the divergence of the whole rows, and near it where the kept tokens hold nearly all."""
    whole = quality(table(2, 0.5), reference(table(0), texts())).kl
    found = []
    for kept in (1, 10, 40):
        monkeypatch.setattr(module, "KEPT", kept)
        found.append(quality(table(2, 0.5), reference(table(0), texts())).kl)
    assert 0 < found[0] < found[1] < found[2] <= whole * (1 + 1e-6) and found[2] > 0.9 * whole
    p, q = (np.exp(np.concatenate([log_rows(table(2, each), ids) for ids in texts()])) for each in (0.0, 0.5))
    least = np.take_along_axis(p, p.argmax(axis=1)[:, None], 1), np.take_along_axis(q, p.argmax(axis=1)[:, None], 1)
    one: Floats = sum(a * np.log(a / b) for a, b in (least, (1 - least[0], 1 - least[1])))
    assert found[0] == pytest.approx(one.mean(), rel=1e-3)


def test_more_damage_is_a_worse_file() -> None:
    source = reference(table(0), texts())
    small, large = (quality(table(2, noise), source) for noise in (0.2, 1.0))
    assert 0 < small.kl < large.kl and 1 > small.same_argmax > large.same_argmax


def test_another_vocabulary_is_no_candidate() -> None:
    with pytest.raises(ValueError, match="a row of 40 tokens, and the source has 50"):
        quality(table(0, vocabulary=40), reference(table(0), texts(40)))


def test_progress_counts_predicted_tokens_to_the_end() -> None:
    heard: list[tuple[int, int]] = []
    source = reference(table(0), texts(), lambda done, total: heard.append((done, total)))
    assert heard == sorted(heard) and heard[-1] == (61, 61) and len(heard) > len(texts())
    heard.clear()
    quality(table(0), source, lambda done, total: heard.append((done, total)))
    assert heard[-1] == (61, 61)


def test_windows_are_cut_to_the_cache_and_single_tokens_left_out() -> None:
    found = windows(TableWeights(b""), 10, ["a", "", "abc", "x" * 30])
    assert [len(ids) for ids in found] == [3, 10]


def test_the_built_in_texts_are_enough_and_none_of_a_bench() -> None:
    model = llama_model(TINY, context=64)
    found = windows(model.weights, 1024)
    assert sum(len(ids) - 1 for ids in found) >= 2000 and max(map(len, found)) <= LENGTH, "the cache holds each whole"
    prompts = Path(__file__).parents[3] / "core/bench/prompts"
    asked = {json.loads(line)["prompt"] for path in prompts.glob("*.jsonl") for line in path.read_text().splitlines()}
    assert not any(prompt in text or text in prompt for prompt in asked for text in builtin_texts())
    model.weights.close()


def damaged(source: Path, target: Path, scale: float) -> Path:
    """The tiny drafter with noise on the bytes of one layer's weights, of one in `scale` bytes."""
    header = read_header(source)
    chance = np.random.default_rng(0)

    def changed(name: str, whole: bytes) -> bytes:
        if "blk.1.ffn" not in name or "norm" in name:
            return whole
        data = np.frombuffer(whole, np.uint8).copy().reshape(-1, 18)
        hit = chance.random((len(data), 16)) < scale
        data[:, 2:][hit] ^= 0x88  # half of the levels' range; the scales stay sound
        return data.tobytes()

    tensors = []
    for each in header.tensors:
        data = changed(each.name, b"".join(pieces(source, header, each)))
        tensors.append(Stored(each.name, each.shape, each.type, len(data), lambda data=data: [data]))  # type: ignore[misc]
    write_gguf(target, values_of(source, header), tensors, header.alignment)
    return target


@pytest.mark.slow
def test_real_files_that_are_damaged_more_are_worse(tmp_path: Path) -> None:
    weights = llama_model(TINY, context=64).weights
    chosen = windows(weights)[:2]
    source = reference(reader(weights, 1), chosen)
    same = quality(reader(weights, 1), source)
    assert (same.kl, same.same_argmax, same.cost) == (0.0, 1.0, 0.0) and 0.5 < same.loss < 6
    weights.close()
    found = []
    for scale in (0.01, 0.2):
        other = llama_model(damaged(TINY, tmp_path / "b.gguf", scale), context=512, max_rows=32)
        found.append(quality(other, source))
        other.weights.close()
    assert 1e-4 < found[0].kl < found[1].kl and found[0].same_argmax > found[1].same_argmax
    assert found[1].cost > 0.01


def test_a_stop_ends_the_reading() -> None:
    stop = StopFlag()
    model = llama_model(TINY, context=512, max_rows=32, stop=stop)
    with pytest.raises(Stopped):
        reference(model, windows(model.weights, 512), lambda done, total: stop.set())
    model.weights.close()
