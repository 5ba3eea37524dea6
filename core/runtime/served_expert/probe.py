"""What is known of an expert's server before the first answer: that it is there and runs a model with the drafter's
tokens, that one request verifies a draft without reading the text again, how much it tells of a row, the round trip.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...decoding.answer import Lexicon
from ...errors import CannotPair, RequestRefused
from ...headers.vocabulary import NORMAL, Tokens
from ..backend import ServedModel, Weights
from .answers import Api, at, wrong
from .connection import Connection, one_line

SENT = (64, 20, 5, 2)
"""Most likely tokens of a row that are asked for: as many as the server allows."""
ALLOWED = re.compile(r"max allowed: (\d+)")
TRIPS = 3
DRAFT = 4  # tokens that are verified
TEXTS = (
    "The sea is wide, the sea is deep, and in 1912 nobody had mapped more than a tenth of it.",
    "def area(radius: float) -> float:\n    return 3.14159 * radius ** 2  # no units\n\n\tx != y;",
    "Grüße aus Köln: «naïve» façades, 東京の夜, Привет, mañana – 42 €!  Two  blanks,\n\nnew lines.",
    '   leading blanks, CamelCaseWords, snake_case_words, HTTP/1.1 200 OK, 1,234,567.89 and {"json": [true, null]}',
)
"""Which tokens they become tells one vocabulary, and one way to split, from another."""
WORD = re.compile(rb"[ a-zA-Z][a-zA-Z]{2,}")
LOOKED_AT, WORDS = 4096, 256
"""Tokens, from the whole vocabulary, that are looked at, and those of letters whose texts are compared."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What was found. `trip`, `verify`: seconds of a request that computes nothing, and of one that verifies a draft of
    DRAFT tokens; `cached`: how much of the text it had read before; `read`: tokens of that text."""

    model: ServedModel
    sent: int
    trip: float
    verify: float
    cached: int
    read: int

    def as_json(self) -> dict[str, Any]:
        return {
            "url": self.model.url,
            "api": self.model.api,
            "model": self.model.name,
            "context": self.model.context,
            "sent": self.sent,
            "round_trip_seconds": self.trip,
            "verify_seconds": self.verify,
            "cached_tokens": self.cached,
            "text_tokens": self.read,
        }


def find_model(connection: Connection, api: str) -> ServedModel:
    """The model that a server runs. Raises ExpertLost, AccessRefused, RequestRefused, Stopped."""
    found = at(connection.get("/v1/models", patient=False), "data", 0)
    name, context = at(found, "id"), found.get("max_model_len")
    if not isinstance(name, str) or not name:
        raise wrong("its model has no name")
    return ServedModel(connection.url, api, one_line(name), context if isinstance(context, int) and context > 0 else 0)


def probe(
    connection: Connection,
    api: Api,
    model: ServedModel,
    spoken: Weights,
    tokens: Tokens,
    clock: Callable[[], float] = time.perf_counter,
) -> Probe:
    """Try all that an answer needs. `spoken`: the drafter's weights, `tokens`: their vocabulary. Raises CannotPair
    where its tokens are others, RequestRefused where it lacks what is needed, and as `find_model`."""
    require_tokens(connection, model, spoken)
    require_words(connection, model, spoken.lexicon(), tokens)
    text = text_ids(spoken)
    text = text[: model.context - 1] if model.context else text
    sent = allowed(api, text[: -DRAFT - 1], len(tokens))  # and the server has read that now
    began = clock()
    found = api.verify(text, DRAFT + 1, sent)
    seconds = clock() - began
    if not found.cached:
        raise RequestRefused(
            f"the expert's server at {connection.url} reads the whole text again for each draft",
            "start it with its prefix cache on",
        )
    return Probe(model, sent, trip_of(connection, clock), seconds, found.cached, len(text))


def text_ids(spoken: Weights) -> list[int]:
    """The texts as tokens, one behind the other: a few blocks of a prefix cache."""
    return [token for text in TEXTS for token in spoken.tokenize(text, special=False)]


def trip_of(connection: Connection, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds there and back: the least of a few requests that compute nothing. The first one may open the way."""
    seconds = []
    for _ in range(TRIPS):
        began = clock()
        connection.get("/v1/models")
        seconds.append(clock() - began)
    return min(seconds)


def require_tokens(connection: Connection, model: ServedModel, spoken: Weights) -> None:
    """Raises CannotPair where the server makes other tokens of a text."""
    for text in TEXTS:
        body = {"model": model.name, "prompt": text, "add_special_tokens": False}
        theirs, ours = at(ask(connection, "/tokenize", body), "tokens"), spoken.tokenize(text, special=False)
        if theirs != ours:
            raise other_tokens(connection, f"{text[:24]!r} is {shown(ours)} here and {shown(theirs)} there")


def require_words(connection: Connection, model: ServedModel, lexicon: Lexicon, tokens: Tokens) -> None:
    """Raises CannotPair where tokens, taken from all over the vocabulary, have other texts there. Neither kind of
    server tells a hash of its vocabulary."""
    ids = words(lexicon, tokens)
    if not ids:
        return
    body = {"model": model.name, "tokens": ids}
    answer = ask(connection, "/detokenize", body)
    theirs = at(answer, "prompt" if isinstance(answer, dict) and "prompt" in answer else "text")
    ours = b"".join(map(lexicon.piece, ids)).decode()
    if not isinstance(theirs, str) or theirs.strip() != ours.strip():
        place = next((i for i, (a, b) in enumerate(zip(str(theirs).strip(), ours.strip(), strict=False)) if a != b), 0)
        there, here = (one_line(each.strip()[max(0, place - 8) : place + 8]) for each in (str(theirs), ours))
        raise other_tokens(connection, f"tokens that are {here!r} here are {there!r} there")


def ask(connection: Connection, path: str, body: Mapping[str, Any]) -> Any:
    """Raises RequestRefused where the server does not know its own tokens."""
    try:
        return connection.post(path, body)
    except RequestRefused as error:
        if error.facts.get("status") != 404:
            raise
        raise RequestRefused(
            f"the expert's server at {connection.url} has no {path}: nothing shows that its tokens are the drafter's",
            "start it with its tokenizer",
            status=404,
        ) from None


def words(lexicon: Lexicon, tokens: Tokens) -> list[int]:
    """Tokens of letters alone, evenly from the whole vocabulary: nothing that decoders tidy up."""
    step = max(1, len(tokens) // LOOKED_AT)
    found = [i for i in range(0, len(tokens), step) if tokens.type(i) == NORMAL and WORD.fullmatch(lexicon.piece(i))]
    return found[:: max(1, len(found) // WORDS)]


def other_tokens(connection: Connection, why: str) -> CannotPair:
    return CannotPair(
        f"the expert at {connection.url} has other tokens than the drafter: {why}",
        "the drafter must be of the expert's own family, with the very same vocabulary",
    )


def shown(ids: Any) -> str:
    return ", ".join(map(str, ids[:4])) + ", ..." if isinstance(ids, list) and ids else "nothing"


def allowed(api: Api, text: Sequence[int], size: int) -> int:
    """How many tokens of a row the server tells. Raises RequestRefused where it tells too few."""
    counts = [min(each, size) for each in SENT]
    while True:
        count = counts.pop(0)
        try:
            api.verify(text, 2, count)
        except RequestRefused as error:
            limit = ALLOWED.search(str(error.facts.get("words", "")))
            if error.facts.get("status") != 400 or not counts:
                raise
            if limit is not None and 2 <= int(limit[1]) < count:
                counts.insert(0, int(limit[1]))
        else:
            return count
