"""What the loop keeps true (docs/architecture.md), each on toy tables small enough to see through.

No real model runs here, and no distribution is measured; see test_distribution.py and test_greedy.py.
"""

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speccas.core.decoding.arms import BASELINES, every_arm, parse_arm
from speccas.core.decoding.deferral import Position, keeps
from speccas.core.decoding.detail import review
from speccas.core.decoding.events import Drafted, Event, Finish, Finished, Judged, Started, Status
from speccas.core.decoding.sampling import Distribution, Floats, Sampling, Shared
from speccas.core.decoding.table import TableModel
from speccas.core.errors import NativeError, RollbackRefused, Stopped
from speccas.core.headers.vocabulary import Relation, Tokens, VocabularyMap, compare
from speccas.core.record.metrics import Fold
from speccas.core.runtime.generate import extend
from tests.builders.gguf import string_array
from tests.core.decoding.toys import RULES, Run, Toy, near, pair, request, scripted, table, words

ARMS = (*RULES, *BASELINES)
TEMPERATURES = (0.0, 0.8)


def committed(events: Sequence[Event], prompt: Sequence[int] = (0, 1)) -> list[int]:
    return [*prompt, *(token.id for event in events if isinstance(event, Judged) for token in event.tokens)]


def identities(run: Run, k: int | None) -> None:
    """Design section 2, for one arm."""
    count = Counter(token.status for token in run.tokens)
    alone = count[Status.EXPERT] + count[Status.DRAFTER]
    if k is None:
        assert alone == len(run.tokens)
        return
    judged = count[Status.AGREED] + count[Status.KEPT] + count[Status.DEFERRED]
    assert alone == 0
    assert len(run.tokens) == judged + count[Status.BONUS]
    assert sum(each.drafted for each in run.rounds) == judged + sum(len(each.discarded) for each in run.rounds)
    for each in run.rounds:
        statuses = [token.status for token in each.tokens]
        assert each.drafted <= k
        assert each.expert_calls == 1
        assert statuses.count(Status.DEFERRED) + statuses.count(Status.BONUS) <= 1
        assert all(status in (Status.AGREED, Status.KEPT) for status in statuses[:-1])
        assert all((token.turned_down is not None) == (token.status is Status.DEFERRED) for token in each.tokens)
    ends = list(itertools.accumulate(len(each.tokens) for each in run.rounds))
    assert [each.at for each in run.rounds] == [0, *ends][:-1]
    assert [each.round for each in run.rounds] == list(range(1, len(run.rounds) + 1))


# --- 1. caches hold prefixes, and nothing is read twice ---------------------------------------------------------------


@given(
    st.integers(0, 10_000), st.sampled_from(ARMS), st.integers(1, 9), st.sampled_from((0.0, 0.7, 1.3)), st.booleans(),
    st.lists(st.integers(0, 5), min_size=1, max_size=9),
)  # fmt: skip
def test_caches_hold_prefixes_after_every_round(
    seed: int, arm: str, k: int, temperature: float, recurrent: bool, prompt: list[int]
) -> None:
    toy = pair(seed, order=2)
    toy.limit(drafter=0 if recurrent else None)
    toy.prefill(prompt)
    seen: list[Event] = []
    for event in toy.events(arm, request(prompt, temperature, max_tokens=17, seed=seed), k):
        seen.append(event)
        if isinstance(event, Judged) and parse_arm(arm).rule is not None:
            toy.holds(committed(seen, prompt))
            assert len(toy.expert) == len(committed(seen, prompt)) - 1
    toy.holds(committed(seen, prompt))
    run = Run(seen)
    assert len(run.tokens) == 17
    assert run.finished.finish is Finish.LENGTH
    identities(run, k if parse_arm(arm).rule else None)


@given(st.integers(0, 10_000), st.sampled_from(RULES), st.integers(1, 9), st.sampled_from(TEMPERATURES))
def test_the_drafter_reads_again_only_what_was_wrong(seed: int, arm: str, k: int, temperature: float) -> None:
    """A position is read once, and once more for every token drafted there that did not stay."""
    toy = pair(seed)
    toy.prefill((0, 1))
    prefilled = toy.small.evaluated
    run = Run(list(toy.events(arm, request(temperature=temperature, max_tokens=30, seed=seed), k)))
    reads = Counter(place for at, tokens in toy.small.extends for place in range(at, at + tokens))
    wrong: Counter[int] = Counter()
    for each in run.rounds:
        stayed = sum(token.status in (Status.AGREED, Status.KEPT) for token in each.tokens)
        wrong.update(range(2 + each.at + stayed, 2 + each.at + each.drafted))
    assert all(times <= 1 + wrong[place] for place, times in reads.items())
    assert toy.small.evaluated - prefilled <= len(run.tokens) + wrong.total()
    deferred = sum(token.status is Status.DEFERRED for token in run.tokens)
    assert toy.small.evaluated - prefilled <= len(run.tokens) + k * deferred


def test_a_perfect_drafter_reads_every_token_once() -> None:
    large = table(3)
    toy = Toy(TableModel(large), TableModel(large.copy()))
    for arm in ("exact", "comparative"):
        run = toy.run(arm, request(max_tokens=31), k=5)
        assert {token.status for token in run.tokens} == {Status.AGREED, Status.BONUS}
        reads = Counter(place for at, tokens in toy.small.extends for place in range(at, at + tokens))
        assert set(reads.values()) == {1}
        toy.small.truncate(0)
        toy.small.extends.clear()


def test_the_expert_reads_one_batch_a_round() -> None:
    toy = pair(4)
    toy.prefill((0, 1))
    toy.expert.extends.clear()
    run = Run(list(toy.events("exact", request(), k=3)))
    assert toy.expert.extends == [(1 + each.at, each.drafted + 1) for each in run.rounds]


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("arm", ARMS)
def test_a_recurrent_drafter_writes_the_same(arm: str, temperature: float) -> None:
    """It cannot take tokens back; its state is marked after what is committed, and restored."""
    plain, recurrent = pair(5), pair(5)
    recurrent.limit(drafter=0)
    asked = request(temperature=temperature, max_tokens=30)
    assert plain.run(arm, asked).tokens == recurrent.run(arm, asked).tokens


def test_a_draft_is_no_longer_than_the_expert_can_judge() -> None:
    toy = Toy(TableModel(table(3), max_rows=4), TableModel(table(3)))
    run = toy.run("exact", request((0,), 0.0, 12, ignore_eos=True), k=9)
    assert max(each.drafted for each in run.rounds) == 3
    assert run.ids == toy.run("expert", request((0,), 0.0, 12, ignore_eos=True)).ids


def test_a_recurrent_drafter_is_restored_and_never_rebuilt() -> None:
    """From its last mark it reads what was accepted since, in one batch; nothing before that a second time."""
    toy = pair(1)
    toy.limit(drafter=0)
    run = toy.run("exact", request(range(6), max_tokens=40))
    reads = Counter(place for at, tokens in toy.small.extends for place in range(at, at + tokens))
    assert {reads[place] for place in range(5)} == {1}
    wrong: Counter[int] = Counter()
    for each in run.rounds:
        if each.tokens[-1].status is Status.DEFERRED:
            wrong.update(range(5 + each.at, 6 + each.at + each.drafted))  # the mark is one short: its row is wanted
    assert all(times <= 1 + wrong[place] for place, times in reads.items())
    assert wrong.total() > 20


@pytest.mark.parametrize("rollback", [1, 3, 16])
def test_a_drafter_with_some_rollback_writes_the_same(rollback: int) -> None:
    """It goes back within its last extend only (`n_rs_seq` of llama.cpp), so its marks must serve."""
    plain, recurrent = pair(5), pair(5)
    recurrent.limit(drafter=rollback)
    assert plain.run("exact", request(max_tokens=30)).tokens == recurrent.run("exact", request(max_tokens=30)).tokens


def test_prefill_keeps_what_is_there() -> None:
    model = TableModel(table(1))
    model.extend([3, 2, 1], rows=0)
    assert list(extend(model, [3, 2, 1, 0, 4, 5, 5], chunk=2)) == [5, 6]
    assert model.ids == [3, 2, 1, 0, 4, 5]


# --- 2 and 3: see test_distribution.py. 4. greedy is the expert's argmax, and all chance is in the seed ---------------


@given(st.integers(0, 10_000), st.integers(1, 9), st.sampled_from((1, 2)))
def test_greedy_exact_is_the_expert_alone(seed: int, k: int, order: int) -> None:
    toy = pair(seed, order=order)
    alone = toy.run("expert", request())
    exact = toy.run("exact", request(), k)
    assert exact.ids == alone.ids
    assert exact.text == alone.text
    assert Status.KEPT not in {token.status for token in exact.tokens}
    assert all(token.status is not Status.DEFERRED or token.turned_down for token in exact.tokens)
    assert [token.log_p for token in exact.tokens] == pytest.approx([token.log_p for token in alone.tokens])


@pytest.mark.parametrize("arm", ARMS)
def test_same_seed_same_answer(arm: str) -> None:
    toy = pair(6)
    asked = [request(temperature=1.0, seed=seed) for seed in (1, 2, 1)]
    first, other, again = (toy.run(arm, each).tokens for each in asked)
    assert first == again
    assert first != other


def logits(model: TableModel, ids: list[int]) -> Floats:
    return np.asarray(model.row(ids), dtype=np.float32)


# --- 5. rules that read q alone --------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("arm", ["confidence:0.5", "entropy:1.2"])
def test_the_draft_ends_with_the_first_token_it_would_defer(arm: str, temperature: float) -> None:
    toy, rule = pair(1), parse_arm(arm).rule
    assert rule is not None
    sampling = Sampling(temperature)
    toy.prefill((0, 1))
    seen, lengths = [0, 1], set()
    for event in toy.events(arm, request(temperature=temperature, max_tokens=60), k=5):
        if isinstance(event, Drafted):
            ids = [*seen, *(piece.id for piece in event.pieces)]
            rows = [Distribution(logits(toy.small, ids[:at])) for at in range(len(seen), len(ids))]
            kept = [keeps(rule, row.argmax, Position(row, row, sampling)) for row in rows]
            assert all(kept[:-1])
            assert not kept[-1] or len(kept) == min(5, 62 - len(seen) - 1)
            lengths.add(len(kept))
        elif isinstance(event, Judged):
            seen += [token.id for token in event.tokens]
    assert len(lengths) > 2


def test_a_round_with_nothing_drafted_is_bonus() -> None:
    toy = pair(9)
    for arm in RULES:
        run = toy.run(arm, request(max_tokens=1))
        assert [token.status for token in run.tokens] == [Status.BONUS]
        assert (run.drafts, run.rounds[0].drafted) == ([], 0)


def test_greedy_bonus_follows_the_rule() -> None:
    """Behind an accepted draft stands the drafter's next word where the rule would keep it."""
    toy = Toy(TableModel(scripted([0, 1, 2, 3, 4], 6), 99), TableModel(scripted([0, 1, 2, 3, 5], 6), 99))
    asked = request(max_tokens=3)
    assert toy.run("exact", asked, k=2).ids == [2, 3, 4]
    assert toy.run("comparative:1", asked, k=2).ids == [2, 3, 5]
    assert toy.run("comparative:1", asked, k=2).tokens[-1].status is Status.BONUS


# --- 6. what goes wrong is handled, or said ---------------------------------------------------------------------------


def test_rollback_refused_is_raised() -> None:
    """A memory that cannot take a wrong draft back and is used bare: no silent corruption."""
    toy = pair(2)
    toy.expert.rollback = 0
    with pytest.raises(RollbackRefused):
        toy.run("exact", request(), k=4)


def test_an_expert_with_enough_rollback() -> None:
    toy, recurrent = pair(2), pair(2)
    recurrent.limit(expert=4)
    assert recurrent.run("exact", request(), k=4).tokens == toy.run("exact", request(), k=4).tokens


@pytest.mark.parametrize("room", [2, 3, 4, 5, 8, 9, 13])
@pytest.mark.parametrize("arm", ["exact", "comparative", "expert", "token-cascade", "answer-cascade"])
def test_a_full_cache_of_the_expert(arm: str, room: int) -> None:
    toy = pair(3)
    whole = toy.run(arm, request(max_tokens=30)).ids
    toy.expert.room = room
    run = toy.run(arm, request(max_tokens=30))
    if arm != "answer-cascade" or run.tokens[0].status is Status.EXPERT:
        assert run.finished.finish is Finish.CONTEXT
        assert run.ids == whole[: len(run.ids)]
    toy.holds(committed(run.events))


@pytest.mark.parametrize("arm", ARMS)
def test_the_context_is_a_limit(arm: str) -> None:
    """The answer may fill the context to its last position; no draft reaches over it."""
    toy = pair(3)
    toy.expert.room = toy.small.room = toy.drafter.room = 11
    for limit in (None, 30):
        run = toy.run(arm, request(max_tokens=limit, context=11))
        assert run.finished.finish is Finish.CONTEXT
        assert len(run.tokens) == 9
        toy.holds(committed(run.events))


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("room", [1, 2, 4, 7])
def test_a_full_cache_of_the_drafter(room: int, recurrent: bool) -> None:
    """The expert goes on alone."""
    toy = pair(3)
    whole = toy.run("exact", request(max_tokens=20))
    toy.drafter.room = toy.small.room = room
    toy.limit(drafter=0 if recurrent else None)
    toy.small.truncate(0)
    run = toy.run("exact", request(max_tokens=20))
    assert run.ids == whole.ids
    assert run.finished.finish is Finish.LENGTH
    assert len(run.drafts) < 20
    toy.holds(committed(run.events))


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("arm", ["exact", "comparative", "expert", "drafter", "token-cascade", "answer-cascade"])
@pytest.mark.parametrize("who", ["expert", "small"])
def test_a_stop_anywhere(who: str, arm: str, recurrent: bool) -> None:
    """In the middle of a draft or of a verification: what was committed stays, and the next run is as new."""
    toy = pair(3)
    toy.limit(drafter=0 if recurrent else None)
    whole = toy.run(arm, request(max_tokens=12))
    model: TableModel = getattr(toy, who)
    for after in range(40):
        toy.prefill((0, 1))
        model.stop_after = len(model.extends) + after
        run = Run(list(toy.events(arm, request(max_tokens=12), k=3)))
        model.stop_after = None
        toy.holds(committed(run.events))
        if run.finished.finish is not Finish.INTERRUPTED:
            break
        assert run.ids == whole.ids[: len(run.ids)]
        assert len(run.ids) < 12
        again = Run(list(toy.events(arm, request(max_tokens=12), k=4)))
        assert again.tokens == whole.tokens
    assert run.tokens == toy.run(arm, request(max_tokens=12), k=3).tokens


def test_logits_that_are_no_numbers_end_the_run() -> None:
    bad = table(1)
    bad[3] = np.nan
    toy = Toy(TableModel(bad), TableModel(table(1)))
    toy.prefill((0, 1))
    seen: list[Event] = []
    with pytest.raises(NativeError):
        for event in toy.events("exact", request(max_tokens=200, temperature=1.0)):
            seen.append(event)
    toy.holds(committed(seen))


def test_end_of_generation_inside_a_draft() -> None:
    script = [0, 1, 2, 3, 5, 2, 2, 2, 2]
    toy = Toy(TableModel(scripted(script, 6), 99), TableModel(scripted(script, 6), 99), ends=frozenset({5}))
    run = toy.run("exact", request(), k=5)
    assert run.finished.finish is Finish.END
    assert run.ids == [2, 3, 5]
    assert run.text == "cd"
    assert run.tokens[-1].status is Status.AGREED
    assert [piece.id for piece in run.rounds[0].discarded] == [2, 2]
    identities(run, 5)
    toy.holds([0, 1, 2, 3, 5])
    assert len(toy.expert) <= 4
    going_on = toy.run("exact", request(max_tokens=6, ignore_eos=True), k=5)
    assert going_on.ids == [2, 3, 5, 2, 2, 2]
    assert going_on.finished.finish is Finish.LENGTH


def test_the_limit_falls_inside_a_draft() -> None:
    toy = pair(3)
    for limit in range(1, 8):
        run = toy.run("token:1", request(max_tokens=limit), k=4)
        assert len(run.tokens) == limit
        assert run.finished.finish is Finish.LENGTH
        assert all(each.drafted <= limit - each.at - 1 for each in run.rounds)
    empty = toy.run("exact", request(max_tokens=0))
    assert (empty.tokens, empty.finished.finish) == ([], Finish.LENGTH)


# --- 7. text ---------------------------------------------------------------------------------------------------------


def spoken(pieces: list[bytes], drafted: list[int], written: list[int], k: int = 4, stop: tuple[str, ...] = ()) -> Run:
    """Both models follow a script behind token 0, and the answer is what is written."""
    sizes = len(pieces)
    toy = Toy(TableModel(scripted(written, sizes), 99), TableModel(scripted(drafted, sizes), 99), pieces)
    run = toy.run("exact", request(written[:1], max_tokens=len(written) - 1, stop=stop), k)
    assert run.ids == written[1 : 1 + len(run.ids)]
    return run


@pytest.mark.parametrize("k", [1, 2, 3, 5])
@pytest.mark.parametrize(
    ("stop", "text"),
    [
        (("o wo",), "Hell"),
        (("lo", "zz"), "Hel"),
        (("Hello world",), ""),
        (("!",), "Hello world"),
        (("worldly",), "Hello world!"),
    ],
)
def test_stop_texts_across_tokens(k: int, stop: tuple[str, ...], text: str) -> None:
    pieces = words("-", "Hel", "lo", " wor", "ld", "!", "x")
    run = spoken(pieces, [0, 1, 2, 6, 4, 5], [0, 1, 2, 3, 4, 5], k, stop=stop)  # " wor" is put in place of "x"
    assert run.text == text
    assert run.finished.finish is (Finish.LENGTH if stop == ("worldly",) else Finish.STOP)
    shown = list(itertools.accumulate(token.text for token in run.tokens))
    assert all(text.startswith(each) for each in shown)
    identities(run, k)


def test_text_held_for_a_stop_text_is_shown_at_the_end() -> None:
    run = spoken(words("-", "ab", "c", "ST"), [0, 1, 3], [0, 1, 3], stop=("STOP",))
    assert [token.text for token in run.tokens] == ["ab", ""]
    assert run.finished.tail == "ST"
    assert run.text == "abST"


def mistaken(character: str) -> bytes:
    data = character.encode()
    return bytes([*data[:-1], data[-1] ^ 1])


@pytest.mark.parametrize("text", ["日本語", "👨\u200d👩\u200d👧", "naïve 🙂", "é" * 9])
def test_characters_split_over_tokens(text: str) -> None:
    """A token a byte; the drafter has the last byte of every other character wrong."""
    data, wrong = text.encode(), b"".join(mistaken(each) if i % 2 else each.encode() for i, each in enumerate(text))
    pieces = [bytes([byte]) for byte in range(256)]
    turned_down = 0
    for k in range(1, 8):
        run = spoken(pieces, [0, *wrong], [0, *data], k)
        assert run.text == text
        shown = [token.text for token in run.tokens]
        assert "\ufffd" not in "".join([*shown, *(piece.text for each in run.drafts for piece in each.pieces)])
        turned_down += sum(token.status is Status.DEFERRED for token in run.tokens)
    assert turned_down >= 4


def test_half_a_character_at_the_end() -> None:
    pieces = [bytes([byte]) for byte in range(256)]
    data = "日".encode()
    run = spoken(pieces, [65, 66, *data[:2]], [65, 66, *data[:2]])
    assert [token.text for token in run.tokens] == ["B", "", ""]
    assert run.text == "B\ufffd"


# --- 8. closing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("arm", ["exact", "comparative", "confidence:0.4", *BASELINES])
def test_closing_at_any_event(arm: str, temperature: float, recurrent: bool) -> None:
    toy = pair(4, order=2)
    toy.limit(drafter=0 if recurrent else None)
    asked = request(temperature=temperature, max_tokens=14)
    whole = toy.run(arm, asked, k=3)
    for stop in range(1, len(whole.events) + 1):
        toy.prefill(asked.prompt)
        events = toy.events(arm, asked, 3)
        seen = list(itertools.islice(events, stop))
        events.close()
        toy.holds(committed(seen))
        assert len(toy.expert) >= 1
        assert Run(list(toy.events(arm, asked, 3))).tokens == whole.tokens  # and on from what the caches hold


def test_closing_while_stopped() -> None:
    """Ctrl-C twice: the flag is up and the generator is closed. Nothing is raised, caches stay true."""
    toy = pair(4)
    toy.limit(drafter=0)
    toy.prefill((0, 1))
    events = toy.events("exact", request(), 3)
    seen = list(itertools.islice(events, 4))
    toy.small.stop_after = toy.expert.stop_after = 0
    events.close()
    toy.holds(committed(seen))


# --- the words' identities, in every arm -----------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("arm", [arm.name for arm in every_arm()])
def test_identities(arm: str, temperature: float) -> None:
    toy = pair(7)
    for k, limit in itertools.product((1, 3, 8), (1, 2, 29)):
        run = toy.run(arm, request(temperature=temperature, max_tokens=limit), k)
        fold = Fold()
        for event in run.events:
            fold(event)
        told = fold.figures()
        ruled = parse_arm(arm).rule is not None
        identities(run, k if ruled else None)
        assert isinstance(run.events[0], Started)
        assert isinstance(run.events[-1], Finished)
        assert told.tokens == limit
        assert told.text == run.text
        counts = (told.drafted, told.judged, told.agreed, told.kept, told.deferred, told.bonus, told.discarded)
        if ruled:
            drafted, judged, agreed, kept, deferred, bonus, discarded = (count or 0 for count in counts)
            assert drafted == judged + discarded
            assert told.tokens == agreed + kept + deferred + bonus + told.alone
            assert (told.alone, told.expert_calls) == (0, len(run.rounds))
            assert kept == 0 or arm != "exact"
        else:
            assert set(counts) == {None}
            assert told.alone == told.tokens


# --- a vocabulary that is a part of the expert's ----------------------------------------------------------------------

EXPERT_TEXTS = ["a", "b", "c", "ab", "bc", "abc", "cab", "d"]
DRAFTER_TEXTS = ["c", "a", "d", "b", "ab"]


def tokens(texts: Sequence[str]) -> Tokens:
    """A byte-level BPE of these texts, with the one merge that makes "ab"."""
    return Tokens("gpt2", "", string_array(texts), None, string_array(["a b"]))


@pytest.fixture(scope="module")
def subset() -> VocabularyMap:
    found = compare(tokens(DRAFTER_TEXTS), tokens(EXPERT_TEXTS))
    assert found.relation is Relation.SUBSET
    return found


def spelling_pair(vocabulary: VocabularyMap, seed: int) -> Toy:
    large = table(seed, len(EXPERT_TEXTS))
    expert_ids = [EXPERT_TEXTS.index(text) for text in DRAFTER_TEXTS]
    small = near(large[np.ix_(expert_ids, expert_ids)], seed + 1)
    return Toy(TableModel(large), TableModel(small), words(*EXPERT_TEXTS), spelling=vocabulary)


def test_spelling(subset: VocabularyMap) -> None:
    spelled = ["".join(DRAFTER_TEXTS[part] for part in subset.spell(token)) for token in range(len(EXPERT_TEXTS))]
    assert spelled == EXPERT_TEXTS
    assert [len(subset.spell(token)) for token in range(8)] == [1, 1, 1, 1, 2, 2, 2, 1]


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("arm", ARMS)
def test_a_drafter_that_spells(subset: VocabularyMap, arm: str, temperature: float, recurrent: bool) -> None:
    statuses = Counter[Status]()
    for seed in range(6):
        toy = spelling_pair(subset, seed)
        toy.limit(drafter=0 if recurrent else None)
        asked = request((5, 0), temperature, max_tokens=20, seed=seed)
        alone = toy.run("expert", asked)
        toy.prefill(asked.prompt)
        seen: list[Event] = []
        for event in toy.events(arm, asked, 3):
            seen.append(event)
            if isinstance(event, Judged) and parse_arm(arm).rule:
                toy.holds(committed(seen, asked.prompt))
        toy.holds(committed(seen, asked.prompt))
        run = Run(seen)
        statuses.update(token.status for token in run.tokens)
        identities(run, 3 if parse_arm(arm).rule else None)
        if arm == "exact" and temperature == 0:
            assert run.ids == alone.ids
        if not recurrent and parse_arm(arm).rule:
            reads = Counter(place for at, n in toy.small.extends for place in range(at, at + n))
            assert reads.total() < 4 * 20
    assert arm != "exact" or min(statuses[Status.AGREED], statuses[Status.DEFERRED]) > 5


def test_a_spelled_drafter_proposes_ids_of_the_expert(subset: VocabularyMap) -> None:
    toy = spelling_pair(subset, 1)
    toy.drafter.observe([6, 4])  # "cab", "bc": neither is a token of the drafter
    proposal = toy.drafter.next()
    assert proposal is not None
    assert [DRAFTER_TEXTS[entry] for entry in toy.small.ids] == ["c", "ab", "b", "c"]
    row = near(table(1, 8)[np.ix_(*[[EXPERT_TEXTS.index(text) for text in DRAFTER_TEXTS]] * 2)], 2)[0]
    exact = np.exp(row) / np.exp(row).sum()
    assert [proposal.q1.prob(EXPERT_TEXTS.index(text)) for text in DRAFTER_TEXTS] == pytest.approx(exact, rel=1e-5)
    assert all(proposal.q1.prob(EXPERT_TEXTS.index(text)) == 0 for text in ("bc", "abc", "cab"))


def test_padded_drafters() -> None:
    """A few more or fewer tokens at the end, as in the Qwen family."""
    large = table(5, 6)
    for size in (5, 8):
        small = near(np.pad(large, ((0, 2), (0, 2)), constant_values=-3)[:size, :size], 1)

        class Padded:
            shared: Shared | None = Shared(6, min(size, 6), whole=size <= 6)

            def spell(self, token: int) -> Sequence[int]:
                return (token,) if token < self.shared.count else (0, 1)  # type: ignore[union-attr]

        for temperature in TEMPERATURES:
            toy = Toy(TableModel(large), TableModel(small), spelling=Padded())
            asked = request(temperature=temperature, max_tokens=30)
            run = toy.run("exact", asked)
            identities(run, 4)
            assert max(run.ids) < 6
            toy.holds(committed(run.events))
            if temperature == 0:
                assert run.ids == toy.run("expert", asked).ids


# --- the table itself -------------------------------------------------------------------------------------------------


def test_the_table_keeps_the_contract_of_a_language_model() -> None:
    rows: Floats = table(1, order=2)
    model = TableModel(rows, 2, max_rows=3, room=9)
    found = model.extend([4, 2, 5], rows=2)
    assert found == pytest.approx(rows[[4, 2], [2, 5]])
    again = model.extend([1])
    assert again[0] == pytest.approx(rows[5, 1])
    assert np.isnan(found[1]).all()  # a view that the next extend overwrites
    assert model.extends == [(0, 3), (3, 1)]
    with pytest.raises(ValueError, match="4 rows"):
        model.extend([1, 1, 1, 1], rows=4)
    model.truncate(2)
    model.truncate(7)
    assert model.ids == [4, 2]
    model.rollback = 2
    model.extend([1, 1, 1])
    state = model.save()
    model.extend([3, 3])
    with pytest.raises(RollbackRefused):
        model.truncate(4)
    model.restore(state)
    assert model.ids == [4, 2, 1, 1, 1]
    model.stop_after = 0
    with pytest.raises(Stopped):
        model.extend([5, 4, 3])
    assert model.ids == [4, 2, 1, 1, 1, 5]


def test_a_simulated_machine() -> None:
    """Costs on a virtual clock: the figures are what arithmetic says they are."""
    large = table(3)
    toy = Toy(TableModel(large, cost=lambda n: 1.0 + 0.1 * n), TableModel(large.copy(), cost=lambda n: 0.2))
    toy.prefill((0, 1))
    began = toy.clock()
    run = Run(list(toy.events("exact", request(max_tokens=10), k=4)))
    assert [each.drafted for each in run.rounds] == [4, 4]
    assert [each.draft_ms for each in run.rounds] == pytest.approx([800, 800])
    assert [each.verify_ms for each in run.rounds] == pytest.approx([1500, 1500])
    assert [each.t_ms for each in run.rounds] == pytest.approx([2300, 4600])
    told = run.finished
    assert (told.seconds, told.draft_seconds, told.verify_seconds, told.held) == pytest.approx((4.6, 1.6, 3.0, 0.0))
    assert toy.clock() - began == pytest.approx(4.6)


@pytest.mark.parametrize("arm", ["exact", "expert", "answer-cascade"])
def test_time_that_the_consumer_takes_is_told_apart(arm: str) -> None:
    """Also what it takes of the last round, which is after the end; so overhead is what is left, and not less."""
    toy = pair(3)
    toy.expert.cost, toy.small.cost = (lambda n: 1.0), (lambda n: 0.5)
    toy.prefill((0, 1))
    for event in toy.events(arm, request(max_tokens=7), 3):
        if isinstance(event, Drafted | Judged):
            toy.clock.seconds += 10
        last = event
    assert isinstance(last, Finished)
    assert last.seconds == pytest.approx(last.draft_seconds + last.verify_seconds + last.held)


def test_an_interrupted_round_is_not_counted() -> None:
    """Figures end with the last token, and so do all the times."""
    toy = pair(3)
    toy.expert.cost, toy.small.cost = (lambda n: 1.0), (lambda n: 0.5)
    toy.prefill((0, 1))
    toy.expert.stop_after = len(toy.expert.extends) + 3
    run = Run(list(toy.events("exact", request(), 3)))
    assert run.finished.finish is Finish.INTERRUPTED
    assert run.finished.seconds == pytest.approx(run.finished.draft_seconds + run.finished.verify_seconds)


# --- detail ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("arm", RULES)
def test_a_round_reviewed_is_the_round_with_every_number(arm: str, temperature: float) -> None:
    """`detail` changes nothing but what is told, and a round looked at again later tells the same."""
    toy = pair(2)
    asked = request(temperature=temperature, max_tokens=20)
    plain, detailed = toy.run(arm, asked), toy.run(arm, request(temperature=temperature, max_tokens=20, detail=True))
    assert detailed.ids == plain.ids
    parsed = parse_arm(arm)
    assert parsed.rule is not None
    for one, other in zip(plain.rounds, detailed.rounds, strict=True):
        before = [0, 1, *plain.ids[: one.at]]
        toy.prefill(before)
        again = review(parsed, toy.expert, toy.drafter, request(before, temperature), toy.lexicon, one)
        for token, live in zip(again.tokens, other.tokens, strict=True):
            assert (token.id, token.status, token.turned_down) == (live.id, live.status, live.turned_down)
            assert token.p == pytest.approx(math.exp(token.log_p or 0.0))
            assert token.opinion == live.opinion or arm == "exact"
            assert token.expert_top == live.expert_top
            if token.status is Status.KEPT and temperature == 0:
                assert token.opinion is not None
                assert token.opinion.keeps
        toy.holds(before)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("arm", RULES)
def test_numbers_are_those_of_detail_and_nothing_else_of_it(arm: str, temperature: float) -> None:
    toy = pair(2)
    told = toy.run(arm, request(temperature=temperature, max_tokens=20, numbers=True))
    detailed = toy.run(arm, request(temperature=temperature, max_tokens=20, detail=True))
    assert any(token.q is not None for token in told.tokens)
    bare = [replace(token, expert_top=(), opinion=None, others=()) for token in detailed.tokens]
    assert told.tokens == bare
