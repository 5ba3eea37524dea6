"""Quality: what counts as right, and what a model's program may not do."""

import socket
import time
from pathlib import Path

import pytest

from speccas.core.bench import sandbox
from speccas.core.bench.sandbox import network_is_cut, passes, run
from speccas.core.bench.scoring import SCORERS, bleu, match, numeric, pass_at_1, program, rouge, scorer_of
from speccas.core.bench.suites import Item, read_item
from tests.builders.processes import alive

SUM = Item("s", "code", "Write `add`.", test="assert add(2, 3) == 5", entry_point="add")


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("3 + 4 makes 7, and so she has 1,234 apples.", True),
        ("#### 1234\nI hope that 7 helps", True),
        ("The cost is $1,234.00", True),
        ("1234 at first, then 5", False),
        ("no number", False),
        ("", False),
        ("-1234", False),
    ],
)
def test_numeric_is_the_number_behind_the_hashes_or_the_last(text: str, right: bool) -> None:
    item = Item("g", "maths", "How many?", ("12 * 100 + 34 = <<1234>>1234\n#### 1,234",))
    assert numeric(item, text) == right


def test_match_wants_whole_words() -> None:
    item = Item("f", "facts", "?", ("New Zealand", "six"))
    assert match(item, "It is new zealand!") == 1
    assert match(item, "Sixty") == 0
    assert match(item, "six.") == 1


def test_bleu_and_rouge_rank_texts() -> None:
    item = Item("t", "translation", "?", reference="Le chat dort sur le lit.")
    for score in (bleu, rouge):
        assert score(item, "Le chat dort sur le lit.") == pytest.approx(1.0)
        assert 0 < score(item, "Le chat dort dehors.") < 1
        assert score(item, "") == 0


def test_what_scores_an_item() -> None:
    assert scorer_of(SUM, allow_code=False) is None
    assert scorer_of(SUM, allow_code=True) is SCORERS["pass@1"]
    assert scorer_of(Item("a", "g", "?", ("#### 12",)), False) is SCORERS["numeric"]
    assert scorer_of(Item("a", "g", "?", ("Paris",)), False) is SCORERS["match"]
    assert scorer_of(Item("a", "g", "?", reference="text"), False) is SCORERS["rouge"]
    assert scorer_of(Item("a", "g", "?"), False) is None


def test_programs_pass_or_fail() -> None:
    assert pass_at_1(SUM, "Here:\n```python\ndef add(a, b):\n    return a + b\n```\nDone.") == 1
    assert pass_at_1(SUM, "```python\ndef add(a, b):\n    return a - b\n```") == 0
    assert pass_at_1(SUM, "```python\ndef add(a, b):\n    return") == 0
    assert pass_at_1(SUM, "I cannot.") == 0


HUMAN = {
    "task_id": "HumanEval/x",
    "prompt": 'import math\n\n\ndef half(n):\n    """ Half of n, rounded up. """\n',
    "entry_point": "half",
    "test": "def check(candidate):\n    assert candidate(3) == 2\n",
}


def test_humaneval_answers_as_a_block_or_as_a_completion() -> None:
    item = read_item(HUMAN, "1", raw=False)
    assert pass_at_1(item, "```python\ndef half(n):\n    return math.ceil(n / 2)\n```") == 1
    assert pass_at_1(item, "```python\ndef half(n):\n    return n\n```") == 0
    completion = read_item(HUMAN, "1", raw=True)
    assert completion.prompt == HUMAN["prompt"]
    assert pass_at_1(completion, "    return math.ceil(n / 2)\n\nprint(input())\nexit(1)\n") == 1
    assert "exit" not in program(completion, "    return 1\n\nexit(1)\n")


def test_leaving_early_is_no_pass() -> None:
    assert not passes("import sys\nsys.exit(0)")
    assert not passes("import os\nos._exit(0)")
    assert not passes("raise SystemExit")
    assert passes("x = 1")


def test_a_program_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "CPU", 1)
    assert not passes("while True: pass")
    assert not passes("x = bytearray(2 << 30)")
    assert not passes("open('big', 'wb').write(b'x' * (4 << 20))")
    assert passes("import os\nassert not os.environ.get('HOME') and os.getcwd() != " + repr(str(Path.cwd())))
    assert not passes("import numpy")


def test_a_program_reaches_no_network_where_that_can_be_cut() -> None:
    if not network_is_cut():
        pytest.skip("this kernel lets us cut no network off")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert run(f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)") == (False, False)
        with socket.create_connection(("127.0.0.1", port), 2):
            pass  # it was there


@pytest.mark.slow
def test_what_a_program_started_dies_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "told"
    source = f"""
import os, time
if os.fork() == 0:
    open({str(told)!r}, "w").write(str(os.getpid()))
    time.sleep(60)
    os._exit(0)
while not os.path.exists({str(told)!r}):
    time.sleep(0.01)
time.sleep(0.1)
"""
    monkeypatch.setattr(sandbox, "WALL", 2.0)
    assert not passes(source)
    child, deadline = int(told.read_text()), time.monotonic() + 30
    while alive(child) and time.monotonic() < deadline:  # a signal takes its time on a busy machine
        time.sleep(0.05)
    assert not alive(child)
