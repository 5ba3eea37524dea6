"""Texts to token ids and back, as llama.cpp's and vLLM's servers tell it.

The process that owns the pair does it, on a thread and a pipe of its own: no answer waits for it, and it for none.
"""

import contextlib
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from ..errors import SpeccasError, UsageError
from ..runtime.pair import Pair
from . import fields
from .api_error import ApiError
from .fields import Body, wrong
from .messages import is_id, readable

Pieces = list[tuple[int, bytes]]
"""Tokens by id, with their bytes."""


@dataclass(frozen=True, slots=True)
class ToTokens:
    """`begin`: with the BOS that the model wants; `special`: spellings of control tokens are those tokens."""

    text: str
    begin: bool
    special: bool


@dataclass(frozen=True, slots=True)
class ToText:
    """The bytes of token ids are wanted."""

    ids: tuple[int, ...]


def translate(connection: Connection, pair: Pair) -> None:
    """Answer each ToTokens and ToText with Pieces, or a SpeccasError, until the other end is closed."""
    weights, piece = pair.weights["expert"], pair.lexicon.piece
    with contextlib.suppress(EOFError, OSError):
        while True:
            asked: ToTokens | ToText = connection.recv()
            try:
                if isinstance(asked, ToTokens):
                    ids = weights.tokenize(asked.text, special=asked.special, begin=asked.begin)
                else:
                    ids = list(asked.ids)
                    if ids and max(ids) >= len(pair.tokens):
                        raise UsageError(f"{max(ids)} is no token: there are {len(pair.tokens)}", "count from 0")
                connection.send([(each, piece(each)) for each in ids])
            except SpeccasError as error:
                connection.send(error)


def to_tokens(body: Body) -> ToTokens:
    """`content` as llama.cpp has it, or vLLM's `prompt`, which begins a text unless told otherwise. Raises ApiError."""
    given = {name: readable(body[name], name) for name in ("content", "prompt") if body.get(name) is not None}
    if not given:
        raise wrong("content", "a text", None)
    begin = fields.truth(body, "add_special_tokens", "content" not in given)
    text = given.get("content", given.get("prompt", ""))
    return ToTokens(text, fields.truth(body, "add_special", begin), fields.truth(body, "parse_special", True))


def with_pieces(body: Body) -> bool:
    return fields.truth(body, "with_pieces")


def to_text(body: Body) -> ToText:
    """Raises ApiError."""
    ids: Any = body.get("tokens")
    if not isinstance(ids, list) or not all(map(is_id, ids)):
        raise ApiError(400, "tokens must be a list of token ids", param="tokens")
    return ToText(tuple(map(int, ids)))


def tokens_told(pieces: Pieces, shown: bool, context: int) -> dict[str, Any]:
    """`shown`: each token with its text, or with its bytes where they are part of a character."""
    tokens = (
        [{"id": each, "piece": piece_told(data)} for each, data in pieces] if shown else [each for each, _ in pieces]
    )
    return {"tokens": tokens, "count": len(pieces), "max_model_len": context}


def piece_told(data: bytes) -> str | list[int]:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return list(data)


def text_told(pieces: Pieces) -> dict[str, Any]:
    return {"content": b"".join(data for _, data in pieces).decode("utf-8", "replace")}
