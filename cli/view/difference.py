"""Where a text leaves the expert's: by words, with what either says there."""

import re

from speccas.core.decoding.events import Finish
from speccas.core.record.metrics import Figures

from .flow import clip

LONGEST, SHORT = 16, 6  # cells of a word that is shown; where there is little room
END = "(end)"
DIFFERS = "differs from "
WORD = re.compile(r"\S+")


def same(figures: Figures, expert: Figures, short: bool = False) -> str:
    """Whether the text is the expert's own, or where it leaves it; `short`: in a narrow table."""
    if figures.finish == Finish.INTERRUPTED:
        return "interrupted"
    if figures.identical_to_expert is None:
        return "-"
    if figures.identical_to_expert:
        return "yes"
    told = difference(figures, expert, SHORT if short else LONGEST)
    return told.removeprefix(DIFFERS) if short else told


def difference(figures: Figures, expert: Figures, longest: int = LONGEST) -> str:
    """`differs from word 15: …color / …fire`, the expert's behind the slash."""
    own, other = figures.text, expert.text
    at = next((i for i, (a, b) in enumerate(zip(own, other, strict=False)) if a != b), min(len(own), len(other)))
    if at == len(own) == len(other):
        return "the same text in other tokens"
    begin = max(own.rfind(space, 0, at) + 1 for space in " \n\t")
    if all(not text[at : at + 1].strip() for text in (own, other)):  # both are at the end of a word
        begin = at
    number = len(WORD.findall(own[:begin])) + 1
    if at - begin >= LONGEST:  # a language without blanks, or a long word: from the difference on
        begin = at
    return f"{DIFFERS}word {number}: {shown(own, begin, longest)} / {shown(other, begin, longest)}"


def shown(text: str, begin: int, longest: int) -> str:
    """The word that begins there, cut where it is long."""
    found = WORD.search(text, begin)
    if found is None:
        return END
    word = clip(found.group(), longest)
    return f"…{word}" if word == found.group() else f"…{word}…"
