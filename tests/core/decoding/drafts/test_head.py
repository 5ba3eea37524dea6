"""Drafts from a head on the expert's states, on toy tables: what its cache holds, what it reads, what comes of it."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speccas.core.decoding.answer import Request
from speccas.core.decoding.arms import parse_arm
from speccas.core.decoding.deferral import Position
from speccas.core.decoding.detail import review
from speccas.core.decoding.drafts.lookup import PromptLookup
from speccas.core.decoding.events import Event, Finish, Judged
from speccas.core.decoding.sampling import Probabilities, Sampling
from tests.core.decoding.toy_heads import HeadToy, half
from tests.core.decoding.toys import RULES, Run, joint, near, p_value, request, table

SIZE, LENGTH, PROMPT = 6, 3, (0, 1)
LARGE = table(52, SIZE, order=2, spread=1.4)
SMALL = near(LARGE, 53, spread=0.6)


def toy(seed: int = 0) -> HeadToy:
    """A head that agrees with its expert about as often as not."""
    if not seed:
        return HeadToy.of(LARGE, SMALL)
    large = table(seed, SIZE, order=2, spread=1.4)
    return HeadToy.of(large, near(large, seed + 1, spread=1.0))


def written(run: Run) -> list[int]:
    return [*PROMPT, *run.ids]


# --- what the cache holds ---------------------------------------------------------------------------------------------


@given(
    st.integers(1, 10_000), st.sampled_from(RULES), st.integers(1, 9), st.sampled_from((0.0, 0.8)), st.booleans(),
    st.lists(st.integers(0, 5), min_size=1, max_size=9),
)  # fmt: skip
def test_the_cache_holds_pairs_of_the_text_with_the_experts_states(
    seed: int, arm: str, k: int, temperature: float, caught_up: bool, prompt: list[int]
) -> None:
    """After every round, and nothing of a draft that was not accepted."""
    pair = toy(seed)
    pair.prefill(prompt, caught_up)
    text, read = list(prompt), 0
    for event in pair.events(arm, request(prompt, temperature, max_tokens=17, seed=seed), k):
        if isinstance(event, Judged):
            text += [token.id for token in event.tokens]
            pair.holds(text)
            assert len(pair.small) >= read, "never rebuilt"
            read = len(pair.small)
    pair.holds(text)
    assert len(pair.small) <= len(text) - 1


def test_each_accepted_token_is_read_once_and_no_other_with_the_experts_states() -> None:
    pair = toy()
    run = pair.run("exact", request(max_tokens=60))
    assert 0.2 < sum(len(each.tokens) - 1 for each in run.rounds) / sum(each.drafted for each in run.rounds) < 0.9
    pairs = len(PROMPT) - 1 + sum(len(each.tokens) for each in run.rounds[:-1])
    drafted_on = sum(max(0, each.drafted - 1) for each in run.rounds)
    assert sum(pair.small.calls) == pairs + drafted_on
    assert run.finished.drafter_steps == len(pair.small.calls)


def test_a_rejected_draft_costs_no_call_beyond_its_steps() -> None:
    """The accepted tokens are read with the last one, in the call that begins the next draft."""
    pair = toy()
    run = pair.run("exact", request(max_tokens=40), k=3)
    assert len(pair.small.calls) == sum(each.drafted for each in run.rounds)


@pytest.mark.parametrize("ahead", [False, True])
def test_a_head_on_the_experts_cache_is_asked_before_the_expert_reads_the_draft(ahead: bool) -> None:
    """Where the rule reads q behind the draft, that costs a call a round; of others one for each bonus token."""
    pair = replace(toy(), ahead=ahead)
    pair.prefill(PROMPT)
    behind, calls = 0, 0
    for event in pair.events("token", request(max_tokens=40)):
        if isinstance(event, Judged):
            behind += len(pair.small.calls) - calls
        calls = len(pair.small.calls)
    assert (behind == 0) == ahead
    lossless, all_of_them = replace(toy(), ahead=ahead), toy()
    assert lossless.run("exact", request()).ids == all_of_them.run("exact", request()).ids
    assert lossless.small.calls == all_of_them.small.calls


def test_a_draft_is_as_long_as_a_head_can_tell() -> None:
    for arm in ("exact", "token"):
        run = replace(toy(), longest=2).run(arm, request(max_tokens=30), k=7)
        assert max(each.drafted for each in run.rounds) == 2


# --- where one goes back ----------------------------------------------------------------------------------------------


def test_arms_one_after_another_read_no_prompt_twice() -> None:
    pair, prompt = toy(), (0, 1, 2, 3, 4, 5, 3, 1)
    pair.prefill(prompt)
    first = Run(list(pair.events("exact", request(prompt))))
    for arm in ("token", "exact"):
        assert pair.prefill(prompt) == 0, "the expert keeps the prompt"
        again = Run(list(pair.events(arm, request(prompt))))
        pair.holds([*prompt, *again.ids])
    assert again.ids == first.ids


def test_an_answer_taken_back_costs_nothing_and_another_message_only_itself() -> None:
    """Undo: behind the last turn that stands, both go on as if nothing had been."""
    pair, prompt = toy(), (0, 1, 2, 3)
    run = pair.run("exact", request(prompt, max_tokens=9))
    kept = (*prompt, *run.ids)
    for message, read in (((1, 1, 2), 3), ((4, 4), 1)):  # the first reads the answer's last token too
        assert pair.prefill((*kept, *message)) == read
        more = Run(list(pair.events("exact", request((*kept, *message), max_tokens=9))))
        pair.holds([*kept, *message, *more.ids])


def test_where_states_are_missing_the_expert_reads_again() -> None:
    """Another text from the middle on: the state behind its last shared token is not kept."""
    pair = toy()
    run = pair.run("exact", request(max_tokens=200))
    text = written(run)
    other = (*text[:100], (text[100] + 1) % SIZE, 2, 3)
    read = pair.prefill(other)
    assert len(other) - 1 - 100 < read <= len(other) - 1 - 100 + 1
    again = Run(list(pair.events("exact", request(other))))
    pair.holds([*other, *again.ids])
    assert any(each.drafted for each in again.rounds)


def test_an_expert_that_wrote_alone_is_read_again_not_guessed() -> None:
    pair = toy()
    pair.prefill(PROMPT)
    pair.expert.extend([1, 2, 3], rows=1)
    pair.head.observe([0, 1, 2, 3, 4])
    assert pair.head.next() is None, "no states, no draft"
    assert pair.prefill((0, 1, 2, 3, 4)) == 3
    assert pair.head.next() is not None
    pair.holds([0, 1, 2, 3, 4])


@pytest.mark.parametrize("after", range(8))
def test_a_stop_inside_the_head_leaves_a_true_prefix(after: int) -> None:
    pair = toy()
    pair.prefill((0, 1, 2, 3, 4))
    pair.small.stop_after = len(pair.small.calls) + after
    ended = Run(list(pair.events("exact", request((0, 1, 2, 3, 4), max_tokens=30))))
    assert ended.finished.finish is Finish.INTERRUPTED
    text = [0, 1, 2, 3, 4, *ended.ids]
    pair.holds(text)
    pair.small.stop_after = None
    pair.prefill(text)
    more = Run(list(pair.events("exact", request(text, max_tokens=30 - len(ended.ids)))))
    whole = toy().run("exact", request((0, 1, 2, 3, 4), max_tokens=30))
    assert [*ended.ids, *more.ids] == whole.ids
    pair.holds([*text, *more.ids])


def test_many_states_do_not_wait_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that is not asked for drafts reads on all the same, once much has piled up."""
    monkeypatch.setattr("speccas.core.decoding.drafts.head.PENDING_BYTES", 100 * 2 * 4)
    pair, prompt = toy(), [i % SIZE for i in range(700)]
    pair.prefill(prompt, catch_up=False)
    assert len(pair.small) > 500
    pair.holds(prompt)


def test_a_head_without_room_leaves_the_expert() -> None:
    pair = toy()
    pair.head.room = 10
    alone = toy().run("exact", request(max_tokens=30))
    run = pair.run("exact", request(max_tokens=30))
    assert run.ids == alone.ids
    assert len(pair.small) <= 10 and not run.rounds[-1].drafted


def test_a_prompt_of_one_token_has_no_pair_yet() -> None:
    pair = toy()
    run = pair.run("exact", request((3,), max_tokens=20))
    assert not run.rounds[0].drafted and any(each.drafted for each in run.rounds)
    pair.holds([3, *run.ids])


def test_lookup_beside_it_keeps_the_cache_true() -> None:
    pair, prompt = toy(), (0, 1, 2, 0, 1, 2, 0, 1)
    pair.prefill(prompt)
    lookup = PromptLookup()
    run = Run(list(pair.events("exact", request(prompt, max_tokens=60), 3, lookup)))
    assert {each.source for each in run.rounds} == {"lookup", "drafter"}
    pair.holds([*prompt, *run.ids])
    assert run.ids == toy().run("exact", request(prompt, max_tokens=60)).ids


def test_a_round_evaluated_again_says_the_same() -> None:
    """What `why` does."""
    pair = toy()
    asked = replace(request(max_tokens=30), detail=True)
    run = pair.run("exact", asked)
    judged = next(each for each in run.rounds[3:] if each.drafted == 4 and 1 < len(each.tokens) < 5)
    before = (*PROMPT, *run.ids[: judged.at])
    pair.prefill(before)
    again = review(parse_arm("exact"), pair.expert, pair.head, replace(asked, prompt=before), pair.lexicon, judged)
    for one, other in zip(judged.tokens, again.tokens, strict=True):
        assert one.q == pytest.approx(other.q) and one.p == pytest.approx(other.p)
    pair.holds(before)


# --- what comes of it -------------------------------------------------------------------------------------------------


def promised(rule: str, sampling: Sampling, small: np.ndarray = SMALL) -> dict[tuple[int, ...], float]:
    parsed = parse_arm(rule).rule
    assert parsed is not None

    def pi(at: Position) -> Probabilities:
        return parsed.pi(at)

    return joint(LARGE, small, PROMPT, LENGTH, pi, sampling)


def answers(rule: str, sampling: Sampling, samples: int, pair: HeadToy) -> Counter[tuple[int, ...]]:
    found: Counter[tuple[int, ...]] = Counter()
    pair.prefill(PROMPT)
    for seed in range(samples):
        asked = Request(PROMPT, replace(sampling, seed=seed), LENGTH)
        events: list[Event] = list(pair.events(rule, asked, (1, 2, 4)[seed % 3]))
        found[tuple(Run(events).ids)] += 1
        pair.prefill(PROMPT)
    return found


@pytest.mark.parametrize("rule", RULES)
def test_a_few_answers_follow_the_rule(rule: str) -> None:
    sampling = Sampling(0.8)
    assert p_value(answers(rule, sampling, 400, toy()), promised(rule, sampling)) > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "test"), [("exact", "token"), ("token", "coupled"), ("comparative:-0.1", "token")])
def test_answers_follow_the_rule(rule: str, test: str) -> None:
    sampling = Sampling(0.8, test=test)
    assert p_value(answers(rule, sampling, 3_000, toy()), promised(rule, sampling)) > 1e-4


def test_a_vocabulary_of_its_own_keeps_exact_lossless() -> None:
    """What it never proposes comes from the expert alone."""
    sampling = Sampling(0.8)
    pair = HeadToy.of(LARGE, np.where(np.arange(SIZE) < SIZE // 2, SMALL, -np.inf).astype(np.float32), half(SIZE))
    found = answers("exact", sampling, 1_000, pair)
    assert p_value(found, promised("exact", sampling)) > 1e-4
    run = pair.run("exact", request(max_tokens=60))
    drafted = [piece.id for each in run.drafts for piece in each.pieces]
    assert drafted and max(drafted) < SIZE // 2 <= max(run.ids)


def test_the_head_of_this_file_is_told_from_its_expert() -> None:
    """Else the tests above would see nothing."""
    sampling = Sampling(0.8)
    expert, head = promised("exact", sampling), promised("exact", sampling, LARGE)
    assert expert == head, "the expert's own, whatever the head says"
    token = promised("token", sampling)
    assert sum(abs(expert[answer] - token[answer]) for answer in expert) / 2 > 0.08
