"""llama.cpp as a language model: rows, prefixes, stops and errors, on the tiny drafter and the tiny expert."""

import ctypes
import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from speccas.core.decoding.sampling import Floats
from speccas.core.errors import CannotPair, ContextFull, NativeError, Stopped
from speccas.core.runtime.llama import MANY, LlamaContext, fill, physical_cores, system_info
from speccas.core.runtime.pair import Pair
from speccas.core.runtime.stop import StopFlag
from tests.builders.loaded import llama_model, row
from tests.builders.models import TINY

CONTEXT, ROWS = 768, 17
TEXT = "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness. "


@pytest.fixture(scope="module")
def loaded() -> Iterator[LlamaContext]:
    model = llama_model(TINY, context=CONTEXT, max_rows=ROWS, threads=1)
    yield model
    model.weights.close()


@pytest.fixture
def model(loaded: LlamaContext) -> LlamaContext:
    """The tiny drafter with an empty cache."""
    loaded.stop.clear()
    loaded.truncate(0)
    return loaded


@pytest.fixture(scope="module")
def ids(loaded: LlamaContext) -> list[int]:
    """As many tokens as the context holds, all of them of a text."""
    return loaded.weights.tokenize(TEXT * 40, special=False)[:CONTEXT]


def fresh(model: LlamaContext, *parts: list[int]) -> Floats:
    """The row behind `parts`, evaluated one after the other from an empty cache."""
    model.truncate(0)
    for part in parts[:-1]:
        model.extend(part, rows=0)
    row: Floats = model.extend(parts[-1], rows=1)[0].copy()
    return row


def same(left: Floats, right: Floats) -> None:
    """Rows of the same tokens, cut into the same batches: others would round differently, by up to 0.3."""
    assert left.shape == right.shape and float(np.abs(left - right).max()) < 1e-3


def test_what_a_token_of_a_prompt_costs_is_known_once_one_was_read(ids: list[int]) -> None:
    model = llama_model(TINY, context=CONTEXT, max_rows=ROWS, threads=1)
    model.extend(ids[: MANY - 1], rows=0)
    model.extend(ids[:MANY], rows=1)
    assert model.prefill_token == math.inf, "too short, or with a row, which costs the output layer"
    seconds = model.seconds
    model.extend(ids[: 4 * MANY], rows=0)
    assert 0 < 4 * MANY * model.prefill_token <= model.seconds - seconds
    model.prefill_token = 0.0
    model.extend(ids[:MANY], rows=0)
    assert model.prefill_token == 0.0, "the least counts"
    model.weights.close()


def test_more_rows_than_there_is_room_for_never_reach_llama_decode(model: LlamaContext, ids: list[int]) -> None:
    """llama_decode would abort the process."""
    model.extend(ids[:4])
    for tokens, rows in ((ids[:30], ROWS + 1), (ids[:3], 4), ([], 1)):
        with pytest.raises(ValueError, match=f"{rows} rows of {len(tokens)} tokens"):
            model.extend(tokens, rows=rows)
        assert len(model) == 4
    assert model.extend(ids[4:30], rows=ROWS).shape == (ROWS, model.weights.size) and model.weights.size == 14_336


def test_rows_are_float32_and_none_are_asked_for_by_0(model: LlamaContext, ids: list[int]) -> None:
    assert model.extend(ids[:300], rows=0).shape == (0, model.weights.size) and len(model) == 300
    assert model.extend([], rows=0).shape == (0, model.weights.size) and len(model) == 300
    found = model.extend(ids[300:302])
    assert found.shape == (1, model.weights.size) and found.dtype == np.float32 and np.isfinite(found).all()
    found = found.copy()
    same(found[0], fresh(model, ids[:300], ids[300:302]))


@pytest.mark.tiny
def test_rows_of_one_batch_are_those_of_single_tokens(tiny: Pair) -> None:
    """On the tiny expert bit for bit: greedy `exact` must be the expert alone (design section 3, invariant 4)."""
    expert = tiny.expert
    tokens = tiny.weights["expert"].tokenize(TEXT, special=False)[:20]
    try:
        expert.truncate(0)
        single = [row(expert, [token]) for token in tokens]
        for n in (2, 3, 5, 9, 16, ROWS):
            expert.truncate(1)
            rows = expert.extend(tokens[1 : n + 1], rows=n)
            assert np.array_equal(np.asarray(rows), single[1 : n + 1]), n
    finally:
        expert.truncate(0)


def test_truncate_takes_back_what_it_says(model: LlamaContext, ids: list[int]) -> None:
    model.extend(ids[:12], rows=3)
    for length in (11, 5, 0):
        model.truncate(length)
        assert len(model) == length
        model.extend(ids[100 : 100 + 12 - length], rows=1)  # something else
        model.truncate(length)
        row = model.extend(ids[length:12])[0].copy()
        same(row, fresh(model, ids[:length], ids[length:12]))
    model.truncate(99)
    assert len(model) == 12
    assert model.rollback is None


def test_a_full_context_leaves_a_true_prefix(model: LlamaContext, ids: list[int]) -> None:
    model.extend(ids[: CONTEXT - 2], rows=0)
    with pytest.raises(ContextFull, match=f"the context of {CONTEXT} tokens is full"):
        model.extend(ids[:3])
    assert len(model) == CONTEXT - 2
    row = model.extend(ids[-2:])[0].copy()
    assert len(model) == CONTEXT
    with pytest.raises(ContextFull):
        model.extend(ids[:1])
    same(row, fresh(model, ids[:-2], ids[-2:]))


@pytest.mark.slow
def test_a_stop_from_another_thread_leaves_a_true_prefix(model: LlamaContext, ids: list[int]) -> None:
    def stop_when(read: int) -> None:
        until = time.monotonic() + 60
        while len(model) < read and time.monotonic() < until:
            time.sleep(0.0005)
        model.stop.set()

    for read in (1, 300):
        model.truncate(0)
        thread = threading.Thread(target=stop_when, args=(read,))
        thread.start()
        with pytest.raises(Stopped):
            while True:  # a fast machine may be through before the thread looks
                model.extend(ids, rows=1)
                model.truncate(read)
        thread.join(60)
        assert read <= len(model) < CONTEXT
        with pytest.raises(Stopped):
            model.extend(ids[len(model) :][:1])
        model.stop.clear()
        length = len(model)
        row = model.extend(ids[length:], rows=1).copy()
        same(row[0], fresh(model, ids[:length], ids[length:]))


def test_a_stop_inside_a_decode(model: LlamaContext, ids: list[int]) -> None:
    """Set while llama.cpp works: the flag is read before every node of its graph."""
    for pause in (0.001, 0.003, 0.006, 0.012):
        model.truncate(0)
        timer = threading.Timer(pause, model.stop.set)
        timer.start()
        with pytest.raises(Stopped):
            while True:
                model.extend(ids, rows=1)
                model.truncate(0)
        timer.join(60)
        model.stop.clear()
        length = len(model)
        row = model.extend(ids[length : length + 8], rows=1).copy()
        same(row[0], fresh(model, ids[:length], ids[length : length + 8]))


def test_a_token_that_does_not_exist(model: LlamaContext, ids: list[int]) -> None:
    model.extend(ids[:3])
    for token in (model.weights.size, -1, 2**31 - 1):
        with pytest.raises(NativeError, match="llama_decode failed with code -1"):
            model.extend([ids[3], token])
        assert len(model) == 3
    row = model.extend(ids[3:9]).copy()
    same(row[0], fresh(model, ids[:3], ids[3:9]))


def test_time_in_the_model_only_grows(model: LlamaContext, ids: list[int]) -> None:
    before, evaluated = model.seconds, model.evaluated
    model.extend(ids[:200], rows=0)
    assert model.seconds > before and model.evaluated == evaluated + 200
    with pytest.raises(ValueError, match="rows"):
        model.extend(ids[:1], rows=2)
    model.truncate(0)
    assert model.seconds > before and model.evaluated == evaluated + 200


def test_tokens_and_text(model: LlamaContext) -> None:
    for text in ("", "Hello there", "歪 👩‍🚀\n\n  é", "x" * 5000):
        tokens = model.weights.tokenize(text, special=False)
        assert b"".join(map(model.weights.piece, tokens)).decode() == text
    end = model.weights.tokenize("<|im_end|>", special=True)
    assert len(end) == 1 and model.weights.piece(end[0]) == b"<|im_end|>" and model.weights.lexicon().ends(end[0])
    typed = model.weights.tokenize("<|im_end|>", special=False)
    assert len(typed) > 1 and not any(map(model.weights.lexicon().ends, typed))
    assert model.weights.tokenize("\udcff", special=False) == model.weights.tokenize("?", special=False)


def test_a_struct_has_no_field_that_it_has_not() -> None:
    class Point(ctypes.Structure):
        _fields_ = (("x", ctypes.c_int), ("y", ctypes.c_int))

    assert fill(Point(), x=3).x == 3
    with pytest.raises(AttributeError, match="Point has no field 'z'"):
        fill(Point(), x=1, z=2)


def test_a_flag_is_false_until_it_is_set() -> None:
    flag = StopFlag()
    assert not flag
    flag.set()
    assert flag
    flag.clear()
    assert not flag


def test_the_flag_that_was_given_is_the_flag(ids: list[int]) -> None:
    flag = StopFlag()
    model = llama_model(TINY, context=64, max_rows=1, threads=1, stop=flag)
    assert model.stop is flag
    flag.set()
    with pytest.raises(Stopped):
        model.extend(ids[:1])
    model.weights.close()


def test_loading_tells_how_far_it_is_and_can_be_stopped() -> None:
    shares: list[float] = []
    flag = StopFlag()
    llama_model(TINY, context=64, max_rows=1, threads=1, stop=flag, on_load=shares.append).weights.close()
    assert shares == sorted(shares) and shares[-1] == 1.0
    flag.set()
    with pytest.raises(Stopped, match="stopped while loading"):
        llama_model(TINY, context=64, max_rows=1, threads=1, stop=flag)


def test_a_file_that_llama_cpp_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(TINY.read_bytes().replace(b"blk.0.attn_q.weight", b"blk.0.attn_Z.weight"))
    with pytest.raises(NativeError, match=r"llama\.cpp cannot load .*broken\.gguf: .*blk\.0\.attn_q\.weight") as error:
        llama_model(broken, context=64, max_rows=1, threads=1)
    assert error.value.exit_code == 1


def test_no_language_model_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    shares: list[float] = []
    other = tmp_path / "other.gguf"
    other.write_bytes(TINY.read_bytes().replace(b"general.architecture\x08\0\0\0\x05\0\0\0\0\0\0\0llama",
                                                b"general.architecture\x08\0\0\0\x05\0\0\0\0\0\0\0bertx"))  # fmt: skip
    with pytest.raises(CannotPair, match="bertx"):
        llama_model(other, context=64, max_rows=1, on_load=shares.append)
    assert not shares


def test_the_machine() -> None:
    assert physical_cores() >= 1 and "CPU" in system_info()
