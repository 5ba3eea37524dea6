"""A conversation's turns: what is given, what the expert draws, and where a turn ends."""

from random import Random

from speccas.core.distill.conversations import Dialogue, Frame, Part, frame
from speccas.core.distill.openers import Opener
from speccas.core.headers.gguf import Header
from speccas.core.headers.vocabulary import Tokens

AROUND = Frame((1, 2), (9, 3), (9, 4), frozenset({9}))
END, WORD = 9, 50


class Asked:
    """First a whole request, then starts of one with room for two tokens."""

    def first(self) -> Opener:
        return Opener("ab", whole=True)

    def next(self) -> Opener:
        return Opener("c", whole=False, most=2)


def letters(text: str, _special: bool) -> list[int]:
    return [ord(letter) for letter in text]


def given(text: Dialogue) -> list[int]:
    found = []
    while text.given is not None:
        token, part = text.give()
        assert part is Part.GIVEN
        found.append(token)
    return found


def test_a_whole_request_is_answered_and_the_next_one_is_the_experts_own() -> None:
    text = Dialogue(AROUND, Asked(), letters, Random(0))
    assert given(text) == [1, 2, 97, 98, 9, 3]
    part = Part.ANSWER if text.temperature == 0 else Part.SAMPLED
    assert text.take(WORD) == (WORD, part)
    assert text.take(END) == (END, part), "the end is the answer's last token"
    assert given(text) == [4, 99]
    assert text.temperature == 1.0
    assert text.take(WORD) == (WORD, Part.QUESTION)
    assert text.take(WORD) == (WORD, Part.QUESTION)
    assert text.take(WORD) == (9, Part.GIVEN), "no room is left: the end stands in place of the word"
    assert given(text) == [3]


def test_the_expert_may_end_its_question_before() -> None:
    text = Dialogue(AROUND, Asked(), letters, Random(0))
    given(text)
    text.take(END)
    given(text)
    assert text.take(END) == (9, Part.GIVEN)
    assert given(text) == [3]


def test_answers_are_drawn_at_three_temperatures() -> None:
    random = Random(0)
    texts = [Dialogue(AROUND, Asked(), letters, random) for _ in range(300)]
    found = [text.temperature for text in texts]
    assert set(found) == {0.0, 0.7, 1.0} and found.count(0.0) > 150


def test_the_frame_is_the_experts_template(loaded: tuple[Header, object], tokens: Tokens) -> None:
    control = {b"<|im_start|>": 1, b"<|im_end|>": 2}

    def encode(text: str, special: bool) -> list[int]:
        assert special
        ids: list[int] = []
        rest = text.encode()
        while rest:
            name = next((name for name in control if rest.startswith(name)), None)
            ids.append(control[name] if name else rest[0] + 1000)
            rest = rest[len(name) if name else 1 :]
        return ids

    around = frame(str(loaded[0].metadata["tokenizer.chat_template"]), encode, frozenset({2}), "<|im_end|>")
    assert around.before[0] == 1 and around.before.count(2) == 1, "the default system prompt is there"
    assert around.answer[0] == around.again[0] == 2, "both begin with the end of a turn"
    spelled = bytes(token - 1000 for token in around.answer if token >= 1000)
    assert spelled == b"\nassistant\n"
    assert bytes(token - 1000 for token in around.again if token >= 1000) == b"\nuser\n"
