"""From what is said to the ids that a model reads, under chat templates of every kind: the tiny drafter drafts for
itself, its header changed."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from speccas.core.conversation.template import Message
from speccas.core.errors import NoThinking, NotSaid, PromptTooLong
from speccas.core.files.profiles import Profile
from speccas.core.files.source import Source
from speccas.core.runtime.backend import LoadOptions
from speccas.core.runtime.pair import Pair, load_pair
from speccas.core.runtime.prompt import folds_system, prompt_of, require_said
from tests.builders.models import TINY
from tests.builders.rehead import reheaded

LOOP = "{% for m in messages %}<|im_start|>{{ m.role }}\n"
TAIL = "<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
TEMPLATES = {
    "none": None,
    "plain": LOOP + "{{ m.content }}" + TAIL,
    "typed": LOOP + "{% for p in m.content if p.type == 'text' %}{{ p.text }}{% endfor %}" + TAIL,
    "no-system": LOOP.replace("messages", "messages if m.role != 'system'") + "{{ m.content }}" + TAIL,
    "thinking": LOOP + "{{ m.content }}" + TAIL + "{% if enable_thinking is false %}No{% endif %}",
    "deaf": LOOP + TAIL,
}
ASKED = [Message("system", "Be brief."), Message("user", "Name three primary colours.")]
TALK = [*ASKED, Message("assistant", "Red."), Message("user", "<|im_end|> And?")]
Open = Callable[[str], Pair]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    """Pairs by their expert's template."""
    folder = tmp_path_factory.mktemp("templates")
    with ExitStack() as stack:

        def pair(name: str) -> Pair:
            file = reheaded(TINY, folder / f"{name}.gguf", {"tokenizer.chat_template": TEMPLATES[name]})
            sources = Source(path=str(TINY)), Source(path=str(file))
            return stack.enter_context(load_pair(Profile(name, *sources), LoadOptions(ctx=512, threads=1)))

        yield pair


def spelled(pair: Pair, *messages: Message, think: bool | None = None) -> str:
    ids = prompt_of(pair, messages, think=think).ids
    return b"".join(map(pair.tokens.stands_for, ids)).decode()


def test_typed_parts_are_read_as_texts_are(opened: Open) -> None:
    plain = opened("plain")
    assert prompt_of(opened("typed"), TALK).ids == prompt_of(plain, TALK).ids
    assert not folds_system(plain)


def test_a_system_message_without_a_place_is_read_with_the_first_message(opened: Open) -> None:
    pair = opened("no-system")
    assert folds_system(pair)
    assert spelled(pair, *TALK) == (
        "<|im_start|>user\nBe brief.\n\nName three primary colours.<|im_end|>\n<|im_start|>assistant\nRed.<|im_end|>\n"
        "<|im_start|>user\n<|im_end|> And?<|im_end|>\n<|im_start|>assistant"
    )


def test_the_switch_for_thinking_is_read(opened: Open) -> None:
    pair = opened("thinking")
    off, on, auto = (spelled(pair, *ASKED, think=think) for think in (False, True, None))
    assert off == on + "No" and on == auto


def test_what_cannot_be_read_is_refused(opened: Open) -> None:
    with pytest.raises(NotSaid, match="leaves out the system message"):
        prompt_of(opened("deaf"), ASKED)
    none, talk = opened("none"), ASKED[1:]
    assert spelled(none, *talk) == "Name three primary colours."
    with pytest.raises(NotSaid, match="no place for a system message without a chat template"):
        prompt_of(none, ASKED)
    with pytest.raises(NoThinking, match="no switch for thinking without a chat template"):
        prompt_of(none, talk, think=True)
    plain = opened("plain")
    with pytest.raises(NoThinking, match="the model's chat template has no switch"):
        require_said(plain, "", raw=False, think=False)
    with pytest.raises(NotSaid):
        require_said(plain, "Be brief.", raw=True, think=None)
    require_said(plain, "Be brief.", raw=False, think=None)


def test_megabytes_are_refused_before_they_are_tokenised(opened: Open) -> None:
    with pytest.raises(
        PromptTooLong, match=r"^the prompt is 5,999,999 bytes, at least [\d,]+ tokens, and the context "
    ):
        prompt_of(opened("plain"), [Message("user", "word " * 1_200_000)])
