"""Everything that is said stands in what a template makes of it, or it is refused: templates of known models, templates
at random, and the two switches."""

import json
import random
from collections.abc import Sequence

import pytest

from speccas.core.conversation.said import Spoken, say
from speccas.core.conversation.template import Message, render
from speccas.core.errors import IntegrityError, NoThinking, NotSaid, TemplateRefused, UsageError
from tests.builders.templates import Made, made

USER = Message("user", "Hi there")
ASKED = [Message("system", "Be brief."), USER]
TALK = [*ASKED, Message("assistant", "Hello!"), Message("user", "Bye")]


def said(template: str, messages: Sequence[Message], think: bool | None = None) -> Spoken:
    return say(template, messages, begin="<s>", end="</s>", think=think)


GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{{ '<start_of_turn>' + message['role'] + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"
)
SMOLVLM = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}"
    "{% if message['content'][0]['type'] == 'image' %}{{ ':' }}{% else %}{{ ': ' }}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{ line['text'] }}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
VICUNA = (  # no system branch: what is no user's is an assistant's or nothing
    "{% for m in messages %}{% if m.role == 'user' %}USER: {{ m.content }} {% elif m.role == 'assistant' %}"
    "ASSISTANT: {{ m.content }}</s>{% endif %}{% endfor %}ASSISTANT:"
)
QWEN3 = (  # abridged: no tools
    "{% for message in messages %}{% set content = message.content %}"
    "{% if message.role in ('user', 'system') %}{{ '<|im_start|>' + message.role + '\n' + content + '<|im_end|>\n' }}"
    "{% elif message.role == 'assistant' %}{% if '</think>' in content %}"
    "{% set content = content.split('</think>')[-1].lstrip('\n') %}{% endif %}"
    "{{ '<|im_start|>assistant\n' + content + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{% endif %}"
)
SMOLLM3 = (
    "{% set s = messages[0].content if messages[0].role == 'system' else '' %}"
    "{% set mode = '/no_think' if '/no_think' in s else '/think' %}{{ mode }}|"
    "{{ s.replace('/no_think', '').replace('/think', '').rstrip() }}|{{ messages[-1].content }}"
)


def test_a_template_that_refuses_or_drops_the_system_message_has_it_in_the_first_message() -> None:
    assert said(GEMMA, ASKED) == Spoken(
        "<s><start_of_turn>user\nBe brief.\n\nHi there<end_of_turn>\n<start_of_turn>model\n", True
    )
    assert said(GEMMA, TALK).text.count("Be brief.") == 1
    assert said(VICUNA, ASKED) == Spoken("USER: Be brief.\n\nHi there ASSISTANT:", True)
    assert said(VICUNA, [USER]) == Spoken("USER: Hi there ASSISTANT:", False)
    assert not said(QWEN3, TALK).folded


def test_a_template_of_typed_parts_gets_parts() -> None:
    assert said(SMOLVLM, TALK).text == (
        "<|im_start|>System: Be brief.<end_of_utterance>\nUser: Hi there<end_of_utterance>\n"
        "Assistant: Hello!<end_of_utterance>\nUser: Bye<end_of_utterance>\nAssistant:"
    )


def test_white_space_may_change() -> None:
    falcon = "User: {{ messages[0]['content'].replace('\r\n', '\n').replace('\n\n', '\n') }}"
    assert said(falcon, [Message("user", "one\n\ntwo")]).text == "User: one\ntwo"


def test_parts_of_the_user_alone() -> None:
    mixed = "{% for m in messages %}{{ m.content[0].text if m.role == 'user' else m.content | trim }};{% endfor %}"
    assert said(mixed, TALK).text == "Be brief.;Hi there;Hello!;Bye;"


def test_what_a_template_does_not_refuse_is_as_it_always_was() -> None:
    for template in (QWEN3, SMOLLM3):
        assert said(template, ASKED) == Spoken(render(template, ASKED, begin="<s>", end="</s>"), False)


def test_reasoning_may_be_cut_from_an_answer_and_switches_from_a_message() -> None:
    thought = [USER, Message("assistant", "<think>\nHm, hello.\n</think>\n\nHello!"), Message("user", "Bye")]
    assert "Hm" not in said(QWEN3, thought).text and "Hello!" in said(QWEN3, thought).text
    assert said(SMOLLM3, [Message("system", "Be brief. /no_think"), USER]).text == "/no_think|Be brief.|Hi there"


LOST = {
    "the answer": ("{% for m in messages %}{% if m.role != 'assistant' %}{{ m.content }}{% endif %}{% endfor %}", TALK),
    "history": ("{{ messages[-1].content }}", TALK),
    "a short message that stands in the template": ("user: {{ messages[0].role }}", [Message("user", "user")]),
    "the end of a message": ("{{ messages[0].content[:1000] }}", [Message("user", "long " * 500)]),
    "the list as it is printed": ("{{ messages[0].content if messages[0].content is not string }}", [USER]),
    "a system message with no message behind it": (VICUNA, ASKED[:1]),
}


@pytest.mark.parametrize("case", LOST)
def test_what_is_lost_is_refused(case: str) -> None:
    with pytest.raises(NotSaid, match=r"^the model's chat template leaves out (the|an earlier) [a-z ]+$") as caught:
        said(*LOST[case])
    assert caught.value.exit_code == 2


def test_what_is_lost_is_named() -> None:
    for shown, name in (("1", "the system message"), ("0", "an earlier message"), ("013", "an earlier answer")):
        template = "".join(f"{{{{ messages[{i}].content }}}}" for i in shown)
        with pytest.raises(NotSaid, match=f"leaves out {name}$"):
            said(template, TALK)
    with pytest.raises(NotSaid, match=r"leaves out the message$"):
        said("{% for m in messages[:-1] %}{{ m.content }}{% endfor %}", TALK)


def test_the_refusal_of_the_plain_form_is_the_one_that_is_told() -> None:
    with pytest.raises(TemplateRefused, match="must alternate"):
        said(GEMMA, [USER, USER])
    with pytest.raises(IntegrityError, match="ZeroDivisionError"):
        said("{{ 1 / 0 }}", ASKED)


def test_a_long_message_has_room() -> None:
    text = "word" * 1_500_000
    assert said("{{ messages[0].content }}!", [Message("user", text)]).text == f"{text}!"


def test_the_switch_for_thinking() -> None:
    on, off, plain = (said(QWEN3, ASKED, think).text for think in (True, False, None))
    assert on == plain and off == on + "<think>\n\n</think>\n\n"
    granite = "{{ messages[0].content }}{% if thinking %}Think!{% endif %}"
    assert said(granite, [USER], True).text == "Hi thereThink!" != said(granite, [USER], False).text
    with pytest.raises(NoThinking, match="has no switch for thinking"):
        said(VICUNA, [USER], True)


CONVERSATIONS = ("u", "su", "suau")
SCRAPS = ["word", "  two", "tail \n", "\n\nline", '"quoted"', "é歪", "{{ x }}", "<u>", "a", "it's", "{% if %}", "&"]


def conversation(shape: str, draw: random.Random) -> list[Message]:
    roles = {"s": "system", "u": "user", "a": "assistant"}
    return [
        Message(roles[letter], "seven letters " + "".join(draw.choices(SCRAPS, k=draw.randint(1, 4))) + str(i))
        for i, letter in enumerate(shape)
    ]


def kept(text: str, content: str) -> bool:
    return content.strip() in text or json.dumps(content, ensure_ascii=False)[1:-1] in text


def holds(template: Made, messages: Sequence[Message], folded: bool) -> bool:
    """What the builder knows: whether every message reaches the model with the system message where it is, or folded
    into the first message of the user."""
    roles = {message.role for message in messages} - ({"system"} if folded else set())
    lost = template.loses | ({"system"} if template.folds else set())
    return not lost & roles and not (template.only_last and len(messages) - folded > 1)


def told(template: Made, messages: Sequence[Message]) -> bool:
    """Whether it was said, and then it was whole."""
    try:
        spoken = said(template.text, messages)
    except UsageError:
        return False
    assert all(kept(spoken.text, message.content) for message in messages), (template, messages, spoken)
    assert spoken.folded == (not holds(template, messages, False)), (template, messages, spoken)
    return True


@pytest.mark.parametrize("seeds", [range(10), pytest.param(range(10, 200), marks=pytest.mark.slow)], ids=["few", "all"])
def test_generated_templates_say_everything_or_are_refused(seeds: range) -> None:
    said_or_not = {True: 0, False: 0}
    for seed in seeds:
        template, draw = made(seed), random.Random(seed)
        for shape in CONVERSATIONS:
            messages = conversation(shape, draw)
            found = told(template, messages)
            system = messages[0].role == "system"
            sayable = holds(template, messages, False) or (system and holds(template, messages, True))
            assert found == sayable, (template, messages)
            said_or_not[found] += 1
    assert min(said_or_not.values()) * 20 > sum(said_or_not.values()), "both happen"
