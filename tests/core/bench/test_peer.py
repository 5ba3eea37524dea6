"""llama.cpp's own speculation as arms of a bench: how it is asked for, and what it does with the tiny pair."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from speccas.core.bench.peer import LlamaCpp, peer_arms, types_of, with_peer
from speccas.core.bench.protocol import Bench, Conditions, Plan, PlannedArm, planned_arms
from speccas.core.bench.samples import SampleFile
from speccas.core.bench.suites import Item, load_suite
from speccas.core.bench.summary import summarise
from speccas.core.conversation.template import Message
from speccas.core.decoding.answer import Request
from speccas.core.decoding.events import Judged
from speccas.core.decoding.penalty import Penalty
from speccas.core.decoding.sampling import Sampling
from speccas.core.errors import UsageError
from speccas.core.files.profiles import Profile
from speccas.core.files.source import Source
from speccas.core.record.metrics import Fold
from speccas.core.runtime.backend import LoadOptions
from speccas.core.runtime.generate import Length
from speccas.core.runtime.pair import Pair, load_pair
from speccas.core.runtime.prompt import prompt_of
from tests.builders.heads import Eagle
from tests.builders.loaded import answered
from tests.builders.mtp import assistant, assisted, head_alone, with_head
from tests.builders.random_models import random_model


def names(*texts: str) -> list[tuple[str, object]]:
    return [(each.name, each.k) for each in peer_arms(types_of(texts), [2, "auto", 4])]


def test_a_peer_is_asked_for_by_the_types_of_its_drafts() -> None:
    """Its expert alone stands beside all; only two models take a k, and only a number."""
    assert names() == []
    assert names("llama.cpp") == [("llama.cpp expert", None), ("llama.cpp", 2), ("llama.cpp", 4)]
    assert names("llama.cpp:ngram-mod, ngram-simple", "llama.cpp:ngram-mod") == [
        ("llama.cpp expert", None), ("llama.cpp ngram-mod", None), ("llama.cpp ngram-simple", None),
    ]  # fmt: skip
    assert names("llama.cpp:ngram-map-k", "llama.cpp") == [
        ("llama.cpp expert", None), ("llama.cpp", 2), ("llama.cpp", 4), ("llama.cpp ngram-map-k", None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ollama", "no peer 'ollama'"),
        ("llama.cpp:", "no type ''"),
        ("llama.cpp:ngram-mod,", "no type ''"),
        ("llama.cpp:ngram-cache", "no type 'ngram-cache'"),
    ],
)
def test_another_peer_or_type_is_named(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        types_of([text])


@pytest.mark.slow
@pytest.mark.tiny
def test_two_models_that_it_refuses_are_left_out_and_its_n_grams_run(tiny: Pair, tmp_path: Path) -> None:
    """The two vocabularies of the tiny pair differ by far more than llama.cpp allows."""
    pytest.importorskip("xllamacpp")
    arms = planned_arms([], [3], Sampling(), peer_arms(types_of(["llama.cpp", "llama.cpp:ngram-simple"]), [3]))
    facts = {"notes": [], "arms": [each.name if each.k is None else f"{each.name} k={each.k}" for each in arms]}
    conditions = Conditions(length=Length(6))
    bench = Bench(tiny, Plan(arms, 1), [Item("a", "g", "Hello.")], conditions, False, 0.0)
    with_peer(bench, facts)
    assert facts["arms"] == ["expert", "drafter", "exact k=3", "llama.cpp expert", "llama.cpp ngram-simple"]
    assert len(facts["notes"]) == 1 and "one vocabulary" in facts["notes"][0]
    assert json.loads(json.dumps(facts))["peer"]["types"] == {
        "ngram-simple": {"size_n": 12, "size_m": 48, "min_hits": 1}
    }
    with SampleFile(tmp_path / "samples.jsonl", False) as file:
        bench.run(file)
        rows = {row.label: row for row in summarise(file.samples)}
    assert list(rows) == ["expert", "drafter", "exact", "llama.cpp expert", "llama.cpp ngram-simple"]
    for name in ("llama.cpp expert", "llama.cpp ngram-simple"):
        assert rows[name].same_text == 1.0 and rows[name].rule is None and rows[name].acceptance is None


@pytest.mark.slow
@pytest.mark.tiny
def test_no_answer_drafts_from_the_one_before_it(tiny: Pair) -> None:
    """`ngram-mod` keeps what it has read over requests: the second answer would be the first, copied."""
    pytest.importorskip("xllamacpp")
    planned = PlannedArm("llama.cpp ngram-mod", None)
    peer = LlamaCpp(tiny, [planned])
    ids = prompt_of(tiny, [Message("user", load_suite("copying").items[0].prompt)]).ids
    one, two = (peer.play(planned, Request(ids, Sampling(), 64)) for _ in range(2))
    assert one.ids == two.ids and len(one.ids) == one.figures.tokens
    assert one.figures.drafted == two.figures.drafted
    assert one.figures.expert_calls == two.figures.expert_calls


@pytest.mark.slow
@pytest.mark.tiny
def test_its_repetition_penalty_is_ours(tiny: Pair) -> None:
    """Token for token, up to a near-tie: it is another build."""
    pytest.importorskip("xllamacpp")
    peer = LlamaCpp(tiny, [planned := PlannedArm("llama.cpp expert", None)])
    ids = prompt_of(tiny, [Message("user", "List five fruits.")]).ids
    same, texts = 0, set()
    for penalty in (Penalty(1.5, 8), Penalty(1.3, -1)):
        sampling = Sampling(penalty=penalty)
        events = answered(tiny, ids, "expert", 16, sampling=sampling)
        own = [token for event in events if isinstance(event, Judged) for token in event.tokens]
        theirs = peer.play(planned, Request(ids, sampling, 16)).ids
        first = next((i for i, (a, b) in enumerate(zip(own, theirs, strict=False)) if a.id != b), None)
        if first is not None:
            assert (own[first].gap or 0.0) < 0.1, penalty
        same += min(len(own), len(theirs)) if first is None else first
        texts.add(tuple(token.id for token in own))
    assert same > 16 and len(texts) == 2


def eagle3(folder: Path) -> tuple[Source, Path]:
    expert = random_model(folder / "expert.gguf", "plain")
    return Source(path=str(Eagle().write(folder / "head.gguf", expert))), expert


def inside(folder: Path) -> tuple[Source, Path]:
    return Source(head="inside"), with_head(folder / "expert.gguf", "mixture")


def beside(folder: Path) -> tuple[Source, Path]:
    expert = random_model(folder / "expert.gguf", "mixture")
    return Source(path=str(head_alone(folder / "mtp-expert.gguf", "mixture"))), expert


def sharing(folder: Path) -> tuple[Source, Path]:
    expert = assisted(folder / "expert.gguf")
    return Source(path=str(assistant(folder / "assistant-expert.gguf", expert))), expert


@pytest.mark.slow
@pytest.mark.parametrize("kind", [eagle3, inside, beside, sharing])
def test_a_head_drafts_there_what_it_drafts_here(kind: Callable[[Path], tuple[Source, Path]], tmp_path: Path) -> None:
    """The same text in as many calls of the expert: llama.cpp's own loop feeds a head the very same states."""
    pytest.importorskip("xllamacpp")
    head, expert = kind(tmp_path)
    profile, ids, planned = Profile("x", head, Source(path=str(expert))), (5, 900, 17, 4000, 250), (1, 3, 6)
    with load_pair(profile, LoadOptions(ctx=512, threads=1)) as pair:
        arms = [PlannedArm("llama.cpp", None, k) for k in planned]
        peer = LlamaCpp(pair, arms)
        for arm, k in zip(arms, planned, strict=True):
            there = peer.play(arm, Request(ids, Sampling(), 60, ignore_eos=True))
            fold = Fold()
            for event in answered(pair, ids, "exact", 60, k, ignore_eos=True):
                fold(event)
            here = fold.figures()
            assert tuple(token.id for token in fold.tokens) == there.ids
            assert here.expert_calls is not None and there.figures.expert_calls is not None
            apart = 2 if kind in (inside, beside) else 0  # there MTP layers also read the first token, without a state
            assert abs(here.expert_calls - there.figures.expert_calls) <= apart
            assert here.expert_calls < 50, "some drafts were accepted"
