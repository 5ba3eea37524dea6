"""Why token N: every line's numbers are the recorded ones, for every status; what was not recorded is said to be so."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from speccas.cli.view.arms import show_why
from speccas.cli.view.why import find, inequality
from speccas.core.decoding.events import Event, Judged, Opinion
from speccas.core.errors import UsageError

Events = Callable[..., Iterator[Event]]
Words = Sequence[tuple[str, str]]


def judged(events: Iterator[Event]) -> list[Judged]:
    return [event for event in events if isinstance(event, Judged)]


def why(terminal: Any, rounds: list[Judged], index: int, width: int = 100) -> str:
    screen = terminal(width, 24, colour=False)
    show_why(screen.look, "token", rounds, index)
    return str(screen.raw)


def test_every_status(terminal: Any, events: Events, sample: Words) -> None:
    rounds = judged(events(sample))
    told = {sample[i][1]: why(terminal, rounds, i) for i in range(4)}
    assert "drafted and accepted, as exact speculative decoding would have" in told["agreed"]
    assert "0.41 >= 0.31: kept   (p(v) >= (1 - alpha) * max p; alpha 0.5, max p 0.62)" in told["kept"]
    assert "the expert's, in place of the drafted “ wrong”" in told["deferred"]
    assert "turned down “ wrong”  q 0.6  p 0.12" in told["deferred"]
    assert "0.41 < 0.31: not kept: left to the exact test" in told["deferred"]
    assert "~wrong~[is]" in told["deferred"].replace(" ", "")
    assert "the extra token behind a draft" in told["bonus"]
    for status, text in told.items():
        drafted = " wrong" if status == "deferred" else next(word for word, known in sample if known == status)
        assert "the expert's first choices: “ the” 0.62   “ a” 0.25   “ wrong” 0.125" in text
        assert f"would keep “{drafted}”: top-k:5" in text
        assert f"would leave “{drafted}” to the exact test: confidence:0.3" in text


def test_a_kept_token_that_chance_replaced(terminal: Any, events: Events) -> None:
    """Coupled sampling draws from pi: a token that the rule keeps may lose to another one."""
    (round,) = judged(events([(" is", "deferred")]))
    token = round.tokens[0]
    assert token.opinion is not None
    kept = replace(round, tokens=(replace(token, opinion=replace(token.opinion, keeps=True)),))
    assert "which the rule keeps but chance did not draw" in why(terminal, [kept], 0, 200)
    assert "noise" not in why(terminal, [round], 0, 200)


def test_a_token_of_blanks_is_seen(terminal: Any, events: Events) -> None:
    assert "token 0 “␣␣” is agreed" in why(terminal, judged(events([("  ", "agreed")])), 0)
    assert "round 1, drafted 2: ␣~lost~" in why(terminal, judged(events([(" ", "agreed")])), 0).replace(" ~", "~")


def test_one_model_alone_and_no_detail(terminal: Any, events: Events) -> None:
    assert "written by the expert alone" in why(terminal, judged(events([("x", "expert")])), 0)
    assert "written by the drafter alone" in why(terminal, judged(events([("x", "drafter")])), 0)
    assert "recorded without detail" in why(terminal, judged(events([("x", "agreed")], detail=False)), 0)


@pytest.mark.parametrize("index", [-1, 14, 10**9])
def test_no_such_token(events: Events, sample: Words, index: int) -> None:
    with pytest.raises(UsageError, match="the answer has 14"):
        find(judged(events(sample)), index)


def test_an_unknown_rule_and_hostile_names(terminal: Any, events: Events, sample: Words) -> None:
    """A trace may come from a stranger, or from another version."""
    odd = Opinion("later\x1b[2J:0.1", 1.0, ">=", 2.0, False)
    assert inequality(odd, 0.5) == "1 < 2: not kept: left to the exact test"
    (first, *_) = judged(events(sample))
    token = replace(first.tokens[0], opinion=odd, others=(odd,), expert_top=((1, "\x1b]52;c\x07\n", 0.5),))
    screen = terminal(60, 24)
    show_why(screen.look, "\x1b[2Jarm\n", [replace(first, tokens=(token,))], 0)
    assert "\x1b[2J" not in screen.raw and "\x1b]" not in screen.raw and "later␛[2J" in screen.raw
