"""How often an expert accepts what a drafter proposes, read off the expert's own answers instead of written anew.

At temperature 0 `exact` accepts a drafted token where it is the one that the expert writes, and what comes before it is
then the expert's text. So one reading of that text by the drafter tells what any draft length would bring, and one text
serves every drafter of the same expert. The drafter reads it in its own spelling, as when it drafts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..bench.suites import Item
from ..conversation.template import Message
from ..decoding.arms import parse_arm
from ..decoding.drafts.draft_source import LEAST_MASS
from ..decoding.events import Judged
from ..decoding.model import LanguageModel
from ..decoding.sampling import Distribution, Floats
from ..headers.vocabulary import VocabularyMap
from ..runtime.generate import Length, generate
from ..runtime.pair import Pair
from ..runtime.prompt import prompt_of
from .quality import ROWS, Tell

TOKENS = 32
"""Of an answer: what comes later is accepted about as often, and costs as much to write."""


@dataclass(frozen=True, slots=True)
class Written:
    """What the expert answered to a prompt, alone and at temperature 0; ids, its end among them."""

    group: str
    prompt: str
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """At each token of the expert's answers, an answer a row: whether the drafter would have drafted it; None where it
    would have drafted nothing, as too much of its probability lies on tokens that the expert lacks."""

    groups: tuple[str, ...]
    hits: tuple[tuple[bool | None, ...], ...]

    @property
    def share(self) -> float:
        """Of all tokens, those that the drafter would have drafted; 0 where there are none."""
        every = [hit is True for answer in self.hits for hit in answer]
        return sum(every) / max(1, len(every))

    def of(self, group: str) -> "Agreement":
        """The answers of one group."""
        mine = [i for i, each in enumerate(self.groups) if each == group]
        return Agreement(tuple(self.groups[i] for i in mine), tuple(self.hits[i] for i in mine))

    def played(self, k: int) -> "Rounds":
        """What `exact` does at a fixed draft length: each call of the expert judges at most `k` tokens up to the first
        that it refuses, and gives one itself."""
        judged = accepted = calls = 0
        for hits in self.hits:
            at = 0
            while at < len(hits):
                calls += 1
                for hit in hits[at : at + min(k, len(hits) - 1 - at)]:
                    judged += hit is not None
                    if not hit:
                        break
                    accepted += 1
                    at += 1
                at += 1
        return Rounds(sum(map(len, self.hits)), calls, judged, accepted)


@dataclass(frozen=True, slots=True)
class Rounds:
    """Counts of answers that were drafted for at one draft length."""

    tokens: int
    calls: int
    """Of the expert."""
    judged: int
    accepted: int

    @property
    def acceptance(self) -> float:
        """Of the judged tokens; 0 where none was."""
        return self.accepted / max(1, self.judged)

    @property
    def tokens_a_call(self) -> float:
        return self.tokens / max(1, self.calls)


def own_answers(
    pair: Pair, items: Sequence[Item], tokens: int = TOKENS, tell: Tell | None = None
) -> tuple[Written, ...]:
    """What the pair's expert alone writes to these prompts, at most so many tokens each; `tell` hears of prompts.
    Raises Stopped, and for a prompt as `prompt_of`."""
    found = []
    for done, item in enumerate(items, 1):
        pair.clear()  # a prompt that is read in part only rounds differently
        events = generate(
            pair, prompt_of(pair, [Message("user", item.prompt)]), parse_arm("expert"), length=Length(tokens)
        )
        judged = (event for event in events if isinstance(event, Judged))
        ids = tuple(token.id for event in judged for token in event.tokens)
        found.append(Written(item.group, item.prompt, ids))
        if tell is not None:
            tell(done, len(items))
    return tuple(found)


def agreement(pair: Pair, answers: Sequence[Written], tell: Tell | None = None) -> Agreement:
    """Read the answers with the pair's drafter, in a cache of its own; `tell` hears of answers. They are those of this
    expert, or of another with its vocabulary. Raises Stopped, DoesNotFit."""
    spelled = [_spelled(pair, each) for each in answers]
    longest = max((len(ids) for ids, _ in spelled), default=1)
    model = pair.weights["drafter"].context(longest, ROWS, pair.options.threads)
    hits = []
    for done, (answer, (ids, ends)) in enumerate(zip(answers, spelled, strict=True), 1):
        hits.append(tuple(_hits(model, pair.vocabulary, answer.ids, ids, ends)))
        if tell is not None:
            tell(done, len(answers))
    return Agreement(tuple(each.group for each in answers), tuple(hits))


def _spelled(pair: Pair, answer: Written) -> tuple[list[int], list[int]]:
    """What the drafter reads of a prompt and its answer; how much of it stands before each of the answer's tokens."""
    prompt = prompt_of(pair, [Message("user", answer.prompt)])
    spell = pair.vocabulary.spell
    own = prompt.drafter.own if prompt.drafter else [each for token in prompt.ids for each in spell(token)]
    ids, ends = list(own), []
    for token in answer.ids:
        ends.append(len(ids))
        ids.extend(spell(token))
    return ids, ends


def _hits(
    model: LanguageModel, vocabulary: VocabularyMap, answer: Sequence[int], ids: Sequence[int], ends: Sequence[int]
) -> Iterator[bool | None]:
    """Of each token of an answer, whether it is the drafter's likeliest that the expert has too."""
    model.truncate(0)
    due = 0
    while due < len(ends) and not ends[due]:  # nothing stands before it
        due += 1
        yield None
    if due < len(ends) and ends[due] > 1:
        model.extend(ids[: ends[due] - 1], rows=0)
    while due < len(ends):
        at = len(model)
        part = ids[at : min(at + ROWS, ends[-1])]
        rows = model.extend(part, rows=len(part))
        assert isinstance(rows, np.ndarray), "a drafter gives dense rows"
        for place, row in enumerate(rows, at + 1):
            while due < len(ends) and ends[due] == place:  # more than one where a token has no spelling
                yield _drafts(row, vocabulary, answer[due])
                due += 1


def _drafts(row: Floats, vocabulary: VocabularyMap, token: int) -> bool | None:
    shared = vocabulary.shared
    if shared is None:
        return Distribution(row).argmax == token
    mine = Distribution(shared.of(row), shared)
    if not shared.whole and np.exp(mine.log_mass - Distribution(row).log_mass) < LEAST_MASS:
        return None
    return mine.argmax == token
