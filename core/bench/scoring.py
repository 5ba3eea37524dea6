"""How good an answer is, where that can be checked.

Each scorer gives 0 to 1 for one answer. `numeric`, `match` and `pass@1` are right or wrong; `bleu` (sacrebleu) and
`rouge` (rouge-score, ROUGE-L) compare with a reference. None: not measured.
"""

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .numbers import final_number, is_number
from .sandbox import passes
from .suites import Item

BLOCK = re.compile(r"```[^\n]*\n(.*?)(?:```|\Z)", re.DOTALL)
MARGIN = 0.05
"""A loss up to this is called small: 5 points of a score of 0 to 100."""
LOG_PROB_MARGIN = 0.05
"""The same for the expert's log-probability, nats a token."""


@dataclass(frozen=True, slots=True)
class Scorer:
    """One way to score. `decides`: an answer is right or wrong, so McNemar's test applies."""

    name: str
    decides: bool
    score: Callable[[Item, str], float]


def numeric(item: Item, text: str) -> float:
    """Exact match of the number, as GSM8K does it: what follows `####`, else the last number of the text."""
    found = final_number(text)
    return float(found is not None and found in map(final_number, item.answer))


def match(item: Item, text: str) -> float:
    """Whether one of the accepted answers stands in the text as whole words, case and punctuation aside."""
    said = f" {plain(text)} "
    return float(any(f" {plain(each)} " in said for each in item.answer))


def plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def bleu(item: Item, text: str) -> float:
    """Sentence BLEU, for short texts with the orders that they have (sacrebleu's effective order)."""
    import sacrebleu

    return float(sacrebleu.sentence_bleu(text, [item.reference], use_effective_order=True).score) / 100


def rouge(item: Item, text: str) -> float:
    """F1 of ROUGE-L against the reference."""
    return float(_rouge().score(item.reference, text)["rougeL"].fmeasure)


@functools.cache
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], use_stemmer=True)


def pass_at_1(item: Item, text: str) -> float:
    """Whether the program passes its test in a limited child process (`sandbox.py`)."""
    return float(passes(program(item, text)))


def program(item: Item, text: str) -> str:
    """Answer and test as one program. A model writes the function again, in a code block, or goes on from the prompt,
    whose imports and helpers the answer may need; HumanEval's prompts end in a docstring, so they parse as they are."""
    blocks: list[str] = BLOCK.findall(text)
    defines = re.compile(rf"^\s*def {re.escape(item.entry_point)}\b", re.MULTILINE)
    code = next((block for block in blocks if defines.search(block)), blocks[0] if blocks else text)
    before = item.code
    if before and defines.search(code):
        before += "\n    pass\n"
    elif before:
        code = indented(code)
    check = f"\ncheck({item.entry_point})\n" if "def check(" in item.test else "\n"
    return f"{before}{code}\n{item.test}{check}"


def indented(code: str) -> str:
    """A function's body up to the first line that is no part of it: a model that goes on writes other things behind."""
    lines = code.splitlines()
    end = next((i for i, line in enumerate(lines) if line.strip() and i and not line[0].isspace()), len(lines))
    return "\n".join(lines[:end])


SCORERS = {
    each.name: each
    for each in (
        Scorer("numeric", True, numeric),
        Scorer("match", True, match),
        Scorer("pass@1", True, pass_at_1),
        Scorer("bleu", False, bleu),
        Scorer("rouge", False, rouge),
    )
}


def scorer_of(item: Item, allow_code: bool) -> Scorer | None:
    """How this prompt's answers are scored; None where they are not: nothing to check, or code that nobody allowed."""
    if item.test:
        return SCORERS["pass@1"] if allow_code else None
    if item.scorer:
        return SCORERS[item.scorer]
    if item.answer:
        return SCORERS["numeric" if is_number(item.answer[0]) else "match"]
    return SCORERS["rouge"] if item.reference else None
