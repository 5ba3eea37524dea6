"""SGLang's `/generate`, as an expert's verifier. Read in the sources of sglang 0.5.23 (the wheel on PyPI):

- `managers/io_struct.py`, GenerateReqInput: `input_ids`, `sampling_params`, `return_logprob`, `logprob_start_len`,
  `top_logprobs_num`.
- `managers/scheduler_components/logprob_result_processor.py`: `input_token_logprobs` and `input_top_logprobs` stand for
  the tokens from `logprob_start_len` on; entry 0 is null, entry i says what stood behind the token before it. What
  stands behind the last token is in `output_token_logprobs` and `output_top_logprobs`.
- `managers/tokenizer_manager.py`: an entry is [ln p, id, text or null]; `meta_info.cached_tokens`; with `n` above 1 the
  answer is a list.
- `managers/schedule_batch.py`, `_compute_max_prefix_len`: no more than `logprob_start_len` tokens are taken from the
  prefix cache, so that every row asked for is computed.
- `layers/sampler.py`: the log-probs of output tokens are of logits over the temperature, so 1 is asked for.

Protocol-tested against a server of our own; never run on a released one.
"""

from collections.abc import Sequence
from typing import Any

from ...decoding.sparse import Told
from .answers import Verified, at, likeliest, rows_of, told, wrong
from .connection import Connection

PLAIN = {
    "max_new_tokens": 1,
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": -1,
    "min_p": 0.0,
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
    "repetition_penalty": 1.0,
    "ignore_eos": True,
}
"""p itself, whatever the server's own defaults are."""


class SGLangApi:
    """Asks a server of SGLang. `size`: of the vocabulary."""

    name = "sglang"

    def __init__(self, connection: Connection, size: int) -> None:
        self.connection = connection
        self.size = size

    def verify(self, ids: Sequence[int], rows: int, sent: int) -> Verified:
        body = {
            "input_ids": list(ids),
            "sampling_params": PLAIN,
            "return_logprob": True,
            "logprob_start_len": len(ids) - rows,
            "top_logprobs_num": sent,
            "stream": False,
        }
        meta = at(self.connection.post("/generate", body), "meta_info")
        follow = rows_of(at(meta, "input_token_logprobs"), rows, "log-probs of the text")[1:]
        tops = rows_of(at(meta, "input_top_logprobs"), rows, "rows of the text")[1:] if rows > 1 else []
        last = rows_of(at(meta, "output_top_logprobs"), 1, "rows behind the text")[0]
        followed = tuple(self._told(each) for each in follow)
        expected = tuple(ids[len(ids) - rows + 1 :])
        if tuple(token for token, _ in followed) != expected:
            raise wrong("its log-probs are of other tokens than those of the text")
        return Verified(
            rows=tuple(self._row(each, sent) for each in [*tops, last]),
            followed=followed,
            drawn=self._told(rows_of(at(meta, "output_token_logprobs"), 1, "tokens")[0]),
            cached=cached(meta),
        )

    def draws(self, ids: Sequence[int], count: int) -> Sequence[Told]:
        body = {
            "input_ids": list(ids),
            "sampling_params": {**PLAIN, "n": count},
            "return_logprob": True,
            "logprob_start_len": -1,
            "stream": False,
        }
        found = self.connection.post("/generate", body)
        answers = [found] if count == 1 and isinstance(found, dict) else rows_of(found, count, "answers")
        return [self._told(rows_of(at(each, "meta_info", "output_token_logprobs"), 1, "tokens")[0]) for each in answers]

    def _told(self, entry: Any) -> Told:
        return told(at(entry, 1), at(entry, 0), self.size)

    def _row(self, entries: Any, sent: int) -> tuple[Told, ...]:
        if not isinstance(entries, list):
            raise wrong("a row is no list")
        return likeliest((self._told(each) for each in entries), sent, self.size)


def cached(meta: Any) -> int | None:
    count = meta.get("cached_tokens") if isinstance(meta, dict) else None
    return count if isinstance(count, int) else None
