"""A chat's session on the tiny pair: what a turn evaluates, what undoing leaves, what goes when the context is full."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from speccas.core.calibration.planner import Wanted
from speccas.core.conversation.transcript import Conversation, Turn, load
from speccas.core.decoding.arms import parse_arm
from speccas.core.decoding.events import Finish, Finished
from speccas.core.decoding.sampling import Sampling
from speccas.core.errors import IntegrityError, Stopped, UsageError
from speccas.core.files.profiles import find_profile
from speccas.core.runtime.backend import LoadOptions
from speccas.core.runtime.generate import Length, PromptRead
from speccas.core.runtime.pair import Pair, load_pair
from speccas.core.session import Asking, Dropped, Session
from tests.builders.played import ask
from tests.builders.tiers import few_fast

pytestmark = pytest.mark.tiny

ASKED = ["Name a fruit.", "Name another one.", "Which of them is sweeter?"]
LONG = " ".join(f"Fact {i}: the lamp number {i} is {'blue' if i % 3 else 'green'}." for i in range(205))
Make = Callable[..., Session]


@pytest.fixture
def make(tiny: Pair) -> Iterator[Make]:
    """A session on the shared pair, as if it had just been loaded."""

    def session(
        rule: str = "exact", start: Conversation | None = None, path: Path | None = None, **sampling: Any
    ) -> Session:
        tiny.stop.clear()
        tiny.clear()
        asking = Asking(parse_arm(rule), Sampling(**sampling), Length(8), Wanted(4))
        return Session(tiny, asking, start or Conversation(), path)

    yield session
    tiny.stop.clear()


@pytest.fixture(scope="module")
def small() -> Iterator[Pair]:
    """The tiny pair with a context of 256 tokens."""
    with load_pair(find_profile("tiny"), LoadOptions(threads=1, ctx=256)) as pair:
        yield pair


SHORT = Asking(parse_arm("exact"), Sampling(), Length(12), Wanted(4))


def answers(session: Session) -> list[tuple[int, ...] | None]:
    """The ids of every answer that the models see."""
    return [turn.ids for turn in session.conversation.turns if turn.seen]


def test_a_turn_reads_only_what_is_new(make: Make) -> None:
    session = make()
    held = {"expert": 0, "drafter": 0}
    last = None
    models = {"expert": session.pair.expert, "drafter": session.pair.drafter}
    for text in ASKED:
        ask(session, text)
        last = session.last
        assert last is not None
        spelled = [each for token in last.prompt.ids for each in session.pair.vocabulary.spell(token)]
        length = {"expert": len(last.prompt.ids), "drafter": len(spelled)}
        assert last.read == {role: length[role] - 1 - held[role] for role in models}
        held = {role: len(model) for role, model in models.items()}
    assert last is not None and last.read["expert"] < 20 < len(last.prompt.ids)


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["exact", "expert"])
def test_undone_and_stopped_turns_leave_no_trace(make: Make, rule: str) -> None:
    plain = make(rule)
    for text in ASKED:
        ask(plain, text)
    session = make(rule)
    ask(session, "Count to ten, please.")
    session.undo()
    ask(session, ASKED[0])
    ask(session, "Tell me a story about a fox.", stop_after=2)
    assert session.conversation.turns[-1].finish == "interrupted"
    ask(session, "Name a bird and a fish.")
    session.undo()
    ask(session, ASKED[1])
    session.again()
    ask(session, ASKED[1])
    session.pair.stop.set()
    with pytest.raises(Stopped):
        list(session.ask(LONG[:2000]))
    session.pair.stop.clear()
    ask(session, ASKED[2])
    assert answers(session) == answers(plain)
    assert session.pair.cached == plain.pair.cached


@pytest.mark.slow
def test_an_undone_turn_is_read_over_in_the_same_batches(make: Make) -> None:
    """What two prompts share is not kept: a batch of another length would round differently."""
    reads = []
    for undone in ([], ["Name a vegetable."]):
        session = make()
        ask(session, ASKED[0])
        for text in undone:
            ask(session, text)
            session.undo()
        ask(session, ASKED[1])
        assert session.last is not None
        reads.append(session.last.read)
    assert reads[0] == reads[1]


@pytest.mark.slow
@pytest.mark.parametrize("given", [{"temperature": 0.9}, {"temperature": 0.9, "top_k": 20, "min_p": 0.1}])
def test_sampled_answers_too(make: Make, given: dict[str, float]) -> None:
    plain = make("token", **given)
    ask(plain, ASKED[0])
    ask(plain, ASKED[1])
    session = make("token", **given)
    ask(session, ASKED[0])
    ask(session, ASKED[2])
    session.undo()
    ask(session, ASKED[2], stop_after=1)
    ask(session, ASKED[1])
    assert answers(session) == answers(plain)


@pytest.mark.slow
def test_asking_again_draws_anew_every_time(make: Make) -> None:
    session = make("expert", temperature=1.5)
    ask(session, ASKED[0])
    seen = answers(session)
    for _ in range(3):
        ask(session, session.again().user)
        assert session.conversation.turns[-1].ids not in seen
        seen += answers(session)
    session.undo()
    ask(session, ASKED[0])
    assert answers(session) == seen[:1]


@pytest.mark.slow
def test_the_rule_may_change_between_turns(make: Make) -> None:
    plain = make("exact")
    ask(plain, ASKED[0])
    session = make("token")
    ask(session, ASKED[0])
    session.asking = replace(session.asking, arm=parse_arm("exact"))
    ask(session, session.again().user)
    assert answers(session) == answers(plain)
    assert [turn.rule for turn in session.conversation.turns] == ["exact"]


@pytest.mark.slow
def test_stopped_in_a_long_prefill(make: Make) -> None:
    session = make("exact")
    ask(session, ASKED[0])
    steps = []
    with pytest.raises(Stopped):
        for event in session.ask(LONG):
            steps.append(event)
            session.pair.stop.set()
    session.pair.stop.clear()
    assert len(steps) == 1 and isinstance(steps[0], PromptRead) and steps[0].total > 3000
    ask(session, ASKED[1])
    plain = make("exact")
    ask(plain, ASKED[0])
    ask(plain, ASKED[1])
    assert answers(session) == answers(plain)


@pytest.mark.slow
def test_a_full_context_lets_the_oldest_turns_go(small: Pair, tmp_path: Path) -> None:
    session = Session(small, SHORT, Conversation("You count lamps."), tmp_path / "talk.json")
    system = session.prompt().ids[:8]
    dropped = 0
    for i in range(30):
        events = ask(
            session, f"Turn {i}: tell me how many lamps there are in room {i} of the house, and their colours."
        )
        assert isinstance(events[-1], Finished) and events[-1].finish is not Finish.INTERRUPTED
        drops = [event for event in events if isinstance(event, Dropped)]
        before = sum(turn.first < session.conversation.first for turn in session.conversation.turns[-2:-1])
        assert len(drops) == before
        for drop in drops:
            assert drop.tokens <= drop.context // 2 == 128
            dropped += drop.turns
        assert session.last is not None and session.last.prompt.ids[:8] == system
        assert len(session.last.prompt.ids) < 256
    assert 20 < dropped == session.conversation.first
    assert len(load(tmp_path / "talk.json").turns) == 30, "the file keeps what the models no longer see"


@pytest.mark.slow
def test_undoing_the_turn_that_let_others_go_brings_them_back(small: Pair) -> None:
    session = Session(small, SHORT, Conversation())
    ask(session, "How many lamps are there in the red house, and what colour is each of them? Name them all, please.")
    first = session.last
    assert first is not None
    ask(session, "Lamps, " * 60)
    assert session.conversation.first == 1
    session.undo()
    assert session.conversation.first == 0
    ask(session, "Why?")
    assert session.last is not None
    assert session.last.prompt.ids[: len(first.prompt.ids)] == first.prompt.ids


@pytest.mark.slow
def test_what_cannot_fit_is_refused_and_changes_nothing(small: Pair) -> None:
    session = Session(small, SHORT, Conversation())
    ask(session, ASKED[0])
    before = session.conversation
    with pytest.raises(UsageError, match=r"the prompt has 6\d\d tokens, and the context of 256"):
        list(session.ask("lamp " * 600))
    assert session.conversation == before
    ask(session, ASKED[1])
    assert session.conversation.first == 0


def test_ids_of_a_loaded_session_are_checked(make: Make) -> None:
    session = make()
    bad = Turn("a", "b", (10**6,), "exact", "end")
    with pytest.raises(IntegrityError, match="no tokens"):
        session.open(Conversation("", (bad,), session.vocabulary))
    assert session.open(Conversation("", (bad,), "another vocabulary")) is False
    assert session.conversation.turns[0].ids is None


@pytest.mark.slow
def test_a_loaded_session_goes_on_as_the_one_that_was_saved(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    session = make(path=path)
    for text in ASKED[:2]:
        ask(session, text)
    saved = load(path)
    assert saved == session.conversation
    assert json.loads(path.read_text())["turns"][0]["ids"] == list(saved.turns[0].ids or ())
    ask(session, ASKED[2])
    other = make(start=saved)
    ask(other, ASKED[2])
    assert other.last is not None and session.last is not None
    assert other.last.prompt.ids == session.last.prompt.ids, "history is never tokenised again"
    assert answers(other) == answers(session)


@pytest.mark.parametrize(
    "rule", few_fast(["exact", "token:0.7", "expert", "drafter", "token-cascade", "answer-cascade:1"], 1)
)
def test_why_evaluates_the_round_again(make: Make, rule: str) -> None:
    """Every token of an answer: the numbers are those of a run that recorded them."""
    session = make(rule)
    for _ in session.ask(ASKED[0], detail=True):
        pass
    recorded = session.last
    session = make(rule)
    ask(session, ASKED[0])
    assert recorded is not None and session.last is not None
    assert [t.id for t in session.last.fold.tokens] == [t.id for t in recorded.fold.tokens]
    for index, token in enumerate(recorded.fold.tokens):
        judged = session.why(index)
        again = judged.tokens[index - judged.at]
        assert (again.id, again.status, again.text) == (token.id, token.status, token.text)
        assert again.p is not None and 0 <= again.p <= 1 and len(again.expert_top) == 3
        if token.p is not None:
            assert again.p == pytest.approx(token.p, abs=0.02)
        if token.opinion is not None and again.opinion is not None:
            assert again.opinion.left == pytest.approx(token.opinion.left, abs=0.05)
            assert again.opinion.rule == token.opinion.rule
            assert again.q is not None or token.q is None
        if token.turned_down is not None:
            assert again.turned_down is not None
            assert again.turned_down.q == pytest.approx(token.turned_down.q, abs=0.02)
    with pytest.raises(UsageError, match="there is no token 99"):
        session.why(99)
    text = session.conversation.turns[-1].answer
    ask(session, ASKED[1])
    assert session.conversation.turns[0].answer == text


@pytest.mark.slow
def test_the_expert_alone_is_measured_without_a_trace(make: Make) -> None:
    plain = make()
    ask(plain, ASKED[0])
    ask(plain, ASKED[1])
    session = make()
    ask(session, ASKED[0])
    held = len(session.pair.expert)
    session.pair.stop.set()
    assert session.measure_alone() == 0.0
    session.pair.stop.clear()
    assert session.measure_alone() > 0 and len(session.pair.expert) == held
    ask(session, ASKED[1])
    assert answers(session) == answers(plain)


def said(session: Session, text: str) -> tuple[int, ...]:
    ask(session, text)
    return session.conversation.turns[-1].ids or ()


@pytest.mark.slow
def test_chance_belongs_to_seed_turn_and_regeneration(make: Make) -> None:
    """Undoing takes back the turn's chance too; asking again draws anew; another draft length changes nothing."""
    texts = []
    for k in (1, 6):
        session = make(temperature=0.9, seed=5)
        session.asking = replace(session.asking, wanted=Wanted(k))
        first, second = said(session, ASKED[0]), said(session, ASKED[1])
        session.undo()
        assert said(session, ASKED[1]) == second
        session.again()
        third = said(session, ASKED[1])
        session.undo()
        session.undo()
        assert said(session, ASKED[0]) == first
        texts.append((first, second, third))
    assert texts[0] == texts[1] and len(set(texts[0])) == 3
