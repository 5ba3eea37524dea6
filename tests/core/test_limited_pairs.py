"""Hybrid and recurrent models as expert and as drafter, on real files: the expert's own text, whatever went before.

Each answer is held against the same model in a cache of its own that never goes back, token by token.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from speccas.core.calibration.calibrate import QUICK, alone_speed, measure
from speccas.core.calibration.planner import Planner, Wanted
from speccas.core.decoding.arms import parse_arm
from speccas.core.decoding.events import Event, Judged
from speccas.core.decoding.length.policy import FixedPolicy
from speccas.core.decoding.sampling import Sampling
from speccas.core.files.profiles import Profile
from speccas.core.files.source import Source
from speccas.core.record.log_prob import mean_log_prob
from speccas.core.record.metrics import Fold
from speccas.core.runtime.backend import LoadOptions
from speccas.core.runtime.generate import FixedDrafting, Length, Plan, PromptRead, generate
from speccas.core.runtime.pair import Pair, load_pair
from speccas.core.runtime.prompt import Prompt
from speccas.core.session import Session
from tests.builders.loaded import prefill, tokens
from tests.builders.played import CONTEXT, alone, ask, chat, own_text, play, written
from tests.builders.random_models import random_model

PAIRS = (
    ("hybrid", "hybrid"), ("hybrid", "recurrent"), ("hybrid", "plain"),
    ("recurrent", "recurrent"), ("recurrent", "hybrid"), ("plain", "hybrid"),
)  # fmt: skip
"""Expert and drafter."""
Files = Callable[[str, int], Path]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """A model of a kind; of one kind, others agree with it as those of other kinds do."""
    folder = tmp_path_factory.mktemp("models")

    def made(kind: str, layers: int) -> Path:
        path = folder / f"{kind}{layers}.gguf"
        return path if path.exists() else random_model(path, kind, layers=layers)

    return made


@pytest.fixture(scope="module", params=PAIRS, ids="-".join)
def pair(request: pytest.FixtureRequest, file: Files) -> Iterator[Pair]:
    """Loaded once; a test may leave anything in its caches."""
    expert, drafter = (Source(path=str(file(kind, layers))) for layers, kind in enumerate(request.param))
    with load_pair(Profile("limited", drafter, expert), LoadOptions(threads=1, ctx=CONTEXT)) as loaded:
        yield loaded


@pytest.fixture
def prompt(pair: Pair) -> Prompt:
    return Prompt(tuple(tokens(pair, "The sea is wide, and the sky above it is grey. The sea is")))


def own_drafts(pair: Pair, prompt: Prompt, fold: Fold) -> None:
    """Assert that what the drafter proposed is what it writes there: a wrong state is not seen in an exact text."""
    ids = [*prompt.ids, *written(fold)]
    for judged in fold.rounds[:16:3]:
        if judged.source == "drafter" and judged.drafted:
            before = ids[: len(prompt.ids) + judged.at]
            drafted = [token.turned_down.id if token.turned_down else token.id for token in judged.tokens]
            drafted += [piece.id for piece in judged.discarded]
            own_text(pair, before, drafted[: judged.drafted], "drafter")


@pytest.mark.parametrize("lookup", ["off", "on", "auto"])
def test_the_first_answer_on_a_machine_that_does_not_know_the_pair(pair: Pair, prompt: Prompt, lookup: str) -> None:
    """What calls cost is measured behind the prompt, and taken back."""
    pair.clear()
    fold = play(pair, prompt, "exact", Planner(pair).drafting(Wanted("auto", lookup)), 40)
    own_text(pair, prompt.ids, written(fold))


def test_drafts_of_any_length(pair: Pair, prompt: Prompt) -> None:
    for k in (1, 4, 16):
        fold = play(pair, prompt, "exact", FixedDrafting(k), 60)
        own_text(pair, prompt.ids, written(fold))
        own_drafts(pair, prompt, fold)
        acceptance = fold.figures().acceptance
        assert acceptance is not None and 0.2 < acceptance < 0.9, "neither all nor none, or nothing is shown here"


def test_drafts_from_the_text(pair: Pair, prompt: Prompt) -> None:
    """Of a text that was written before, and goes on otherwise."""
    text, _ = alone(pair, "expert", prompt.ids, 30)
    copied = Prompt((*prompt.ids, *text, *prompt.ids))
    fold = play(pair, copied, "exact", FixedDrafting(4, lookup=True), 40)
    figures = fold.figures()
    assert figures.looked_up and figures.drafted and figures.looked_up < figures.drafted
    own_text(pair, copied.ids, written(fold))
    own_drafts(pair, copied, fold)


class Padded(FixedPolicy):
    """Pads every call, as the automatic draft length does where it is cheaper."""

    def batch_size(self, needed: int, most: int) -> int:
        return min(needed + 3, most)


class PaddedDrafting(FixedDrafting):
    def plan(self, pair: Pair, arm: object, sampling: Sampling) -> Plan:
        return Padded(self.k), [pair.second_model]


def test_padding_is_taken_back(pair: Pair, prompt: Prompt) -> None:
    fold = play(pair, prompt, "exact", PaddedDrafting(4), 60)
    own_text(pair, prompt.ids, written(fold))


@pytest.mark.parametrize("count", [6, 17, 40])
def test_arms_one_after_another(pair: Pair, prompt: Prompt, count: int) -> None:
    """As compare and bench play them: each from the prompt on, and scored by the expert if it did not judge."""
    pair.clear()
    for arm in ("expert", "exact", "drafter", "token", "token-cascade", "exact", "answer-cascade", "exact", "expert"):
        fold = play(pair, prompt, arm, FixedDrafting(4), count)
        if arm in ("expert", "exact"):
            own_text(pair, prompt.ids, written(fold))
        if arm == "drafter":
            own_text(pair, prompt.ids, written(fold), "drafter")
        known = [token.log_p for token in fold.tokens if token.log_p is not None]
        scored = mean_log_prob(pair.expert, prompt.ids, written(fold))
        if len(known) == len(fold.tokens):
            assert scored == pytest.approx(sum(known) / len(known), abs=0.01)


def test_a_sampled_text_does_not_depend_on_what_was_read_before(pair: Pair, prompt: Prompt) -> None:
    texts = []
    for before in ("fresh", "used"):
        if before == "fresh":
            pair.clear()
        else:
            play(pair, prompt, "comparative", FixedDrafting(7), 23, Sampling(1.0, seed=5))
            alone_speed(pair, 3)
        texts.append(
            [
                written(play(pair, prompt, arm, FixedDrafting(4), 30, Sampling(0.4, seed=3)))
                for arm in ("exact", "token")
            ]
        )
    assert texts[0] == texts[1]


def test_measuring_takes_everything_back(pair: Pair, prompt: Prompt) -> None:
    """Behind a prompt, and behind an answer whose last draft was turned down."""
    for count in (0, 11):
        prefill(pair, prompt)
        fold = play(pair, prompt, "exact", FixedDrafting(4), count) if count else Fold()
        held = len(pair.expert), len(pair.drafter)
        costs = measure(pair, QUICK, 1)
        assert set(costs.seen) == set(QUICK) and costs.step > 0
        assert alone_speed(pair, 3) > 0
        assert (len(pair.expert), len(pair.drafter)) == held
        longer = prompt.then(written(fold))
        own_text(pair, longer.ids, written(play(pair, longer, "exact", FixedDrafting(4), 12)))


def test_little_is_read_twice(pair: Pair, prompt: Prompt) -> None:
    """From one arm to the next the prompt is not read again, by either model."""
    long = Prompt(prompt.ids * 8)
    play(pair, long, "exact", FixedDrafting(4), 8)
    before = pair.expert.evaluated, pair.drafter.evaluated
    play(pair, long, "exact", FixedDrafting(4), 8)
    assert max(pair.expert.evaluated - before[0], pair.drafter.evaluated - before[1]) < len(long.ids) / 2


# --- a chat ----------------------------------------------------------------------------------------------------------


def told(session: Session, text: str) -> None:
    """Ask, and hold the answer against the expert alone on this prompt."""
    ask(session, text)
    assert session.last is not None
    own_text(session.pair, session.last.prompt.ids, written(session.last.fold))


@pytest.mark.parametrize("rule", ["exact", "expert"])
def test_a_chat_that_goes_back(pair: Pair, rule: str) -> None:
    session = chat(pair, rule)
    told(session, "Name a fruit.")
    session.measure_alone()
    told(session, "Name another one.")
    for text in ("Is it sweet?", "Which of them is green?"):
        session.undo()
        told(session, text)
    session.again()
    told(session, "Which of them is green?")
    ask(session, "And a third one?", stop_after=2)
    told(session, "And a fourth one?")
    session.undo()
    session.undo()
    told(session, "Name a tree.")
    session.clear()
    told(session, "Name a fruit.")


def test_why_says_what_was_judged(pair: Pair) -> None:
    session = chat(pair)
    ask(session, "Name a fruit.")
    told(session, "Name another one.")
    assert session.last is not None
    fold = session.last.fold
    for index in (0, 7, 3):
        judged = session.why(index)
        before = next(each for each in fold.rounds if each.at == judged.at)
        assert [token.id for token in judged.tokens] == [token.id for token in before.tokens]
        for token, was in zip(judged.tokens, before.tokens, strict=True):
            assert was.log_p is not None and token.p == pytest.approx(np.exp(was.log_p), abs=0.01)
    told(session, "Is it sweet?")


def test_a_chat_with_the_automatic_draft_length(pair: Pair) -> None:
    session = chat(pair, k="auto")
    for text in ("Name a fruit.", "Name another one."):
        told(session, text)
    session.again()
    told(session, "Name another one.")


def test_a_stop_at_any_round_leaves_no_wrong_state(pair: Pair, prompt: Prompt) -> None:
    events: list[Event | PromptRead] = []
    for stop_after in (1, 2, 5):
        events.clear()
        for event in generate(pair, prompt, parse_arm("exact"), length=Length(30), drafting=FixedDrafting(4)):
            events.append(event)
            if sum(isinstance(each, Judged) for each in events) == stop_after:
                pair.stop.set()
        pair.stop.clear()
        own_text(pair, prompt.ids, written(play(pair, prompt, "exact", FixedDrafting(4), 20)))
