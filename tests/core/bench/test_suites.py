"""Suites: ours, the formats of others, and files that are none."""

import gzip
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from speccas.core.bench.scoring import SCORERS, pass_at_1, scorer_of
from speccas.core.bench.suites import HOSTED, MAX_BYTES, json_lines, load_suite, parse, spread
from speccas.core.errors import IntegrityError, SpeccasError, Unavailable, UsageError


def test_the_builtin_suite_has_six_groups_of_eight() -> None:
    suite = load_suite("builtin")
    groups = Counter(item.group for item in suite.items)
    assert set(groups) == {"chat", "code", "maths", "summarising", "translation", "facts"}
    assert set(groups.values()) == {8}
    assert len({item.id for item in suite.items}) == len({item.prompt for item in suite.items}) == 48
    scored = {item.group: scorer_of(item, True) for item in suite.items}
    assert scored == {
        "chat": None,
        "code": SCORERS["pass@1"],
        "maths": SCORERS["numeric"],
        "summarising": SCORERS["rouge"],
        "translation": SCORERS["bleu"],
        "facts": SCORERS["match"],
    }


SOLUTIONS = {
    "is_palindrome": "t = [c for c in text.lower() if c.isalnum()]\n    return t == t[::-1]",
    "count_vowels": "return sum(c in 'aeiou' for c in text.lower())",
    "flatten": "return [x for y in items for x in y]",
    "fibonacci": "a = [0, 1]\n    while len(a) < n: a.append(a[-1] + a[-2])\n    return a[:n]",
    "word_counts": "w = text.lower().split()\n    return {x: w.count(x) for x in w}",
    "is_prime": "return n > 1 and all(n % i for i in range(2, n))",
    "second_largest": "s = sorted(set(numbers))\n    return s[-2] if len(s) > 1 else None",
    "to_roman": "out = ''\n    for v, s in ((1000,'M'),(900,'CM'),(500,'D'),(400,'CD'),(100,'C'),(90,'XC'),(50,'L'),"
    "(40,'XL'),"
    "(10,'X'),(9,'IX'),(5,'V'),(4,'IV'),(1,'I')):\n        while n >= v:\n            out += s; n -= v\n    return out",
}


def test_every_builtin_program_can_be_written() -> None:
    items = [item for item in load_suite("builtin").items if item.test]
    assert {item.entry_point for item in items} == set(SOLUTIONS)
    for item in items:
        signature = re.findall(rf"`({item.entry_point}\([^)]*\))`", item.prompt)[0]
        assert pass_at_1(item, f"```python\ndef {signature}:\n    {SOLUTIONS[item.entry_point]}\n```") == 1, item.id
        assert pass_at_1(item, f"```python\ndef {signature}:\n    return None\n```") == 0, item.id


EDITS: dict[str, tuple[tuple[str, str], ...]] = {
    "edit-1": ((" x", " total"),),
    "edit-2": (("    best = words[0]", "    if not words:\n        return None\n    best = words[0]"),),
    "edit-3": (("(width, height):", "(width: int, height: int) -> int:"),),
    "edit-4": (("Stack", "Pile"), ("add(", "push(")),
    "edit-5": (("(fahrenheit):", '(fahrenheit):\n    """In degrees Celsius."""'),),
    "edit-6": (('"%s (%d)" % (name, count)', 'f"{name} ({count})"'),),
    "edit-7": (("text.find(word", "text.lower().find(word.lower()"),),
    "edit-8": (("- i - 2", "- i - 1"),),
    "edit-9": (("colour", "color"),),
    "edit-10": (
        ("ranking(results)", "ranking(results, reverse=False)"),
        ("table[team])", "table[team], reverse=reverse)"),
    ),
    "edit-11": ((", ", ",\n     "),),
    "edit-12": (("    ", "  "),),
}


def test_every_edit_of_the_copying_suite_can_be_made() -> None:
    suite = load_suite("copying")
    edits = [item for item in suite.items if item.test]
    assert [item.id for item in edits] == list(EDITS) and len(suite.items) == 24
    for item in edits:
        before = item.prompt.split("```")[1].removeprefix("python\n")
        after = before
        for old, new in EDITS[item.id]:
            assert old in after, item.id
            after = after.replace(old, new)
        assert item.code == "" and "Complete this" not in item.prompt
        assert pass_at_1(item, f"```python\n{after}```") == 1, item.id
        assert pass_at_1(item, "```python\npass\n```") == 0, item.id
    assert all(item.reference for item in suite.items if not item.test)


def test_the_languages_suite_has_six_groups_of_four() -> None:
    suite = load_suite("languages")
    groups = {item.group: [each for each in suite.items if each.group == item.group] for item in suite.items}
    assert {name: len(items) for name, items in groups.items()} == dict.fromkeys(
        ("german", "french", "spanish", "russian", "chinese", "japanese"), 4
    )


def test_gsm8k_humaneval_and_spec_bench_as_they_are() -> None:
    lines: list[dict[str, Any]] = [
        {"question": "How many?", "answer": "2 + 2 = 4\n#### 4"},
        {
            "task_id": "HumanEval/0",
            "prompt": "def f(x):\n    ''' one '''\n",
            "entry_point": "f",
            "test": "def check(c): 1",
        },
        {"question_id": 81, "category": "writing", "turns": ["First?", "Then?"], "reference": ["An answer", "b"]},
    ]
    suite = parse("mixed", json_lines(lines))
    number, code, talk = suite.items
    assert (number.id, number.group, number.answer) == ("1", "all", ("2 + 2 = 4\n#### 4",))
    assert code.code == lines[1]["prompt"] and "Complete this Python function" in code.prompt
    assert (talk.id, talk.group, talk.prompt, talk.reference) == ("81", "writing", "First?", "An answer")
    assert suite.later_turns == 1


@pytest.mark.parametrize("odd", ["\u2028", "\u2029", "\u0085"])
def test_only_a_line_feed_ends_a_line(odd: str) -> None:
    """JSON lets these stand in a text; Python's splitlines breaks there."""
    data = json.dumps({"prompt": f"one{odd}two"}, ensure_ascii=False).encode() + b"\r\n"
    assert [item.prompt for item in parse("x", data + data).items] == [f"one{odd}two"] * 2


def test_a_gzipped_file_is_read_as_humaneval_publishes_it(tmp_path: Path) -> None:
    line = b'{"task_id": "HumanEval/0", "prompt": "def f(x):\\n", "entry_point": "f", "test": "def check(c): 1"}\n'
    (tmp_path / "HumanEval.jsonl.gz").write_bytes(gzip.compress(line))
    (tmp_path / "HumanEval.jsonl").write_bytes(line)
    packed, plain = (load_suite(str(tmp_path / name)) for name in ("HumanEval.jsonl.gz", "HumanEval.jsonl"))
    assert packed.items == plain.items and packed.sha256 == plain.sha256
    for name, data in (("cut.gz", gzip.compress(line * 99)[:-9]), ("no.gz", b"\x1f\x8b no")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(IntegrityError, match=name):
            load_suite(str(tmp_path / name))
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(MAX_BYTES + 1)))
    with pytest.raises(UsageError, match="MiB"):
        load_suite(str(tmp_path / "bomb.gz"))


@pytest.mark.parametrize("name", ["gsm8k-train-100.jsonl", "humaneval-even.jsonl"])
def test_real_files(name: str) -> None:
    file = Path("/work/shared/data") / name
    if not file.is_file():
        pytest.skip(f"no {file}")
    suite = load_suite(str(file))
    scorers = {scorer_of(item, True) for item in suite.items}
    assert scorers == {SCORERS["numeric" if name.startswith("gsm8k") else "pass@1"]}
    if name.startswith("humaneval"):
        for line, item in zip(file.read_text().splitlines()[:3], suite.items, strict=False):
            entry = json.loads(line)
            answer = f"```python\n{entry['prompt']}{entry['canonical_solution']}\n```"
            assert pass_at_1(item, answer) == 1
            assert pass_at_1(item, answer.replace("return", "return not")) == 0


def test_limit_takes_the_groups_in_turn() -> None:
    chosen = spread(load_suite("builtin").items, 12)
    assert Counter(item.group for item in chosen) == dict.fromkeys(dict.fromkeys(i.group for i in chosen), 2)
    assert len(spread(load_suite("builtin").items, None)) == 48


def test_equal_ids_are_told_apart() -> None:
    suite = parse("x", b'{"id": 1, "prompt": "a"}\n{"id": 1, "prompt": "b"}\n{"id": "1 (2)", "prompt": "c"}\n')
    assert len({item.id for item in suite.items}) == 3


@pytest.mark.parametrize(
    "line",
    [
        b"[]",
        b"7",
        b'{"prompt": ""}',
        b'{"prompt": 5}',
        b'{"turns": []}',
        b'{"text": "x"}',
        b"not json",
        b'{"prompt": "a", "scorer": "magic"}',
        b'{"prompt": "a", "scorer": "bleu"}',
        b'{"prompt": "a", "scorer": "numeric"}',
        b"[" * 100_000,
    ],
)
def test_a_line_that_is_no_prompt_is_named(line: bytes) -> None:
    with pytest.raises(IntegrityError, match="line 2"):
        parse("x.jsonl", b'{"prompt": "fine"}\n' + line + b"\n")


def test_no_file_no_prompt_no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        load_suite(str(tmp_path / "none.jsonl"))
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    with pytest.raises(UsageError, match="no prompt"):
        load_suite(str(empty))
    with pytest.raises(UsageError):
        load_suite(str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    for name in HOSTED:
        with pytest.raises(Unavailable) as told:
            load_suite(name)
        assert "give the file" in told.value.hint
        assert isinstance(told.value, SpeccasError) and told.value.exit_code == 3
