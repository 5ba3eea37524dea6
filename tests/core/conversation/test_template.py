"""Chat templates: what the models' own ones render, and that a stranger's can neither reach out nor hold on."""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from speccas.core.conversation import template
from speccas.core.conversation.template import Message, fingerprint, render
from speccas.core.errors import IntegrityError, SpeccasError, TemplateBroken, UsageError
from speccas.core.headers.gguf import read_header
from speccas.core.runtime.pair import Pair
from tests.builders.models import QWEN_EXPERT

HELLO = [Message("user", "hello")]
TALK = [Message("user", "Hi"), Message("assistant", "Hello!"), Message("user", "Bye")]
TURNS = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello!<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n"
OPEN = "<|im_start|>assistant\n"


def rendered(text: str, messages: Sequence[Message] = HELLO) -> str:
    return render(text, messages, begin="<s>", end="</s>")


@pytest.mark.tiny
def test_the_template_of_smollm2(tiny: Pair) -> None:
    who = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
    assert rendered(tiny.template, TALK) == f"<|im_start|>system\n{who}<|im_end|>\n{TURNS}{OPEN}"
    asked = [Message("system", "Be brief."), *TALK]
    assert rendered(tiny.template, asked) == f"<|im_start|>system\nBe brief.<|im_end|>\n{TURNS}{OPEN}"
    assert render(tiny.template, asked, begin="", end="", generate=False).endswith("Bye<|im_end|>\n")


@pytest.mark.real
def test_the_template_of_qwen() -> None:
    if not QWEN_EXPERT.is_file():
        pytest.skip("get-pair was not run on this machine")
    text = read_header(QWEN_EXPERT).get("tokenizer.chat_template", str, "")
    who = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
    assert rendered(text, TALK) == f"<|im_start|>system\n{who}<|im_end|>\n{TURNS}{OPEN}"
    asked = [Message("system", "Be brief."), *TALK]
    assert rendered(text, asked) == f"<|im_start|>system\nBe brief.<|im_end|>\n{TURNS}{OPEN}"


SOUND = {
    "the two texts": ("{{ bos_token }}|{{ eos_token }}", "<s>|</s>"),
    "the generation tag": ("{% generation %}{{ messages[0].content }}{% endgeneration %}!", "hello!"),
    "break": ("{% for i in range(5) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}", "01"),
    "trimmed blocks": ("a\n  {% if true %}\nb\n  {% endif %}\nc", "a\nb\nc"),
    "no tools": ("{{ tools is none }} {{ documents is none }} {{ custom is defined }}", "True True False"),
    "tojson": ("{{ messages | tojson }}", '[{"role": "user", "content": "hello"}]'),
    "tojson of letters": ("{{ 'é<' | tojson }}", '"é<"'),
    "generate": ("{% if add_generation_prompt %}yes{% endif %}", "yes"),
    "namespace": ("{% set n = namespace(x=1) %}{% set n.x = 2 %}{{ n.x }}", "2"),
    "nothing": ("", ""),
}


@pytest.mark.parametrize("case", SOUND)
def test_what_templates_use(case: str) -> None:
    text, wanted = SOUND[case]
    assert rendered(text) == wanted


def test_the_date() -> None:
    assert len(rendered("{{ strftime_now('%Y-%m-%d') }}")) == 10


CANARY = "speccas-canary"
HOSTILE = {
    "globals": "{{ cycler.__init__.__globals__.os.system('touch CANARY') }}",
    "lipsum": "{{ lipsum.__globals__['os'].popen('touch CANARY').read() }}",
    "subclasses": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "self": "{{ self.__init__.__globals__ }}",
    "namespace": "{{ namespace.__init__.__globals__ }}",
    "include": "{% include '/etc/passwd' %}",
    "import": "{% import '/etc/passwd' as x %}",
    "a changed list": "{{ messages.append(1) }}",
    "a changed message": "{% set x = messages[0].update({'content': 'x'}) %}",
    "a gigabyte": "{{ 'a' * 10**9 }}",
    "a gigabyte unseen": "{{ ('a' * 10**9) | length }}",
    "nested loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "a long range": "{% for i in range(9999999999) %}x{% endfor %}",
    "a macro in itself": "{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}",
    "brackets": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "blocks": "{% if 1 %}" * 2000 + "x" + "{% endif %}" * 2000,
    "a sum": "{{ " + "1+" * 20_000 + "1 }}",
    "a power": "{{ 9 ** (9 ** 9) }}",
    "digits": "{{ (2 ** 200000) | string }}",
    "output": "{% for i in range(5000) %}{{ 'x' * 1000 }}{% endfor %}",
    "output in bytes": "{% for i in range(3000) %}{{ '歪' * 1000 }}{% endfor %}",
    "a syntax error": "{% if %}",
    "an unknown tag": "{% trans %}x{% endtrans %}",
    "an unknown filter": "{{ 1 | nonsense }}",
    "a missing value": "{{ nothing.at.all }}",
    "a division": "{{ 1 / 0 }}",
    "two types": "{{ 1 + 'a' }}",
    "a strange date": "{{ strftime_now(1) }}",
    "half a character": "{{ strftime_now('\\udc80%') }}",
}


@pytest.mark.slow
@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_or_broken_template_is_one_clear_error(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(IntegrityError) as refused:
        rendered(HOSTILE[case].replace("CANARY", CANARY))
    assert refused.value.message.startswith("the model's chat template cannot be rendered: ")
    assert (
        len(refused.value.message) < 600 and refused.value.exit_code == 5 and isinstance(refused.value, TemplateBroken)
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''|attr('__class__') }}",
        "{{ '{0.__class__}'.format(1) }}",
        "{{ '{a.__class__}'.format_map({'a': 1}) }}",
        "{{ ''['__class__'] }}",
        "{{ raise_exception.__globals__ }}",
        "{{ strftime_now.__globals__ }}",
    ],
)
def test_what_is_unsafe_is_not_there(text: str) -> None:
    assert rendered(text) == ""


def test_a_template_refuses_in_its_own_words() -> None:
    text = "{{ raise_exception('Roles must alternate, and ' ~ messages[0].role ~ ' does not.') }}"
    with pytest.raises(UsageError, match=r"refuses this conversation: Roles must alternate, and user does not\.$"):
        rendered(text)
    with pytest.raises(UsageError) as refused:
        rendered("{{ raise_exception('no! ' * 10**6) }}")
    assert len(refused.value.message) < 600


def test_the_longest_output_is_whole_and_one_more_byte_is_none() -> None:
    assert len(rendered("{% for i in range(4096) %}{{ 'x' * 1024 }}{% endfor %}")) == template.OUTPUT
    with pytest.raises(IntegrityError, match="too long"):
        rendered("{% for i in range(4096) %}{{ 'x' * 1024 }}{% endfor %}y")


@pytest.mark.skipif(sys.platform != "linux", reason="the limit needs /proc")
def test_memory_is_limited() -> None:
    """In a process of its own: the largest child of this one may be another test's."""
    code = (
        "import resource\nfrom speccas.core.conversation.template import Message, render\n"
        "try:\n    render(\"{{ ('a' * 10**9) | length }}\", [Message('user', 'x')], begin='', end='')\n"
        "except Exception as error:\n    print(type(error).__name__)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    name, kib = told.stdout.split()
    assert name == "TemplateBroken" and int(kib) < 300 << 10


def test_rendering_leaves_no_process_and_no_alarm_behind() -> None:
    for text in ("x", "{{ 1 / 0 }}", "{{ 'a' * 10**9 }}", "{{ raise_exception('no') }}"):
        with contextlib.suppress(SpeccasError):
            rendered(text)
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.getrlimit(resource.RLIMIT_AS)[1] == -1


def test_rendering_beside_other_threads() -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(rendered("{{ messages[0].content }}"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == ["hello"] * 8


def test_fingerprint() -> None:
    assert fingerprint("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert fingerprint("a") != fingerprint("b") and len(fingerprint("é")) == 64
