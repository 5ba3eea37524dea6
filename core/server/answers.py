"""What the pair answers as OpenAI's objects, whole or in chunks, with llama.cpp's `timings` and our own `speccas`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any

from ..decoding.events import Finish, Judged, Piece, Token
from ..record.metrics import Figures
from .asked import Telling
from .worker import Begun

ENDS = {Finish.END: "stop", Finish.STOP: "stop", Finish.LENGTH: "length", Finish.CONTEXT: "length"}
LEAST = -9999.0
"""OpenAI's log-probability of what has none."""
COUNTS = (
    "drafted", "judged", "agreed", "kept", "deferred", "bonus", "discarded", "looked_up", "looked_up_accepted", "alone",
    "expert_calls", "acceptance", "tokens_per_expert_call",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """What all objects of one answer share."""

    id: str
    created: int
    telling: Telling
    seed: int

    def whole(self, rounds: Sequence[Judged], figures: Figures, begun: Begun) -> dict[str, Any]:
        """The answer of a request that was not streamed."""
        chat, text = self.telling.chat, figures.text
        tokens = [token for judged in rounds for token in judged.tokens]
        said = {"message": {"role": "assistant", "content": text, "refusal": None}} if chat else {"text": text}
        choice = {**self._choice(figures.finish), **said, "logprobs": self._logprobs(tokens)}
        kind = "chat.completion" if chat else "text_completion"
        return {**self._head(kind), "choices": [choice], **self._end(rounds, figures, begun)}

    def first(self) -> Iterator[dict[str, Any]]:
        """The chunk that says who speaks; a completion has none."""
        if self.telling.chat:
            yield self._chunk({"delta": {"role": "assistant", "content": None}})  # as llama-server: no text yet

    def part(self, text: str, rounds: Sequence[Judged]) -> Iterator[dict[str, Any]]:
        """What a round added. Nothing where no text settled and nobody asked for its tokens."""
        tokens = [token for judged in rounds for token in judged.tokens]
        said: dict[str, Any] = {"delta": {"content": text}} if self.telling.chat else {"text": text}
        if self.telling.top is not None:
            said["logprobs"] = self._logprobs(tokens)
        own = {"speccas": {"tokens": statuses(rounds)}} if self.telling.statuses else {}
        if text or own or (self.telling.top is not None and tokens):
            yield {**self._chunk(said), **own}

    def last(self, figures: Figures, begun: Begun) -> Iterator[dict[str, Any]]:
        """Why it ended, and where it is wanted a chunk without a choice that has the usage."""
        said: dict[str, Any] = {"delta": {}} if self.telling.chat else {"text": ""}
        end = self._chunk(said, ENDS.get(Finish(figures.finish)))
        closing = self._end((), figures, begun)
        usage = closing.pop("usage")
        if self.telling.usage:
            yield end
            yield {**end, "choices": [], "usage": usage, **closing}
        else:
            yield {**end, **closing}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.telling.model}

    def _choice(self, finish: str) -> dict[str, Any]:
        return {"index": 0, "finish_reason": ENDS.get(Finish(finish))}

    def _chunk(self, said: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
        kind = "chat.completion.chunk" if self.telling.chat else "text_completion"
        choice = {"index": 0, "finish_reason": finish, "logprobs": None, **said}
        usage = {"usage": None} if self.telling.usage else {}
        return {**self._head(kind), "choices": [choice], **usage}

    def _end(self, rounds: Sequence[Judged], figures: Figures, begun: Begun) -> dict[str, Any]:
        told = {name: getattr(figures, name) for name in COUNTS}
        own = {"rule": figures.name, "seed": self.seed, "finish": figures.finish, **told}
        if self.telling.statuses and rounds:
            own["tokens"] = statuses(rounds)
        return {"usage": usage_of(figures, begun), "timings": timings(figures, begun), "speccas": own}

    def _logprobs(self, tokens: Sequence[Token]) -> dict[str, Any] | None:
        if self.telling.top is None:
            return None
        shown = [token for token in tokens if token.bytes]
        return chat_logprobs(shown, self.telling.top) if self.telling.chat else text_logprobs(shown, self.telling.top)


def usage_of(figures: Figures, begun: Begun) -> dict[str, Any]:
    return {
        "prompt_tokens": begun.prompt_tokens,
        "completion_tokens": figures.tokens,
        "total_tokens": begun.prompt_tokens + figures.tokens,
        "prompt_tokens_details": {"cached_tokens": begun.cached},
    }


def timings(figures: Figures, begun: Begun) -> dict[str, Any]:
    """llama.cpp's names; milliseconds."""
    read, written = begun.prompt_tokens - begun.cached, figures.tokens
    prompt, answer = 1e3 * figures.prefill_seconds, 1e3 * figures.seconds
    return {
        "cache_n": begun.cached,
        "prompt_n": read,
        "prompt_ms": prompt,
        "prompt_per_token_ms": prompt / read,
        "prompt_per_second": 1e3 * read / prompt if prompt else 0.0,
        "predicted_n": written,
        "predicted_ms": answer,
        "predicted_per_token_ms": answer / written if written else 0.0,
        "predicted_per_second": figures.tokens_per_second or 0.0,
        "draft_n": figures.drafted or 0,
        "draft_n_accepted": (figures.agreed or 0) + (figures.kept or 0),
    }


def statuses(rounds: Sequence[Judged]) -> list[dict[str, Any]]:
    """Where each token came from, in the words of a trace; q and p at temperature 1."""
    return [status_of(token, judged.source) for judged in rounds for token in judged.tokens]


def status_of(token: Token, source: str) -> dict[str, Any]:
    told: dict[str, Any] = {"text": token.text, "status": str(token.status), "source": source}
    return {**told, "log_p": token.log_p, "q": token.q, "p": token.p, "turned_down": down_of(token.turned_down)}


def down_of(piece: Piece | None) -> dict[str, Any] | None:
    return None if piece is None else {"text": piece.text, "q": piece.q, "p": piece.p}


def log_of(p: float | None) -> float:
    return LEAST if p is None else max(LEAST, p)


def chat_logprobs(tokens: Sequence[Token], top: int) -> dict[str, Any]:
    """The expert's, at temperature 1."""
    content = []
    for token in tokens:
        best = [entry(text, known_bytes(text), ln(p)) for _, text, p in token.expert_top[:top]]
        own = entry(token.bytes.decode("utf-8", "replace"), token.bytes, log_of(token.log_p))
        content.append({**own, "top_logprobs": best})
    return {"content": content, "refusal": None}


def entry(text: str, data: bytes | None, log_p: float) -> dict[str, Any]:
    return {"token": text, "logprob": log_p, "bytes": None if data is None else list(data)}


def known_bytes(text: str) -> bytes | None:
    """Of a token of which only the text is known; None where it is part of a character."""
    return None if "\ufffd" in text else text.encode()


def text_logprobs(tokens: Sequence[Token], top: int) -> dict[str, Any]:
    """The older shape, of completions. Offsets count from the first of these tokens."""
    texts = [token.bytes.decode("utf-8", "replace") for token in tokens]
    return {
        "tokens": texts,
        "token_logprobs": [log_of(token.log_p) for token in tokens],
        "top_logprobs": [{text: ln(p) for _, text, p in token.expert_top[:top]} for token in tokens] if top else None,
        "text_offset": [sum(map(len, texts[:i])) for i in range(len(texts))],
    }


def ln(p: float) -> float:
    return max(LEAST, log(p)) if p > 0 else LEAST
