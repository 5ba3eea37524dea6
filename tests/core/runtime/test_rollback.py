"""What a model's memory takes back, held against llama.cpp itself: logits after going back and of a fresh read.

llama.cpp says that it took back a whole batch, or several, of a hybrid model, and leaves another state.
"""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from speccas.core.decoding.rewind import Rewindable
from speccas.core.decoding.sampling import Floats
from speccas.core.errors import RollbackRefused, Stopped
from speccas.core.headers.gguf import read_header
from speccas.core.headers.memory import RunningState
from speccas.core.runtime.llama import LlamaContext
from tests.builders.loaded import llama_model, row
from tests.builders.random_models import KINDS, random_model

ROWS, PROMPT, CONTEXT = 17, 20, 768
IDS = [(i * 7919 + 13) % 14_000 + 20 for i in range(CONTEXT)]
OTHER = 77
BATCHES = ([1], [2], [5], [ROWS], [3, 5], [5, 3], [5, 1], [1, 1, 1], [ROWS, 4], [ROWS + 1])
SAME = 0.02  # rows of the same tokens in other batches differ by less, those of another state by 0.5 and more


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {kind: random_model(folder / f"{kind}.gguf", kind) for kind in KINDS}


@pytest.fixture(scope="module")
def models(files: dict[str, Path]) -> Iterator[dict[str, LlamaContext]]:
    """Bare, with all the rollback that llama.cpp has for them."""
    made = {kind: llama_model(path, context=CONTEXT, max_rows=ROWS) for kind, path in files.items()}
    yield made
    for each in made.values():
        each.weights.close()


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest, models: dict[str, LlamaContext]) -> LlamaContext:
    return models[request.param]


@pytest.fixture(params=["hybrid", "recurrent", "gated"])
def limited(request: pytest.FixtureRequest, models: dict[str, LlamaContext]) -> LlamaContext:
    return models[request.param]


def fresh(model: LlamaContext, length: int) -> Floats:
    """The row behind so many tokens and another one, read from an empty cache."""
    model.truncate(0)
    model.extend(IDS[:length], rows=0)
    return row(model, [OTHER])


def read(model: LlamaContext, batches: list[int]) -> None:
    model.truncate(0)
    model.extend(IDS[:PROMPT], rows=0)
    for size in batches:
        model.extend(IDS[len(model) :][:size], rows=1)


def test_what_it_says_it_takes_back(files: dict[str, Path]) -> None:
    for kind, expert, drafter in (
        ("plain", None, None),
        ("windowed", None, None),
        ("hybrid", ROWS - 1, 0),
        ("recurrent", 0, 0),
        ("gated", ROWS - 1, 0),
    ):
        for rows, said in ((ROWS, expert), (1, drafter)):
            made = llama_model(files[kind], context=64, max_rows=rows)
            assert made.rollback == said, (kind, rows)
            made.weights.close()


@pytest.mark.parametrize("batches", BATCHES, ids=str)
def test_taking_back_is_right_or_refused(model: LlamaContext, batches: list[int]) -> None:
    """Any number of the tokens that were read in these batches."""
    for back in range(1, sum(batches) + 1):
        read(model, batches)
        held = len(model)
        true = model.rollback is None or back <= min(model.rollback, batches[-1] - 1)
        if true:
            model.truncate(held - back)
        else:
            with pytest.raises(RollbackRefused):
                model.truncate(held - back)
        assert len(model) == held - back * true
        found = row(model, [OTHER])
        assert np.abs(found - fresh(model, held - back * true)).max() < SAME, back


@pytest.mark.parametrize("kind", ["plain", "windowed"])
def test_a_cache_goes_back_over_more_than_a_window(models: dict[str, LlamaContext], kind: str) -> None:
    model = models[kind]
    for length in (650, 300, 40):
        model.truncate(0)
        for at in range(0, 700, 100):
            model.extend(IDS[at : at + 100], rows=0)
        model.truncate(length)
        found = row(model, [OTHER])
        assert np.abs(found - fresh(model, length)).max() < SAME, length


def test_a_memory_takes_back_once(models: dict[str, LlamaContext]) -> None:
    model = models["hybrid"]
    read(model, [9])
    model.truncate(PROMPT + 7)
    with pytest.raises(RollbackRefused):
        model.truncate(PROMPT + 6)
    assert len(model) == PROMPT + 7


def test_a_copy_of_the_state_is_the_state(limited: LlamaContext) -> None:
    """Made behind a prompt, or behind a part of a batch; restored after whatever was read since, more than once."""
    for batches, back in (([], 0), ([9], 4), ([1, 1], 0)):
        if back and not limited.rollback:
            continue
        read(limited, batches)
        limited.truncate(len(limited) - back)
        state = limited.save()
        for sizes in ([1], [5], [1, 1, 1], [ROWS, 3]):
            for size in sizes:
                limited.extend(IDS[400 : 400 + size])
            limited.restore(state)
            assert len(limited) == state.length
            found = row(limited, [OTHER])
            limited.restore(state)
            limited.extend(IDS[500:505], rows=5)
            limited.restore(state)
            assert np.array_equal(found, row(limited, [OTHER]))
        assert np.abs(found - fresh(limited, state.length)).max() < SAME


def test_a_copy_is_as_large_as_the_header_says(limited: LlamaContext) -> None:
    read(limited, [9])
    told = RunningState.of(read_header(limited.weights.path))
    assert told is not None and told.snapshots == bool(limited.rollback)
    assert 0 < len(limited.save().data) - told.bytes < 200


def test_a_copy_without_its_cache_is_refused(limited: LlamaContext) -> None:
    read(limited, [9])
    state, before = limited.save(), limited.save()
    limited.truncate(0)
    limited.extend(IDS[: PROMPT + 9], rows=0)
    for each in (state, before):
        with pytest.raises(RollbackRefused, match="cut shorter"):
            limited.restore(each)


@pytest.mark.parametrize("pause", [0.0, 0.0005, 0.002, 0.004])
def test_a_stop_inside_a_decode_is_no_state(limited: LlamaContext, pause: float) -> None:
    """Half of a batch is in it, and nobody knows which half."""
    limited.truncate(0)
    rewindable = Rewindable(limited)
    rewindable.extend(IDS[:PROMPT], rows=0)
    rewindable.mark()
    timer = threading.Timer(pause, limited.stop.set)
    timer.start()
    with pytest.raises(Stopped):
        while True:
            rewindable.extend(IDS[PROMPT:700], rows=0)
            rewindable.truncate(PROMPT)
    timer.join(60)
    limited.stop.clear()
    held = len(rewindable)
    assert PROMPT <= held < 700
    before = limited.evaluated
    found = rewindable.extend([OTHER])[0].copy()
    assert limited.evaluated - before <= held - PROMPT + 1, "not from the beginning"
    assert np.abs(found - fresh(limited, held)).max() < SAME
    limited.truncate(0)


def test_in_any_order_the_rows_are_those_of_a_fresh_read(limited: LlamaContext) -> None:
    """A hundred random calls and ways back, against the text read anew now and then."""
    limited.truncate(0)
    rewindable, random = Rewindable(limited), np.random.default_rng(1)
    held: list[int] = []
    for step in range(100):
        what = random.integers(4)
        if what == 0:
            del held[max(0, len(held) - int(random.integers(12))) :]
            rewindable.truncate(len(held))
        elif what == 1:
            rewindable.mark()
        else:
            new = [int(each) for each in random.integers(20, 14_000, int(random.integers(1, 9)))]
            rewindable.extend(new, rows=int(random.integers(len(new) + 1)))
            held += new
        assert len(rewindable) == len(held)
        if step % 10 == 9 and held:
            rewindable.truncate(len(held) - 1)
            found = rewindable.extend(held[-1:])[0].copy()
            other = llama_model(limited.weights.path, context=CONTEXT, max_rows=1)
            assert np.abs(found - row(other, held)).max() < SAME, step
            other.weights.close()
    limited.truncate(0)
