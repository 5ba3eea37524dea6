"""What the colours and marks mean, four words each; only what can occur: a legend of everything is read by nobody."""

from collections.abc import Collection

from .faces import FACES

MEANINGS = {
    "agreed": "drafted, the expert agrees",
    "kept": "accepted by rule alone",
    "deferred": "expert's, replacing a draft",
    "bonus": "expert's, behind a draft",
    "plain": "the expert's own word",
    "copied": "copied from the text",
    "first": "the first drafter's, accepted",
    "pending": "being checked right now",
    "turned down": "turned down or discarded",
    "q": "the drafter's own probability",
    "p": "the expert's own probability",
}
"""In the order of a legend: what was won, what was deferred, the rest. "plain" is what has no colour or mark."""
WORDS = {"pending": "draft", "turned down": "struck"}
"""What stands in a legend for a key that is no word of the view."""

Entry = tuple[str, str, str]
"""(word, the status that it looks like, meaning)."""


def entries(found: Collection[str], marked: bool) -> list[Entry]:
    """The entries for what can occur, none where nothing is coloured. `marked`: with the marks, for want of colour."""
    if set(found) <= {"expert", "drafter"}:
        return []
    keys, meanings = set(found) - {"expert", "drafter"}, dict(MEANINGS)
    alone = {"expert", "drafter"} & set(found)
    if "drafter" in alone:
        meanings["plain"] = "one model's own word"
    if marked:  # what agreed has no mark, and a draft that waits is not shown
        keys -= {"pending"}
        if alone and "agreed" in keys:
            keys -= {"agreed"}
            meanings["plain"] = "agreed, or written alone"
    elif "bonus" in keys:  # a bonus has no colour
        keys -= {"bonus"}
        alone |= {"expert"}
    keys |= {"plain"} if alone else set()
    return [entry(key, meanings[key], marked) for key in MEANINGS if key in keys]


def entry(key: str, meaning: str, marked: bool) -> Entry:
    before, after = FACES[key].marks if marked and key in FACES else ("", "")
    return f"{before}{WORDS.get(key, key)}{after}", key if key in FACES else "quiet", meaning
