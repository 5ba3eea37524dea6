"""In a chat, too, what is given reaches the model or is refused: system messages, and the switch for thinking."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.builders.models import TINY
from tests.builders.rehead import reheaded

pytestmark = [pytest.mark.slow, pytest.mark.tiny]
THINKING = (
    "{% for m in messages if m.role != 'system' %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n{{ enable_thinking }}"
)
SHORT = ("-n", "4", "--temperature", "0")


def test_what_a_template_has_no_place_or_switch_for(start: Callable[..., Any], tmp_path: Path) -> None:
    file = reheaded(TINY, tmp_path / "thinking.gguf", {"tokenizer.chat_template": THINKING})
    talk = start("--drafter", str(TINY), "--expert", str(file), *SHORT)
    assert "no place for a system message: it stands at the head" in talk.say("/system Be brief.")
    assert "think off" in talk.say("/think off")
    assert "think 'maybe' is unknown" in talk.say("/think maybe")
    assert "think off chat" in " ".join(talk.say("/set").split())
    assert "has no switch for thinking" in talk.say("/pair tiny") and "+ thinking" in talk.say("/pair")
    assert "think auto" in talk.say("/think auto") and "pair tiny" in talk.say("/pair tiny")
    assert "has no switch for thinking" in talk.say("/think on") and "think auto" in talk.say("/think")
    assert talk.leave() == 0


def test_a_system_message_without_a_template(start: Callable[..., Any], tmp_path: Path) -> None:
    saved = tmp_path / "saved.json"
    document = {"schema": 1, "type": "speccas-session", "system": "Be brief.", "turns": [], "vocabulary": ""}
    saved.write_text(json.dumps(document))
    talk = start("--raw", *SHORT)
    for command in ("/system Be brief.", f"/load {saved}"):
        assert "no place for a system message without a chat template" in talk.say(command)
    assert talk.leave() == 0
    talk = start("--load", str(saved), "--system", "Be kind.", *SHORT)
    assert "system: Be kind." in talk.say("/context")
    assert talk.leave() == 0
