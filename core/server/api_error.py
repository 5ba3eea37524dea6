"""An error as clients of OpenAI's API expect it: a status, and a JSON object `error`."""

from typing import Any

from ..errors import CannotPair, PromptTooLong, SpeccasError, Stopped, Unavailable, UsageError


class ApiError(Exception):
    """`code` is a short word for programs, `param` the wrong field, `retry` the seconds to wait before the next try."""

    def __init__(
        self,
        status: int,
        message: str,
        kind: str = "invalid_request_error",
        *,
        param: str | None = None,
        code: str | None = None,
        retry: int | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry = retry
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code, **facts}}

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.retry is None else {"Retry-After": str(self.retry)}


WORKER_RETRY = 10  # seconds


def unavailable(message: str, retry: int) -> ApiError:
    """Not now; the same request may work later."""
    return ApiError(503, message, "unavailable_error", retry=retry)


def of_speccas(error: SpeccasError, prompt_tokens: int | None, context: int) -> ApiError:
    """What the library refused, as a client reads it. `prompt_tokens`: where they were counted."""
    if isinstance(error, PromptTooLong):
        kind = "exceed_context_size_error"
        message = f"the request exceeds the available context size: {error.message}"  # clients look for these words
        return ApiError(
            400, message, kind, code="context_length_exceeded", n_prompt_tokens=prompt_tokens, n_ctx=context
        )
    if isinstance(error, Stopped):
        return unavailable("the answer was cut off: the server is shutting down", 1)
    text = f"{error.message}: {error.hint}" if error.hint else error.message
    if isinstance(error, Unavailable):  # a worker that holds the expert is gone, and may come back
        return unavailable(text, WORKER_RETRY)
    if isinstance(error, UsageError | CannotPair):
        return ApiError(400, text)
    return ApiError(500, text, "server_error")
