"""What is given on the command line reaches the model, or one line says why not: files with other chat templates.

The tiny drafter drafts for itself, its header changed. What a template makes of what was said is tested in
tests/core/conversation/test_said.py and tests/core/runtime/test_prompt.py.
"""

import json
import subprocess
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest

from speccas.cli.notes import empty_notes
from speccas.core.record.metrics import Figures
from tests.builders.models import TINY
from tests.builders.rehead import reheaded

Run = Callable[..., "subprocess.CompletedProcess[str]"]
LOOP = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
TEMPLATES = {
    "none": None,
    "thinking": LOOP.replace("messages", "messages if m.role != 'system'") + "{{ enable_thinking }}",
    "deaf": LOOP.replace("m.content", "m.role"),
}
ASK = "Name three primary colours."
SHORT = ("-n", "4", "-k", "2")
Files = Callable[[str], tuple[str, ...]]


@pytest.fixture
def pair(tmp_path: Path) -> Files:
    """Flags of a pair by its expert's template."""

    def flags(name: str) -> tuple[str, ...]:
        expert = reheaded(TINY, tmp_path / f"{name}.gguf", {"tokenizer.chat_template": TEMPLATES[name]})
        return "--drafter", str(TINY), "--expert", str(expert)

    return flags


def refused(done: "subprocess.CompletedProcess[str]", *words: str) -> None:
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    error, hint = done.stderr.splitlines()
    assert error.startswith("error: ") and hint.startswith("hint: ")
    for word in words:
        assert word in done.stderr


def test_no_chat_template_is_said(speccas: Run, pair: Files) -> None:
    done = speccas("run", ASK, *pair("none"), *SHORT)
    assert done.returncode == 0 and done.stdout.strip()
    assert done.stderr == "note: none.gguf has no chat template: the prompt is sent as it is\n"


@pytest.mark.slow
@pytest.mark.parametrize("command", [("compare", ASK), ("chat", "-p", ASK), ("run", ASK, "-q")])
def test_it_is_said_once_and_not_where_nobody_wants_notes(speccas: Run, pair: Files, command: tuple[str, ...]) -> None:
    done = speccas(*command, *pair("none"), *SHORT)
    assert done.returncode == 0 and done.stderr.count("has no chat template") == (0 if "-q" in command else 1)


def test_check_says_that_there_is_no_chat_template(speccas: Run, pair: Files) -> None:
    _, drafter, _, expert = pair("none")
    told = speccas("check", drafter, expert).stdout
    assert "note: no chat template in the expert's file: a prompt is sent as it is" in told
    assert "own template" not in told


@pytest.mark.slow
def test_check_and_show_say_it_in_every_form(speccas: Run, pair: Files) -> None:
    expert = pair("none")[3]
    assert json.loads(speccas("check", expert, expert, "--json").stdout)["chat_template"] is False
    assert "template: no chat template" in speccas("check", expert, expert).stdout
    assert "template    no chat template" in speccas("show", expert).stdout


def test_a_message_that_does_not_reach_the_model_is_refused(speccas: Run, pair: Files) -> None:
    refused(speccas("run", ASK, *pair("deaf")), "the model's chat template leaves out the message", "--raw")


REFUSED = {
    "a system message": (("--raw", "--system", "Be brief."), {}, "--system does not go with --raw", "--system ''"),
    "one of the environment": (
        ("--raw",), {"SPECCAS_SYSTEM": "x"}, "system (from the environment) does not go with --raw", "--system ''",
    ),
    "thinking": (("--raw", "--think", "off"), {}, "--think does not go with --raw", "--think auto"),
    "half a switch": (("--think", "maybe"), {}, "--think 'maybe' is unknown", "one of auto, on, off"),
    "no switch": (("--think", "off"), {}, "the model's chat template has no switch for thinking", "leave out --think"),
    "two pairs": (
        ("--pair", "tiny", "--drafter", "a", "--expert", "b"), {}, "the flag gives a pair and files of another", "",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.tiny
@pytest.mark.parametrize("case", REFUSED)
def test_what_no_model_would_hear_is_refused(speccas: Run, case: str) -> None:
    flags, environment, *words = REFUSED[case]
    refused(speccas("run", ASK, *flags, env=environment), *words)


@pytest.mark.slow
def test_a_folded_system_message_and_the_switch_for_thinking(speccas: Run, pair: Files) -> None:
    flags = (*pair("thinking"), *SHORT)
    folded = speccas("run", ASK, *flags, "--system", "Be brief.", "--think", "on")
    assert folded.stderr == (
        "note: the chat template has no place for a system message: it stands at the head of the first message\n"
    )
    plain = speccas("run", f"Be brief.\n\n{ASK}", *flags, "--json", env={"SPECCAS_THINK": "on"})
    document = json.loads(plain.stdout)
    assert document["manifest"]["think"] == "on" and plain.stderr == ""
    assert folded.stdout == document["arms"][0]["text"] + "\n"


@pytest.mark.slow
def test_a_chat_can_be_told_whether_to_think(speccas: Run, pair: Files, tmp_path: Path) -> None:
    flags = (*pair("thinking"), *SHORT, "--temperature", "0")
    on, off = (speccas("chat", "-p", ASK, *flags, "--think", think).stdout for think in ("on", "off"))
    assert on and off and on != off


def test_an_empty_answer_is_said(speccas: Run, pair: Files) -> None:
    first = speccas("run", ASK, *pair("thinking"), "-n", "1").stdout.strip()
    done = speccas("run", ASK, *pair("thinking"), *SHORT, "--stop", first)
    assert (done.returncode, done.stdout) == (0, "\n")
    assert done.stderr == "note: the answer is empty: the stop text came first\n"


def test_why_an_answer_is_empty() -> None:
    nothing = dict.fromkeys((each.name for each in fields(Figures)), None)
    empty = replace(Figures(**nothing), name="exact", text=" ", finish="end")  # type: ignore[arg-type]
    assert empty_notes([empty]) == ["the answer is empty: the model wrote nothing but its end"]
    arms = [empty, replace(empty, name="token"), replace(empty, name="expert", text="Hi")]
    assert empty_notes(arms) == ["the answer of exact, token is empty: the model wrote nothing but its end"]
    assert empty_notes([replace(empty, finish="length")]) == ["the answer is empty: it holds white space only"]
    assert empty_notes([replace(empty, finish="interrupted")]) == []
