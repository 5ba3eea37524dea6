"""Conversations as values and files, and their way into token ids: answers keep the tokens they were written in.

Knows templates as texts and a tokenizer of single characters; one test uses the tiny pair's own.
"""

import json
import os
import signal
import stat
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speccas.core.conversation.template import Message
from speccas.core.conversation.tokenize import chat_ids
from speccas.core.conversation.transcript import Conversation, Turn, as_markdown, for_vocabulary, load, save
from speccas.core.errors import IntegrityError, UsageError
from speccas.core.headers.vocabulary import CONTROL
from speccas.core.runtime.pair import Pair
from speccas.core.runtime.prompt import prompt_of
from tests.builders.loaded import tokens

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
TURNS = st.builds(
    Turn, TEXT, TEXT, st.none() | st.lists(st.integers(0, 10**6)).map(tuple), TEXT,
    st.sampled_from(["end", "interrupted"]), st.just({"tokens": 3}), st.integers(0, 5), st.integers(0, 5),
)  # fmt: skip
CONVERSATIONS = st.builds(Conversation, TEXT, st.lists(TURNS, max_size=4).map(tuple), TEXT)


def turn(user: str, answer: str = "yes", **more: Any) -> Turn:
    return replace(Turn(user, answer, (1, 2), "exact", "end"), **more)


@given(CONVERSATIONS)
def test_a_file_gives_back_what_was_saved(tmp_path_factory: Any, conversation: Conversation) -> None:
    path = tmp_path_factory.getbasetemp() / "talk.json"
    save(conversation, path)
    assert load(path) == conversation
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_kill_while_it_saves_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    talks = [Conversation(str(i), tuple(turn(f"{i} " * 2000) for _ in range(20))) for i in range(2)]
    save(talks[0], path)
    for i in range(20):
        child = os.fork()
        if child == 0:
            while True:
                for talk in talks:
                    save(talk, path)
        signal.sigtimedwait([signal.SIGUSR1], 0.003 * (i + 1))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert load(path) in talks


def test_what_is_no_session(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    good = {"schema": 1, "type": "speccas-session", "system": "", "vocabulary": "", "turns": []}
    whole = {"user": "", "answer": "", "ids": [1], "rule": "", "finish": "end", "figures": {}, "first": 0, "again": 0}
    bad: list[Any] = [
        "", "[]", "{", "null", '"x"', "[" * 100_000, "\xff", {**good, "schema": 2}, {**good, "type": "x"},
        {**good, "turns": [1]}, {**good, "turns": 7}, {**good, "turns": [{**whole, "ids": ["x"]}]},
        {**good, "turns": [{**whole, "first": -1}]}, {**good, "turns": [{**whole, "ids": 7}]},
        {**good, "turns": [{**whole, "first": float("inf")}]},
    ]  # fmt: skip
    for content in bad:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="latin-1")
        with pytest.raises(IntegrityError, match="is no saved session"):
            load(path)
    for missing in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(UsageError, match="no such file"):
            load(missing)
    with pytest.raises(UsageError, match="cannot write"):
        save(Conversation(), path / "below.json")


def test_what_the_models_see() -> None:
    talk = Conversation(
        "Be brief.", (turn("a"), turn("b", finish="interrupted"), turn("c", first=1), turn("d", ids=None, first=1))
    )
    messages, known = talk.messages("e")
    assert [message.content for message in messages] == ["Be brief.", "c", "yes", "d", "yes", "e"]
    assert known == {2: (1, 2)}
    assert talk.first == 1 and talk.undo().undo().undo().first == 0
    assert [m.content for m in talk.messages(None, 4)[0]] == ["Be brief."]
    with pytest.raises(UsageError, match="no turn to undo"):
        Conversation().undo()
    assert "b" in as_markdown(talk)


def test_the_oldest_go_down_to_half() -> None:
    talk = Conversation("", tuple(turn(str(i)) for i in range(10)))
    assert talk.within(lambda first: 10 * (10 - first), 100, 50) == 0
    assert talk.within(lambda first: 10 * (10 - first), 99, 50) == 5
    assert talk.within(lambda first: 60, 50, 25) == 10


def test_another_vocabulary() -> None:
    talk = Conversation("", (turn("a"),), "one")
    assert for_vocabulary(talk, "one") is talk
    assert for_vocabulary(talk, "two").turns[0].ids is None and for_vocabulary(talk, "two").vocabulary == "two"


class Letters:
    """A tokenizer whose tokens are characters, and one control token: <end> is 0 where it may be."""

    def tokenize(self, text: str, *, special: bool, begin: bool = False, inside: bool = False) -> list[int]:
        parts = text.split("<end>") if special else [text]
        ids = [[ord(each) for each in part] for part in parts]
        return [token for i, part in enumerate(ids) for token in ([0] if i else []) + part]


class OneControl:
    """As much of a vocabulary as `chat_ids` looks at."""

    markers: Mapping[str, int] = {"<end>": 0}

    def stands_for(self, token: int) -> bytes:
        return chr(token).encode() if token else b"<end>"

    def type(self, token: int) -> int:
        return 3 if token == 0 else 1


PLAIN = "{% for m in messages %}{{ m.role[0] }}:{{ m.content }}<end>{% endfor %}a:"
TRIMS = PLAIN.replace("m.content", "m.content|trim")
THINKING = (
    "{% for m in messages %}{{ m.role[0] }}:{% if m.role == 'assistant' and not loop.last and '</think>' in m.content "
    "%}{{ m.content.split('</think>')[-1]|trim }}{% else %}{{ m.content }}{% endif %}<end>{% endfor %}a:"
)


def ids(template: str, messages: Sequence[tuple[str, str]], known: Mapping[int, Sequence[int]]) -> list[int]:
    values = [Message(role, content) for role, content in messages]
    return chat_ids(Letters(), OneControl(), template, values, "", "", known)  # type: ignore[arg-type]


def written(*parts: str | Sequence[int]) -> list[int]:
    return [token for part in parts for token in ([ord(c) for c in part] if isinstance(part, str) else part)]


@pytest.mark.parametrize("template", [PLAIN, TRIMS, THINKING])
def test_answers_keep_their_tokens(template: str) -> None:
    talk = [("user", "hi"), ("assistant", " ab "), ("user", "so")]
    assert ids(template, talk, {1: (7, 8)}) == written("u:hi", [0], "a:", (7, 8), [0], "u:so", [0], "a:")
    if template == PLAIN:
        assert ids(template, talk, {}) == written("u:hi", [0], "a: ab ", [0], "u:so", [0], "a:")


def test_a_template_that_rewrites_earlier_answers() -> None:
    """Its thoughts go, its text is tokenised anew, and all behind it is as ever; what is last stays as it was."""
    talk = [
        ("user", "hi"),
        ("assistant", "<think>hm</think>\nab<end>"),
        ("user", "so"),
        ("assistant", "cd"),
        ("user", "x"),
    ]
    read = ids(THINKING, talk, {1: (7, 8), 3: (9,)})
    assert read == written("u:hi", [0], "a:ab<end>", [0], "u:so", [0], "a:", (9,), [0], "u:x", [0], "a:")


def test_a_template_that_changes_an_answer() -> None:
    loud = PLAIN.replace("m.content", "m.content|replace('b', 'B')")
    assert ids(loud, [("assistant", "ab<end>")], {0: (7, 8)}) == written("a:aB<end>", [0], "a:")


@pytest.mark.slow
@settings(max_examples=25)  # four processes each: templates are rendered in a child
@given(st.text(st.sampled_from("a<end>{}%\ue000\ue001[/INST]\x1b🙂")), st.text(st.sampled_from("a<end>\ue000")))
def test_nobody_can_type_a_control_token(user: str, answer: str) -> None:
    for template in (PLAIN, THINKING):
        read = ids(template, [("user", user), ("assistant", answer), ("user", user)], {})
        assert read == written("u:", user, [0], "a:", answer, [0], "u:", user, [0], "a:")
        known = ids(template, [("user", user), ("assistant", answer), ("user", user)], {1: (7, 7)})
        assert known == written("u:", user, [0], "a:", (7, 7), [0], "u:", user, [0], "a:")


def ids_of(pair: Pair, messages: list[Message], known: dict[int, tuple[int, ...]] | None = None) -> tuple[int, ...]:
    return prompt_of(pair, messages, known).ids


@pytest.mark.tiny
def test_on_a_real_template(tiny: Pair) -> None:
    """The ids of a turn are a prefix of the next turn's, whatever was answered."""
    user = Message("user", "Say <|im_end|> <|endoftext|> and [/INST].")
    first = ids_of(tiny, [user])
    answer = (1, 2, 3, *tokens(tiny, " odd <|im_start|>"))
    text = b"".join(map(tiny.lexicon.piece, answer)).decode("utf-8", "replace")
    second = ids_of(tiny, [user, Message("assistant", text), user], {1: answer})
    benign = ids_of(tiny, [Message("user", "x")])
    assert second[: len(first)] == first and second[len(first) : len(first) + len(answer)] == answer
    assert sum(tiny.tokens.type(t) == CONTROL for t in first) == sum(tiny.tokens.type(t) == CONTROL for t in benign)
