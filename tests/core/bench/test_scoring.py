"""Quality: what counts as right, and what a model's program may not do."""

import socket
import time
from fractions import Fraction
from pathlib import Path

import pytest

from speccas.core.bench import sandbox
from speccas.core.bench.numbers import final_number
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


VECTORS = {
    # how an answer is written: what it comes to
    "#### Step 3: add them\nThat makes 42.": "42",
    "#### 1. Count\nThree.\n#### 2. Add\n3 + 4 = 7": "7",
    "#### 18": "18",
    "####18 dollars": "18",
    "#### $18.00.\nI hope that 7 helps": "18",
    "#### **Answer: 18**\nStep 3 was hard.": "18",
    "#### Final answer: -1,234": "-1234",
    "#### 7\n#### Step 2\n#### 9": "9",
    "##### 5 levels, so 6": "6",
    "It is on pages 10-12": "12",
    "Between 5\u20137": "7",
    "It fell from 3 to -12": "-12",
    "so x = \u22125": "-5",
    "That is 10 - 12": "12",
    "a loss of -$5": "-5",
    "a loss of $-5": "-5",
    "she is 12-year-old": "12",
    "1 000": "1000",
    "12 345 678,9 in all": "12345678.9",
    "1\u00a0000": "1000",
    "1\u202f000.5 m": "1000.5",
    "1'000": "1000",
    "1_000": "1000",
    "In 2024 100 came": "100",
    ".5": "0.5",
    "-.5": "-0.5",
    "It costs $.50": "0.5",
    "$1,234.50": "1234.5",
    "1,234,567": "1234567",
    "1,00,000 rupees": "100000",
    "1.000,5": "1000.5",
    "1.000.000": "1000000",
    "1.000": "1",
    "12,50": "12.5",
    "It is 25%.": "25",
    "12.5 %": "12.5",
    "The answer is 18.": "18",
    "The answer is 18. ": "18",
    "**18**": "18",
    "_18_": "18",
    "(18)": "18",
    "18 km": "18",
    "18cm": "18",
    "18 cm^2": "18",
    "18 cm\u00b2": "18",
    "18 \\text{ cm}^{2}": "18",
    "18 litres of CO2": "18",
    "x_1 is 18, x_2 is 18": "18",
    "USD18": "18",
    "3/4": "0.75",
    "1 1/2": "1.5",
    "-3/4 of it": "-0.75",
    "on 3/4/2024": "2024",
    "12/4 = 3": "3",
    "1/0": None,
    "\u00bd": "0.5",
    "2\u00bd": "2.5",
    "\\boxed{18}, as step 3 says": "18",
    "$\\boxed{\\frac{3}{4}}$": "0.75",
    "\\boxed{1\\tfrac12}": "1.5",
    "\\boxed{-\\dfrac{3}{4}}": "-0.75",
    "\\boxed{\\$1{,}234\\text{ dollars}}": "1234",
    "\\boxed{10\\,000}": "10000",
    "\\boxed{x = 5} and 6": "5",
    "\\boxed{": None,
    "18\\%": "18",
    "1.5e3": "1500",
    "2^10": "1024",
    "10^{-3} m": "0.001",
    "3^2 + 4^2 = 25": "25",
    "0^3": "0",
    "3 \u00d7 10^5": "300000",
    "3 \\times 10^{-2}": "0.03",
    "1e999999999": None,
    "The total is 18:\n1. Three\n2. Fifteen": "18",
    "1. Three and 15 make 18": "18",
    "18.": "18",
    "3. Then add": "3",
    "nothing": None,
    "": None,
    "1" * 5000: None,
    "1e" + "9" * 5000: None,
}


@pytest.mark.parametrize("text", VECTORS, ids=lambda text: text[:40])
def test_numbers_as_people_and_models_write_them(text: str) -> None:
    wanted = VECTORS[text]
    found = final_number(text)
    assert found == (None if wanted is None else Fraction(wanted))
    if wanted is not None:
        assert numeric(Item("g", "maths", "How many?", (f"#### {wanted}",)), text) == 1
        assert numeric(Item("g", "maths", "How many?", (text,)), f"So it is {wanted}") == 1
        assert numeric(Item("g", "maths", "How many?", ("#### 987654",)), text) == 0


@pytest.mark.parametrize(
    ("answer", "scorer"),
    [
        ("#### 12", "numeric"),
        ("2 + 10 = 12\n#### 12", "numeric"),
        ("$1,234.50", "numeric"),
        ("12%", "numeric"),
        ("5 km", "numeric"),
        ("-.5", "numeric"),
        ("\\boxed{3}", "numeric"),
        ("Apollo 11", "match"),
        ("10 Downing Street", "match"),
        ("Paris", "match"),
    ],
)
def test_an_answer_is_a_number_where_it_is_nothing_else(answer: str, scorer: str) -> None:
    assert scorer_of(Item("a", "g", "?", (answer,)), False) is SCORERS[scorer]


def test_one_of_several_numbers_is_enough() -> None:
    assert numeric(Item("a", "g", "?", ("12", "dozen", "24")), "It is 24.") == 1


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
