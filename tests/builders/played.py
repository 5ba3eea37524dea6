"""Answers and chats on loaded pairs, and what a model alone writes in a cache that is only ever emptied and read on."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from speccas.core.calibration.planner import Wanted
from speccas.core.conversation.transcript import Conversation
from speccas.core.decoding.arms import parse_arm
from speccas.core.decoding.events import Event, Judged
from speccas.core.decoding.sampling import Sampling
from speccas.core.record.metrics import Fold
from speccas.core.runtime.generate import Drafting, Length, PromptRead, generate
from speccas.core.runtime.llama import LlamaContext
from speccas.core.runtime.pair import Pair
from speccas.core.runtime.prompt import Prompt
from speccas.core.session import Asking, Dropped, Session
from tests.builders.loaded import llama_model, row

CONTEXT = 512
NEAR = 0.05  # of a model's two best logits: rows of the same text in other batches differ by less


@cache
def reference(path: Path) -> LlamaContext:
    """A cache of its own, of CONTEXT tokens."""
    return llama_model(path, context=CONTEXT)


def alone(pair: Pair, role: str, ids: Sequence[int], count: int) -> tuple[list[int], list[float]]:
    """What a model alone writes, greedily; and the distance of its two best logits there."""
    model = reference(pair.files[role].path)
    model.truncate(0)
    model.extend(ids[:-1], rows=0)
    written, gaps = [], []
    token = ids[-1]
    for _ in range(count):
        logits = row(model, [token])
        second, best = np.partition(logits, -2)[-2:]
        token = int(logits.argmax())
        written.append(token)
        gaps.append(float(best - second))
    return written, gaps


def own_text(pair: Pair, ids: Sequence[int], found: Sequence[int], role: str = "expert") -> None:
    """Assert that it is what the model alone writes, up to where two tokens are nearly equal."""
    written, gaps = alone(pair, role, ids, len(found))
    differs = next((i for i, (a, b) in enumerate(zip(written, found, strict=True)) if a != b), None)
    assert differs is None or gaps[differs] < NEAR, f"another text from token {differs} on"


def play(
    pair: Pair, prompt: Prompt, arm: str, drafting: Drafting, count: int, sampling: Sampling | None = None
) -> Fold:
    """One answer of `count` tokens."""
    fold = Fold()
    length = Length(count, ignore_eos=True)
    for event in generate(pair, prompt, parse_arm(arm), sampling or Sampling(), length, drafting):
        if not isinstance(event, PromptRead):
            fold(event)
    return fold


def written(fold: Fold) -> list[int]:
    return [token.id for token in fold.tokens]


def chat(pair: Pair, rule: str = "exact", k: int | str = 4, **sampling: float) -> Session:
    """Answers of ten tokens, with empty caches."""
    pair.stop.clear()
    pair.clear()
    asking = Asking(parse_arm(rule), Sampling(**sampling), Length(10, ignore_eos=True), Wanted(k))  # type: ignore[arg-type]
    return Session(pair, asking, Conversation())


def ask(session: Session, text: str, stop_after: int | None = None) -> list[Event | PromptRead | Dropped]:
    """One turn; the stop flag is set when so many rounds were shown."""
    events = []
    for event in session.ask(text):
        events.append(event)
        if stop_after is not None and sum(isinstance(each, Judged) for each in events) == stop_after:
            session.pair.stop.set()
    session.pair.stop.clear()
    return events
