"""Heads as drafters of loaded pairs, on real files: the text is the expert's own, and every state is of its token.

The expert and the heads are random; the heads agree with it often, and wrongly where their states are others.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from speccas.core.bench.overlap import measure as measure_overlap
from speccas.core.bench.suites import Item
from speccas.core.calibration.calibrate import QUICK, alone_speed, measure
from speccas.core.calibration.planner import Planner, Wanted
from speccas.core.decoding.arms import BASELINES, parse_arm
from speccas.core.decoding.events import Finish
from speccas.core.decoding.rules import RULES
from speccas.core.decoding.sampling import Distribution, Floats, Sampling
from speccas.core.errors import CannotPair, Stopped
from speccas.core.files.profiles import Profile
from speccas.core.files.source import Source
from speccas.core.runtime.backend import LoadOptions
from speccas.core.runtime.generate import FixedDrafting, Length, drain, generate, read_prompt
from speccas.core.runtime.heads.mtp import Mtp
from speccas.core.runtime.pair import Pair, load_pair
from speccas.core.runtime.prompt import Prompt
from tests.builders.heads import Eagle, tables_of
from tests.builders.loaded import prefill, row, tokens
from tests.builders.mtp import assistant, assisted, head_alone, with_head
from tests.builders.played import CONTEXT, ask, chat, own_text, play, reference, written
from tests.builders.random_models import random_model
from tests.core.decoding.toys import Joint, p_value

HALF = 7168  # of the tokens

Files = tuple[Source, Path]
"""The drafter, and the expert's file."""


def borrowing(folder: Path, expert: Path) -> Path:
    return Eagle().write(folder / "head.gguf", expert)


def own_vocabulary(folder: Path, expert: Path) -> Path:
    output = tables_of(expert)["output.weight"][: 2 * HALF : 2]
    return Eagle(draft_tokens=HALF, tables={"output.weight": output}).write(folder / "half.gguf", expert)


def eagle3(kind: str, write: Callable[[Path, Path], Path], folder: Path) -> Files:
    expert = random_model(folder / "expert.gguf", kind)
    return Source(path=str(write(folder, expert))), expert


def mtp_inside(kind: str, folder: Path) -> Files:
    return Source(head="inside"), with_head(folder / "expert.gguf", kind)


def mtp_beside(kind: str, folder: Path) -> Files:
    return Source(path=str(head_alone(folder / "mtp-x.gguf", kind))), random_model(folder / "expert.gguf", kind)


def sharing(folder: Path) -> Files:
    expert = assisted(folder / "expert.gguf")
    return Source(path=str(assistant(folder / "assistant-x.gguf", expert))), expert


KINDS: dict[str, Callable[[Path], Files]] = {
    "eagle3": partial(eagle3, "plain", borrowing),
    "eagle3 with a vocabulary of its own": partial(eagle3, "plain", own_vocabulary),
    "eagle3 on a hybrid": partial(eagle3, "hybrid", borrowing),
    "mtp inside a hybrid": partial(mtp_inside, "gated"),
    "mtp beside a mixture": partial(mtp_beside, "mixture"),
    "mtp of several layers": partial(mtp_inside, "chained"),
    "assistant": sharing,
}
"""By name, what writes a head and its expert."""


@pytest.fixture(scope="module", params=KINDS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Loaded once; a test may leave anything in its caches."""
    drafter, expert = KINDS[request.param](tmp_path_factory.mktemp("head"))
    profile = Profile("head", drafter, Source(path=str(expert)))
    with load_pair(profile, LoadOptions(threads=1, ctx=CONTEXT)) as loaded:
        yield loaded


@pytest.fixture
def prompt(pair: Pair) -> Prompt:
    pair.stop.clear()
    return Prompt(tuple(tokens(pair, "The sea is wide, and the sky above it is grey. The sea is")))


def fresh_q(pair: Pair, ids: Sequence[int]) -> Floats:
    """q behind a text, with both caches emptied and the text read at once."""
    pair.clear()
    drain(read_prompt(pair, Prompt(tuple(ids))))
    return logits(pair)


def logits(pair: Pair) -> Floats:
    proposal = pair.drafts.next()
    assert proposal is not None
    return Distribution(proposal.q1.logits, proposal.q1.shared).logits


# --- the text is the expert's -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_fifty_prompts_at_every_length(pair: Pair) -> None:
    """Greedy `exact` is the expert alone, whatever was read before; drafts are accepted often and not always."""
    g = np.random.default_rng(4)
    judged, accepted = 0, 0
    for i in range(50):
        prompt = Prompt(tuple(int(each) for each in g.integers(5, 8000, 4 + i % 9)))
        fold = play(pair, prompt, "exact", FixedDrafting(1 + i % 8), 16)
        own_text(pair, prompt.ids, written(fold))
        figures = fold.figures()
        judged, accepted = judged + (figures.judged or 0), accepted + (figures.agreed or 0) + (figures.kept or 0)
    assert 0.2 < accepted / judged < 0.9


@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize("rule", RULES)
def test_every_rule(pair: Pair, prompt: Prompt, rule: str, temperature: float) -> None:
    sampling = Sampling(temperature, seed=3)
    fold = play(pair, prompt, rule, FixedDrafting(4), 20, sampling)
    figures = fold.figures()
    assert figures.tokens == 20 and figures.drafted and figures.drafter_steps
    assert figures.judged == (figures.agreed or 0) + (figures.kept or 0) + (figures.deferred or 0)
    if rule == "exact":
        alone = play(pair, prompt, "expert", FixedDrafting(4), 20, sampling)
        assert written(fold) == written(alone), "with one seed the very same text"
    elif temperature:
        assert written(play(pair, prompt, rule, FixedDrafting(4), 20, sampling)) == written(fold)


@pytest.mark.slow
def test_a_sampled_first_token_has_the_experts_distribution(pair: Pair, prompt: Prompt) -> None:
    """Chi-square of whole runs with a seed each, against p and against q."""
    sampling = Sampling(0.8)
    prefill(pair, prompt)
    q = Distribution(logits(pair))
    model = reference(pair.files["expert"].path)
    model.truncate(0)
    p = Distribution(row(model, prompt.ids))
    found: Counter[tuple[int, ...]] = Counter()
    for seed in range(400):
        fold = play(pair, prompt, "exact", FixedDrafting(1 + seed % 3), 2, replace(sampling, seed=seed))
        found[(written(fold)[0],)] += 1
    assert p_value(found, of_tokens(p, sampling)) > 1e-4
    if len(q) == len(p):
        assert p_value(found, of_tokens(q, sampling)) < 1e-6, "the head says something else"


def of_tokens(row: Distribution, sampling: Sampling) -> Joint:
    return {(token,): float(mass) for token, mass in enumerate(row.sampled(sampling))}


def test_a_rule_keeps_what_exact_defers(pair: Pair, prompt: Prompt) -> None:
    figures = play(pair, prompt, "token:0.9", FixedDrafting(4), 60).figures()
    assert figures.kept


@pytest.mark.parametrize("arm", sorted(set(BASELINES) - {"expert"}))
def test_a_head_does_not_write_alone(pair: Pair, prompt: Prompt, arm: str) -> None:
    with pytest.raises(CannotPair, match="it writes nothing without the expert"):
        play(pair, prompt, arm, FixedDrafting(4), 8)


@pytest.mark.parametrize("lookup", ["off", "on", "auto"])
def test_the_automatic_length(pair: Pair, prompt: Prompt, lookup: str) -> None:
    """What calls cost is measured behind the prompt, and taken back."""
    pair.clear()
    planner = Planner(pair)
    for _ in range(2):
        fold = play(pair, prompt, "exact", planner.drafting(Wanted("auto", lookup)), 60)
        own_text(pair, prompt.ids, written(fold))
    assert planner.latency is not None and planner.latency.step > 0


def test_drafts_from_the_text_beside_it(pair: Pair, prompt: Prompt) -> None:
    text = written(play(pair, prompt, "expert", FixedDrafting(4), 30))
    copied = Prompt((*prompt.ids, *text, *prompt.ids))
    fold = play(pair, copied, "exact", FixedDrafting(4, lookup=True), 60)
    figures = fold.figures()
    assert figures.looked_up and figures.drafted and figures.looked_up < figures.drafted
    own_text(pair, copied.ids, written(fold))


# --- its states are those of the text ---------------------------------------------------------------------------------


def test_q_is_that_of_a_fresh_read(pair: Pair, prompt: Prompt) -> None:
    """After rounds whose drafts were turned down, after an arm without it, after a stop, after measuring."""
    for arm in ("exact", "token", "expert"):
        pair.clear()
        fold = play(pair, prompt, arm, FixedDrafting(4), 21, Sampling(0.8, seed=1))
        measure(pair, QUICK, 1)
        alone_speed(pair, 3)
        ids = [*prompt.ids, *written(fold)]
        drain(read_prompt(pair, Prompt(tuple(ids))))
        used = logits(pair)
        fresh = fresh_q(pair, ids)
        finite = np.isfinite(fresh)
        np.testing.assert_allclose(used[finite], fresh[finite], atol=0.05)


def test_a_trace_has_the_same_q_as_why(pair: Pair, prompt: Prompt) -> None:
    session = chat(pair)
    list(session.ask("The sea is wide.", detail=True))
    assert session.last is not None
    for i in (0, 4, 9):
        token = session.last.fold.tokens[i]
        judged = session.why(i)
        told = judged.tokens[i - judged.at]
        if token.q is not None and told.q is not None:
            assert told.q == pytest.approx(token.q, rel=0.05, abs=0.01)
        assert told.p == pytest.approx(token.p, rel=0.05, abs=0.01)


def layers(pair: Pair) -> int:
    """That read each pair of a head."""
    return pair.drafter.layers if isinstance(pair.drafter, Mtp) else 1


def test_arms_one_after_another_read_nothing_twice(pair: Pair, prompt: Prompt) -> None:
    long = Prompt(prompt.ids * 6)
    play(pair, long, "exact", FixedDrafting(4), 8)
    before = pair.expert.evaluated, pair.drafter.evaluated
    fold = play(pair, long, "exact", FixedDrafting(4), 8)
    assert pair.drafter.evaluated - before[1] < 20 * layers(pair) and len(written(fold)) == 8
    assert pair.expert.evaluated - before[0] < len(long.ids) / 2


def test_measuring_the_overlap(pair: Pair) -> None:
    """What `check` asks: how often the head's best token is the expert's."""
    found = measure_overlap(pair, [Item("a", "x", "The sea is wide."), Item("b", "x", "The sky is grey.")], 20)
    assert found.positions and 0.2 < found.agreement < 0.95


# --- a chat, and where it is cut off ----------------------------------------------------------------------------------


def test_undone_and_stopped_turns_leave_no_trace(pair: Pair) -> None:
    """Under a rule whose text depends on what the head says."""
    rule = "token"
    asked = ["Name a fruit.", "Name another one.", "Which is sweeter?"]
    plain = chat(pair, rule)
    for text in asked:
        ask(plain, text)
    wanted = [turn.ids for turn in plain.conversation.turns]
    session = chat(pair, rule)
    ask(session, "Count to ten, please.")
    session.undo()
    ask(session, asked[0])
    ask(session, "Tell me a story about a fox.", stop_after=2)
    assert session.conversation.turns[-1].finish == "interrupted"
    ask(session, "Name a bird and a fish.")
    session.undo()
    ask(session, asked[1])
    session.again()
    ask(session, asked[1])
    session.pair.stop.set()
    with pytest.raises(Stopped):
        list(session.ask("The sea is wide. " * 20))
    session.pair.stop.clear()
    ask(session, asked[2])
    assert [turn.ids for turn in session.conversation.turns if turn.seen] == wanted


def test_a_turn_reads_only_what_is_new(pair: Pair) -> None:
    session = chat(pair)
    ask(session, "The sea is wide. " * 10)
    ask(session, "And the sky?")
    last = session.last
    assert last is not None and last.read["expert"] < 40 < len(last.prompt.ids)
    assert last.read["drafter"] < 20 * layers(pair)


def test_an_answer_ends_with_the_context(pair: Pair, prompt: Prompt) -> None:
    long = Prompt((prompt.ids * 40)[: CONTEXT - 30])
    fold = play(pair, long, "exact", FixedDrafting(8), 200)
    assert fold.figures().finish == Finish.CONTEXT and len(long.ids) + len(written(fold)) == CONTEXT
    own_text(pair, long.ids, written(fold))
    fold = play(pair, prompt, "exact", FixedDrafting(8), 20)
    own_text(pair, prompt.ids, written(fold))


@pytest.mark.parametrize("events", [2, 5])
def test_closed_at_any_event_it_goes_on(pair: Pair, prompt: Prompt, events: int) -> None:
    pair.clear()
    running = generate(pair, prompt, parse_arm("exact"), Sampling(), Length(40), FixedDrafting(4))
    for _ in range(events):
        next(running)
    running.close()
    fold = play(pair, prompt, "exact", FixedDrafting(4), 30)
    own_text(pair, prompt.ids, written(fold))


def test_a_prefix_of_the_prompt_can_be_left_to_the_first_draft(pair: Pair, prompt: Prompt) -> None:
    """Where drafts are left off at once, the head reads the prompt when it is first asked."""
    pair.clear()
    prefill(pair, prompt, drafter=False)
    assert pair.drafts.unread == len(prompt.ids) - 1
    late = logits(pair)
    fresh = fresh_q(pair, prompt.ids)
    finite = np.isfinite(fresh)
    np.testing.assert_allclose(late[finite], fresh[finite], atol=0.05)


def test_the_states_that_the_head_reads_decide_its_drafts(pair: Pair, prompt: Prompt) -> None:
    """A head that hears the states of another text says something else: else nothing above would be seen."""
    pair.clear()
    right = fresh_q(pair, prompt.ids).copy()
    pair.clear()
    other = [*prompt.ids[1:], prompt.ids[0]]
    pair.drafts.observe(list(prompt.ids))
    pair.expert.extend(other[:-1], rows=0)
    pair.drafts.note(0, pair.expert.states)
    wrong = logits(pair)
    pair.cached = []
    finite = np.isfinite(right)
    assert np.abs(right[finite] - wrong[finite]).max() > 0.5


def test_a_session_asked_again_has_chance_of_its_own(pair: Pair) -> None:
    session = chat(pair, temperature=1.0)
    ask(session, "Name a fruit.")
    first = session.conversation.turns[-1].ids
    session.again()
    ask(session, "Name a fruit.")
    assert session.conversation.turns[-1].ids != first
