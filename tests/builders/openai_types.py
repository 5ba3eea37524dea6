"""Whether a document is what OpenAI's own types say, and nothing but our own fields besides.

The types let any field pass, so that a misspelled one would hide behind its default: all that they do not know must be
named in OURS.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from openai import BaseModel
from openai.types import Completion, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.shared import ErrorObject

OURS = {"timings", "speccas"}
CONTEXT = {"n_prompt_tokens", "n_ctx"}
"""llama.cpp's, of a prompt beyond the context."""


def valid_chat(document: Mapping[str, Any]) -> ChatCompletion:
    return valid(ChatCompletion, document, OURS)


def valid_chat_chunk(document: Mapping[str, Any]) -> ChatCompletionChunk:
    return valid(ChatCompletionChunk, document, OURS)


def valid_completion(document: Mapping[str, Any]) -> Completion:
    return valid(Completion, document, OURS)


def valid_completion_chunk(document: Mapping[str, Any]) -> Completion:
    """Chunks have the type of whole answers, which know no null as a reason to finish; OpenAI itself sends it."""
    choices = [{**each, "finish_reason": each["finish_reason"] or "stop"} for each in document["choices"]]
    return valid(Completion, {**document, "choices": choices}, OURS)


def valid_models(document: Mapping[str, Any]) -> list[Model]:
    assert set(document) == {"object", "data"} and document["object"] == "list"
    return [valid(Model, each, OURS) for each in document["data"]]


def valid_error(document: Mapping[str, Any]) -> ErrorObject:
    assert set(document) == {"error"} and {"message", "type", "param", "code"} <= set(document["error"])
    return valid(ErrorObject, document["error"], CONTEXT)


def valid(kind: Any, document: Mapping[str, Any], ours: set[str]) -> Any:
    found = kind.model_validate(document, strict=True)
    assert set(found.model_extra) <= ours, f"{kind.__name__} knows no {set(found.model_extra) - ours}"
    for inner in parts(found):
        assert not inner.model_extra, f"{type(inner).__name__} knows no {set(inner.model_extra)}"
    return found


def parts(of: Any) -> Iterator[Any]:
    """All models within one."""
    for name in type(of).model_fields:
        value = getattr(of, name)
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, BaseModel):
                yield each
                yield from parts(each)
