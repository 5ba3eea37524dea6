"""An expert on workers of this machine: the text of the local one, whatever is drafted; and what happens when a worker
goes away, is busy, or is stopped.
"""

import gc
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from speccas.core.calibration.calibrate import alone_speed
from speccas.core.calibration.planner import key_of
from speccas.core.decoding.arms import parse_arm
from speccas.core.decoding.events import Event, Finish, Finished, Judged
from speccas.core.decoding.sampling import Sampling
from speccas.core.errors import CannotPair, NativeError, NoWorker, Stopped, Unavailable, WorkerLost
from speccas.core.files.profiles import Profile, find_profile
from speccas.core.files.source import Source
from speccas.core.runtime.backend import LoadOptions
from speccas.core.runtime.generate import FixedDrafting, Length, generate
from speccas.core.runtime.pair import Pair, load_pair
from speccas.core.runtime.prompt import Prompt
from speccas.core.runtime.rpc import process, wire
from speccas.core.runtime.rpc.expert import RemoteWeights
from tests.builders.loaded import answered, asked, prefill, row, tokens
from tests.builders.models import QWEN_DRAFTER, QWEN_EXPERT
from tests.builders.played import own_text
from tests.builders.processes import alive
from tests.builders.random_models import random_model
from tests.builders.workers import Lent, children, worker
from tests.core.runtime.rpc.conftest import Load, on

pytestmark = pytest.mark.rpc

QUESTION = "Name three primary colours, and say why."
LONG = "The sea is wide, and the sky above it is grey. " * 40
SAMPLED = Sampling(1.0, seed=5)


def ids(events: Sequence[Event]) -> list[int]:
    return [token.id for event in events if isinstance(event, Judged) for token in event.tokens]


def process_of(pair: Pair) -> int:
    """The number of the process that holds the expert."""
    weights = pair.weights["expert"]
    assert isinstance(weights, RemoteWeights) and weights.process is not None
    assert "rpc.child" in Path(f"/proc/{weights.process}/cmdline").read_text()
    assert weights.process in children(os.getpid())
    return weights.process


@pytest.fixture(scope="module")
def far() -> Iterator[Pair]:
    """The pair tiny-model with its expert on a worker of its own."""
    with worker() as own, load_pair(on(find_profile("tiny-model"), own.address), LoadOptions(threads=1)) as pair:
        yield pair


BLOCK = Sampling(0.8, min_p=0.05, seed=9, test="block")
HOW = [(arm, sampling) for arm in ("exact", "token:0.5", "confidence", "expert") for sampling in (Sampling(), SAMPLED)]


@pytest.mark.tiny
@pytest.mark.parametrize(("arm", "sampling"), [*HOW, ("exact", BLOCK)], ids=str)
def test_the_text_is_that_of_the_local_expert(tiny: Pair, far: Pair, arm: str, sampling: Sampling) -> None:
    here, there = (ids(answered(pair, asked(pair, QUESTION), arm, 24, sampling=sampling)) for pair in (tiny, far))
    assert here == there and len(here) > 8


@pytest.mark.tiny
def test_two_workers(tiny: Pair, lent: Lent, load: Load) -> None:
    lent.idle()
    with worker() as other:
        there = load(lent.address, other.address)
        for sampling in (Sampling(), SAMPLED):
            here = ids(answered(tiny, asked(tiny, QUESTION), "exact", 24, sampling=sampling))
            assert ids(answered(there, asked(there, QUESTION), "exact", 24, sampling=sampling)) == here
        weights = there.weights["expert"]
        assert isinstance(weights, RemoteWeights)
        assert weights.trip == sum(each.trip for each in weights.found) and len(weights.found) == 2


def test_a_hybrid_expert_goes_back_anywhere(lent: Lent, tmp_path: Path) -> None:
    """Its memory takes back little, and copies of its state stay with the process."""
    expert, drafter = (random_model(tmp_path / f"{layers}.gguf", "hybrid", layers=layers) for layers in (0, 1))
    lent.idle()
    profile = on(Profile("limited", Source(path=str(drafter)), Source(path=str(expert))), lent.address)
    with load_pair(profile, LoadOptions(threads=1, ctx=512)) as pair:
        prompt = tokens(pair, "The sea is wide, and the sky above it is grey. The sea is")
        for _ in range(2):
            own_text(pair, prompt, ids(answered(pair, prompt, "exact", 24)))


@pytest.mark.tiny
def test_a_cache_is_cut_copied_and_put_back(tiny: Pair, lent: Lent, load: Load) -> None:
    lent.idle()
    there = load(lent.address)
    text = tokens(tiny, "The sea is wide, and the sky above it is grey.")
    expert = there.expert
    prefill(there, text)
    kept = expert.snapshot()
    assert kept.length == len(text) - 1 and kept.bytes == expert.snapshot_bytes and kept.places is None
    before = row(expert, text[-1:])
    expert.truncate(3)
    assert len(expert) == 3 and expert.reach(2) == 2 and expert.reach(9) == 3
    assert len(expert.extend(text[7:9], rows=2)) == 2 and len(expert) == 5
    expert.put_back(kept)
    assert len(expert) == len(text) - 1
    assert np.array_equal(row(expert, text[-1:]), before)
    with pytest.raises(ValueError, match="rows"):
        expert.extend(text[:1], rows=2)
    del kept
    gc.collect()
    expert.truncate(0)
    assert len(expert) == 0
    expert.extend(text[:2], rows=0)


@pytest.mark.tiny
def test_what_calls_cost_is_counted_here(lent: Lent, load: Load) -> None:
    lent.idle()
    there = load(lent.address)
    now = [0.0]

    def clock() -> float:
        now[0] += 1.0
        return now[0]

    there.use_clock(clock)
    text = tokens(there, LONG)[:100]
    there.expert.extend(text, rows=0)
    assert there.expert.seconds >= 1.0 and there.expert.evaluated == 100
    assert there.expert.prefill_token <= there.expert.seconds / 100
    there.use_threads(1)
    assert f"rpc {lent.address}" in key_of(there)


def lose_in(lent: Lent, pair: Pair, when: str, prompt: Sequence[int]) -> None:
    """Kill the worker while the prompt is read, or while tokens are decoded, or between two answers."""
    if when == "prompt":
        killer = threading.Timer(0.15, lent.kill)
        killer.start()
        try:
            with pytest.raises(WorkerLost):
                while True:  # until it is dead
                    pair.expert.truncate(0)
                    prefill(pair, prompt)
        finally:
            killer.join()
    elif when == "decoding":
        events = generate(pair, Prompt(tuple(prompt)), parse_arm("exact"), length=Length(200, ignore_eos=True),
                          drafting=FixedDrafting(4))  # fmt: skip
        rounds = 0
        with pytest.raises(WorkerLost, match=f"the worker at {lent.address} is gone"):
            for event in events:
                rounds += isinstance(event, Judged)
                if rounds == 2 and lent.child is not None:
                    lent.kill()
        assert rounds >= 2
    else:
        answered(pair, prompt, "exact", 8)
        lent.kill()
        with pytest.raises(WorkerLost):
            answered(pair, prompt, "exact", 8)


@pytest.mark.tiny
@pytest.mark.parametrize("when", ["prompt", "decoding", "between"])
def test_a_worker_that_is_killed_ends_the_answer_and_a_new_one_goes_on(tiny: Pair, load: Load, when: str) -> None:
    with worker() as own:
        pair = load(own.address)
        prompt = asked(tiny, QUESTION).ids if when != "prompt" else tokens(tiny, LONG)[:400]
        process = process_of(pair)
        lose_in(own, pair, when, prompt)
        assert len(pair.expert) == 0 and not alive(process)
        with pytest.raises(NoWorker) as caught:  # it is still not there
            answered(pair, prompt, "exact", 8)
        assert caught.value.exit_code == 3 and len(pair.expert) == 0
        own.start()
        here = ids(answered(tiny, prompt, "exact", 16))
        assert ids(answered(pair, prompt, "exact", 16)) == here, "everything was read anew"


@pytest.mark.tiny
def test_a_copy_is_lost_with_its_worker(load: Load) -> None:
    with worker() as own:
        pair = load(own.address)
        text = tokens(pair, QUESTION)
        prefill(pair, text)
        kept = pair.expert.snapshot()
        own.kill()
        with pytest.raises(WorkerLost):
            pair.expert.extend(text[:1])
        own.start()
        pair.expert.extend(text[:3], rows=0)
        with pytest.raises(NativeError, match="lost with its worker"):
            pair.expert.put_back(kept)
        assert len(pair.expert) == 0


@pytest.mark.tiny
def test_the_expert_alone_cannot_be_timed_without_its_worker(load: Load) -> None:
    """What is measured behind an answer is no reason to fail it."""
    with worker() as own:
        pair = load(own.address)
        answered(pair, asked(pair, QUESTION), "exact", 4)
        assert alone_speed(pair, 2) > 0
        own.kill()
        assert alone_speed(pair, 2) == 0 and len(pair.expert) == 0


@pytest.mark.tiny
def test_a_second_client_is_told_that_it_is_busy(lent: Lent, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    lent.idle()
    first = load(lent.address)
    monkeypatch.setattr(wire, "PATIENCE", 0.5)
    with pytest.raises(Unavailable, match=f"the worker at {lent.address} is busy"):
        load(lent.address)
    assert ids(answered(first, asked(first, QUESTION), "exact", 4)), "and the first goes on"


@pytest.mark.tiny
def test_nothing_listens(load: Load) -> None:
    with worker() as own:
        address = own.address
    with pytest.raises(NoWorker, match=f"no worker at {address}"):
        load(address)


@pytest.mark.tiny
def test_stopped_while_it_reads(lent: Lent, load: Load) -> None:
    """A worker hears of no stop: it ends within a chunk, and the cache tells what is in it."""
    lent.idle()
    pair = load(lent.address, ctx=4096)
    text = (tokens(pair, LONG) * 10)[:2000]
    stopper = threading.Timer(0.2, pair.stop.set)
    stopper.start()
    with pytest.raises(Stopped):
        pair.expert.extend(text, rows=0)
    stopper.join()
    held = len(pair.expert)
    assert held < 2000 and held % 128 == 0
    pair.stop.clear()
    before = row(pair.expert, text[held : held + 1])
    pair.expert.truncate(0)
    pair.expert.extend(text[:held], rows=0)
    assert np.array_equal(row(pair.expert, text[held : held + 1]), before)


@pytest.mark.tiny
def test_interrupted_while_it_reads(tiny: Pair, lent: Lent, load: Load) -> None:
    """A second Ctrl-C is an exception, in the middle of a request: nothing of it is taken for the next answer."""
    lent.idle()
    pair = load(lent.address, ctx=4096)
    process = process_of(pair)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        pair.expert.extend((tokens(pair, LONG) * 10)[:3000], rows=0)
    timer.join()
    assert len(pair.expert) == 0 and not alive(process)
    lent.idle()
    prompt = asked(tiny, QUESTION).ids
    assert ids(answered(pair, prompt, "exact", 8)) == ids(answered(tiny, prompt, "exact", 8))


@pytest.mark.tiny
def test_stopped_while_it_answers_is_an_event(lent: Lent, load: Load) -> None:
    lent.idle()
    pair = load(lent.address)
    pair.stop.set()
    pair.stop.clear()
    prompt = asked(pair, QUESTION).ids
    ends = []
    for event in generate(pair, Prompt(tuple(prompt)), parse_arm("exact"), length=Length(500, ignore_eos=True)):
        if isinstance(event, Judged):
            pair.stop.set()
        if isinstance(event, Finished):
            ends.append(event.finish)
    assert ends == [Finish.INTERRUPTED]
    pair.stop.clear()
    assert 0 < len(pair.expert) <= len(pair.cached)


@pytest.mark.tiny
def test_a_worker_that_hangs_is_not_waited_for_without_end(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "PATIENCE", 0.5)
    with worker() as own:
        pair = load(own.address)
        assert own.child is not None
        inner = children(own.child.pid)
        for each in inner:
            os.kill(each, signal.SIGSTOP)
        try:
            threading.Timer(0.3, pair.stop.set).start()
            with pytest.raises(Stopped):
                pair.expert.extend(tokens(pair, QUESTION), rows=0)
        finally:
            for each in inner:
                os.kill(each, signal.SIGCONT)
        assert len(pair.expert) == 0
        pair.stop.clear()
        own.idle()
        assert ids(answered(pair, asked(pair, QUESTION), "exact", 4))


@pytest.mark.tiny
def test_its_process_ends_with_the_pair(lent: Lent, load: Load) -> None:
    lent.idle()
    pair = load(lent.address)
    process = process_of(pair)
    pair.close()
    assert not alive(process)
    lent.idle()  # and the worker serves the next


@pytest.mark.tiny
def test_a_head_cannot_read_an_expert_on_workers(lent: Lent) -> None:
    head = on(find_profile("tiny"), lent.address)
    with pytest.raises(CannotPair, match="stay on its workers"):
        load_pair(head, LoadOptions(threads=1, ctx=512))


def test_a_model_that_llama_cpp_refuses_is_the_childs_own_error(lent: Lent, tmp_path: Path) -> None:
    """Its words come back, and the worker is free again."""
    lent.idle()
    path = random_model(tmp_path / "whole.gguf", "plain", layers=1)
    drafter = random_model(tmp_path / "drafter.gguf", "plain", layers=0)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"blk.0.attn_q.weight", b"blk.0.attn_z.weight"))
    profile = on(Profile("broken", Source(path=str(drafter)), Source(path=str(path))), lent.address)
    with pytest.raises(NativeError, match=r"llama\.cpp cannot load"):
        load_pair(profile, LoadOptions(threads=1, ctx=256, memory_check=False))
    lent.idle()


@pytest.mark.real
def test_the_real_pair_up_to_near_ties(real: Pair, lent: Lent) -> None:
    """A worker's processor does not repack, so its rounding is another: a first difference is where the local expert's
    two best are near."""
    lent.idle()
    profile = on(Profile("qwen", Source(path=str(QWEN_DRAFTER)), Source(path=str(QWEN_EXPERT))), lent.address)
    prompt = asked(real, "Write a function that counts the words of a text.").ids
    with load_pair(profile, LoadOptions(threads=1, ctx=1024)) as there:
        far = ids(answered(there, prompt, "exact", 24))
    near = ids(answered(real, prompt, "expert", 24))
    same = next((i for i, (a, b) in enumerate(zip(near, far, strict=False)) if a != b), None)
    if same is not None:
        prefill(real, [*prompt, *near[:same]])
        logits = row(real.expert, [*prompt, *near[:same]][-1:])
        first, second = np.sort(logits)[-1:-3:-1]
        assert first - second <= 0.5, (same, first - second)
        assert logits[far[same]] >= first - 0.5
