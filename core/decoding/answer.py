"""The answer as it grows: tokens committed one by one, text decoded from their bytes, and when to end."""

import codecs
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .events import Finish, Piece
from .sampling import Sampling


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of an arm. `prompt` are expert ids, not empty; `max_tokens` None: until the end or the context."""

    prompt: tuple[int, ...]
    sampling: Sampling
    max_tokens: int | None = 256
    context: int = 4096
    """Positions that the expert's cache has."""
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    detail: bool = False
    """Fill in the probabilities of every token, for a trace or for `why`."""
    numbers: bool = False
    """Fill in q and p of every token and of each that was turned down: all that is told of them without `detail`."""
    best: int = 3
    """How many of the expert's best tokens stand beside each, with detail."""


@dataclass(frozen=True, slots=True)
class Lexicon:
    """What the engine must know of the expert's tokens."""

    piece: Callable[[int], bytes]
    """Bytes of a token, of a control token its text: a marker that the model wrote is part of the answer."""
    ends: Callable[[int], bool]
    """Whether a token ends a generation (llama_vocab_is_eog)."""


class Text:
    """Bytes in, settled text out: whole characters only, and nothing that may yet turn out to be a stop text."""

    def __init__(self, stop: Sequence[str]) -> None:
        self.stop = tuple(stop)
        self.stopped = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""

    def feed(self, data: bytes) -> str:
        """Text that settles with these bytes. A complete stop text sets `stopped` and is no part of the text."""
        text = self._held + self._decoder.decode(data)
        found = [at for at in (text.find(stop) for stop in self.stop) if at >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        keep = max((overlap(text, stop) for stop in self.stop), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """What was held back, once no more can come: an unfinished character shows as U+FFFD."""
        text, self._held = self._held + ("" if self.stopped else self._decoder.decode(b"", True)), ""
        return text

    def peek(self, pieces: Sequence[bytes]) -> list[str]:
        """How drafted bytes would read behind what is settled; this text stays as it is."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        decoder.setstate(self._decoder.getstate())
        return [decoder.decode(data) for data in pieces]


def overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if stop.startswith(text[-n:])), 0)


class Answer:
    """Committed tokens of one arm, and why it ended. `ids` is the prompt and the answer, in expert ids."""

    def __init__(self, request: Request, lexicon: Lexicon) -> None:
        self.request = request
        self.lexicon = lexicon
        self.ids = list(request.prompt)
        self.text = Text(request.stop)
        self.finish: Finish | None = None
        self._limit = len(request.prompt) + (request.context if request.max_tokens is None else request.max_tokens)
        if request.max_tokens == 0:
            self.finish = Finish.LENGTH

    @property
    def length(self) -> int:
        """Tokens of the answer so far."""
        return len(self.ids) - len(self.request.prompt)

    @property
    def room(self) -> int:
        """How many tokens may be drafted now: the bonus still fits behind them, in the answer and in the context."""
        return max(0, min(self._limit, self.request.context) - len(self.ids) - 1)

    def piece(self, token: int) -> bytes:
        """Bytes of a token in this answer; the one that ends it has none."""
        return b"" if self.lexicon.ends(token) and not self.request.ignore_eos else self.lexicon.piece(token)

    def commit(self, token: int) -> str:
        """Add a token; return the text that settled with it. Sets `finish` when it was the last."""
        self.ids.append(token)
        if self.lexicon.ends(token) and not self.request.ignore_eos:
            self.finish = Finish.END
            return ""
        text = self.text.feed(self.lexicon.piece(token))
        if self.text.stopped:
            self.finish = Finish.STOP
        elif len(self.ids) >= self._limit:
            self.finish = Finish.LENGTH
        elif len(self.ids) >= self.request.context:
            self.finish = Finish.CONTEXT
        return text

    def pieces(self, tokens: Sequence[int]) -> tuple[Piece, ...]:
        """Drafted tokens as they would read here."""
        data = [self.piece(token) for token in tokens]
        texts = self.text.peek(data)
        return tuple(Piece(*each) for each in zip(tokens, data, texts, strict=True))
