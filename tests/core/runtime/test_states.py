"""Hidden states read out of llama.cpp's graph: of which token, of which layer, and where a build has none."""

from pathlib import Path

import numpy as np
import pytest

from speccas.core.decoding.rewind import Rewindable
from speccas.core.decoding.sampling import Floats
from speccas.core.errors import Unavailable
from speccas.core.headers.gguf import read_header
from speccas.core.runtime import states
from speccas.core.runtime.backend import ModelFile
from speccas.core.runtime.llama import LlamaBackend, LlamaContext
from tests.builders.heads import tables_of
from tests.builders.models import smollm2
from tests.builders.random_models import WIDTH, random_model

IDS = [5, 900, 17, 4000, 17, 250, 3, 77]


def opened(path: Path, layers: tuple[int, ...], max_rows: int = 8) -> LlamaContext | Rewindable:
    file = ModelFile(path, read_header(path), path.stat().st_size)
    return LlamaBackend().load(file).context(512, max_rows, 1, layers)


def read(model: LlamaContext | Rewindable, *parts: list[int]) -> Floats:
    """The states of texts that were read part by part."""
    found = []
    for ids in parts:
        model.extend(ids, rows=1)
        assert model.states is not None and len(model.states) == len(ids)
        found.append(model.states.copy())
    return np.concatenate(found)


def test_a_row_is_of_its_token_whatever_call_it_was_read_in(tmp_path: Path) -> None:
    path = random_model(tmp_path / "x.gguf", "plain")
    together, apart = opened(path, (0, 1)), opened(path, (0, 1))
    whole = read(together, IDS)
    assert whole.shape == (len(IDS), 2 * WIDTH)
    np.testing.assert_allclose(read(apart, IDS[:1], IDS[1:4], IDS[4:]), whole, atol=1e-3)
    embeddings = tables_of(path)["token_embd.weight"]
    np.testing.assert_array_equal(whole[:, :WIDTH], embeddings[IDS], "the input of the first layer")
    assert np.abs(whole[:, WIDTH:] - whole[:, :WIDTH]).max() > 0.1, "the next layer has another"


def test_a_prompt_longer_than_a_call_gives_every_row(tmp_path: Path) -> None:
    path = random_model(tmp_path / "x.gguf", "plain")
    model, ids = opened(path, (0,)), [(7 * i) % 5000 for i in range(300)]
    model.extend(ids, rows=0)
    assert model.states is not None
    np.testing.assert_array_equal(model.states, tables_of(path)["token_embd.weight"][ids])


def test_a_model_that_reads_again_gives_the_rows_of_what_was_asked(tmp_path: Path) -> None:
    """A hybrid model that went back reads some tokens again within the next call."""
    path = random_model(tmp_path / "x.gguf", "hybrid")
    model, fresh = opened(path, (0, 1), max_rows=1), opened(path, (0, 1), max_rows=1)
    assert isinstance(model, Rewindable)
    model.extend(IDS[:4], rows=0)
    model.mark()
    model.extend(IDS[4:7], rows=0)
    model.truncate(5)
    before = model.evaluated
    again = read(model, IDS[5:])
    assert model.evaluated - before > len(IDS[5:]), "some were read again"
    np.testing.assert_allclose(again, read(fresh, IDS)[5:], atol=1e-3)


def test_a_model_that_was_not_asked_gives_none(tmp_path: Path) -> None:
    model = opened(random_model(tmp_path / "x.gguf", "plain"), ())
    model.extend(IDS)
    assert model.states is None


@pytest.mark.skipif(smollm2() is None, reason="the tiny expert is not installed")
def test_the_tiny_expert_gives_three_layers() -> None:
    path = smollm2()
    assert path is not None
    model, bare = opened(path, (2, 15, 28)), opened(path, ())
    found = read(model, IDS)
    assert found.shape == (len(IDS), 3 * 576) and np.isfinite(found).all()
    spread = [float(part.std()) for part in np.split(found, 3, axis=1)]
    assert len({round(each, 3) for each in spread}) == 3 and min(spread) > 0, "three layers"
    row = bare.extend(IDS)[0]
    model.truncate(0)
    np.testing.assert_array_equal(model.extend(IDS)[0], row, "the logits are as they were")


def test_a_build_without_the_symbols_is_told_with_the_version_that_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = {name: ("_Z3goneP13llama_context", "?gone", *types[2:]) for name, types in states.SYMBOLS.items()}
    monkeypatch.setattr(states, "SYMBOLS", gone)
    states.symbols.cache_clear()
    try:
        with pytest.raises(Unavailable) as told:
            opened(random_model(tmp_path / "x.gguf", "plain"), (0,))
    finally:
        states.symbols.cache_clear()
    assert "gone" in told.value.message and "0.3.36" in told.value.hint and told.value.exit_code == 3
