"""The header: both models, what each one is for, k, temperature and seed, in any width and whatever a trace says."""

from pathlib import Path
from typing import Any

import pytest

from speccas.cli.view.flow import cells
from speccas.cli.view.header import ROLES, header_lines, show_header
from speccas.core.record.trace import read_trace

QWEN = {
    "pair": "qwen",
    "expert": {"file": "Qwen2.5-Coder-1.5B-Instruct-Q4_K_M.gguf", "quant": "Q4_K_M", "parameters": 1_543_714_304},
    "drafter": {"file": "small.gguf", "quant": "Q8_0", "parameters": 494_032_768},
    "k": "auto",
    "temperature": 0.7,
    "seed": 7,
}


def text(facts: Any, width: int = 100) -> list[str]:
    return ["".join(part for part, _ in line) for line in header_lines(facts, width)]


def test_it_names_models_and_settings() -> None:
    assert text(QWEN) == [
        "expert  Qwen2.5-Coder-1.5B-Instruct 1.5B Q4_K_M: decides every word",
        "drafter small 494M Q8_0: writes ahead for the expert",
        "        pair qwen · k auto · temperature 0.7 · seed 7",
    ]
    assert sum(len(ROLES[role].split()) for role in ("expert", "drafter")) == 8


def test_a_chain_is_named_with_its_rule() -> None:
    first = {"file": "tiny.gguf", "quant": "Q8_0", "parameters": 22_400_000}
    told = text({**QWEN, "first": first, "chain_rule": "token:0.5", "chain_k": 2})
    assert told[2] == "first   tiny 22M Q8_0: writes ahead for the drafter"
    assert "k auto · between the drafters token:0.5 · at k 2" in told[3]


def test_a_seed_that_decides_nothing_is_left_out() -> None:
    assert text({**QWEN, "temperature": 0.0})[-1] == "        pair qwen · k auto · temperature 0"
    assert text({**QWEN, "seed": None})[-1].endswith("temperature 0.7")


def test_a_repetition_penalty_is_told_with_what_it_changes() -> None:
    held = {**QWEN, "repeat_penalty": 1.1, "repeat_last_n": 64}
    told = "repetition penalty 1.1 over the last 64 tokens, of both models: p, q and log-prob are of what it leaves"
    assert text(held, 120)[-1] == " " * 8 + told and text(held, 120)[:-1] == text(QWEN, 120)
    assert "over the whole text" in text({**held, "repeat_last_n": -1}, 120)[-1]
    for off in ({"repeat_penalty": 1.0}, {"repeat_last_n": 0}, {"repeat_penalty": "x"}, {"repeat_last_n": None}):
        assert text({**held, **off}, 120) == text(QWEN, 120)


def test_of_a_trace(trace: Path) -> None:
    assert text(read_trace(trace)[0].manifest) == [
        "expert  SmolLM2-135M-Instruct 135M Q4_1: decides every word",
        "drafter tiny-drafter 20M Q8_0: writes ahead for the expert",
        "        pair tiny · k 4 · temperature 0",
    ]


@pytest.mark.parametrize("width", [60, 40, 20, 7])
def test_it_fits_and_says_everything(terminal: Any, width: int) -> None:
    screen = terminal(width, 40)
    show_header(screen.look, QWEN)
    lines = screen.lines()
    assert all(cells(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join("".join(text(QWEN)).split())


@pytest.mark.parametrize(
    "facts",
    [
        {}, {"expert": 3, "drafter": None}, {"expert": {}, "k": [1], "temperature": "hot"},
        {"expert": {"file": "\x1b[2Ja\n/b\u202e.gguf", "quant": 4, "parameters": "many"}, "pair": "\x9b31m"},
        {"expert": {"file": "Q4_0.gguf", "quant": "Q4_0", "parameters": float("nan")}},
    ],
)  # fmt: skip
def test_whatever_a_trace_says(facts: Any) -> None:
    told = "".join(text(facts, 30))
    assert not any(character < " " or "\x7f" <= character <= "\x9f" or character == "\u202e" for character in told)
