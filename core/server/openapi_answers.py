"""What the endpoint answers, as JSON Schema."""

from typing import Any

from ..decoding.events import Finish, Status
from .answers import COUNTS, ENDS

Node = dict[str, Any]
TEXT: Node = {"type": "string"}
TEXT_OR_NULL: Node = {"type": ["string", "null"]}
COUNT: Node = {"type": "integer", "minimum": 0}
NUMBER: Node = {"type": "number"}
NUMBER_OR_NULL: Node = {"type": ["number", "null"]}
FINISH: Node = {"enum": sorted({*ENDS.values()})}


def ref(name: str) -> Node:
    return {"$ref": f"#/components/schemas/{name}"}


def full(**properties: Node) -> Node:
    """An object that always has all of these."""
    return {"type": "object", "required": list(properties), "properties": properties}


def some(node: Node) -> Node:
    return {"anyOf": [node, {"type": "null"}]}


def many(node: Node) -> Node:
    return {"type": "array", "items": node}


MODEL = full(
    id=TEXT,
    object={"const": "model"},
    created=COUNT,
    owned_by=TEXT,
    speccas=full(rule=TEXT, lossless={"type": "boolean"}),
)
ERROR = full(error=full(message=TEXT, type=TEXT, param=TEXT_OR_NULL, code=TEXT_OR_NULL))
ERROR["properties"]["error"]["properties"] |= {"n_prompt_tokens": COUNT, "n_ctx": COUNT}
USAGE = full(
    prompt_tokens=COUNT,
    completion_tokens=COUNT,
    total_tokens=COUNT,
    prompt_tokens_details=full(cached_tokens=COUNT),
)
TIMINGS = full(
    cache_n=COUNT,
    prompt_n=COUNT,
    prompt_ms=NUMBER,
    prompt_per_token_ms=NUMBER,
    prompt_per_second=NUMBER,
    predicted_n=COUNT,
    predicted_ms=NUMBER,
    predicted_per_token_ms=NUMBER,
    predicted_per_second=NUMBER,
    draft_n=COUNT,
    draft_n_accepted=COUNT,
)
STATUS = full(
    text=TEXT,
    status={"enum": [str(each) for each in Status]},
    source=TEXT,
    log_p=NUMBER_OR_NULL,
    q=NUMBER_OR_NULL,
    p=NUMBER_OR_NULL,
    turned_down=some(full(text=TEXT, q=NUMBER_OR_NULL, p=NUMBER_OR_NULL)),
)
OWN = full(
    rule=TEXT,
    seed={"type": "integer"},
    finish={"enum": [str(each) for each in Finish]},
    **dict.fromkeys(COUNTS, NUMBER_OR_NULL),
)
OWN["properties"]["tokens"] = {**many(STATUS), "description": "Where each token came from, where that was asked for."}
ENTRY = full(token=TEXT, logprob=NUMBER, bytes=some(many(COUNT)))
CHAT_LOGPROBS = full(content=many(full(**ENTRY["properties"], top_logprobs=many(ENTRY))), refusal={"type": "null"})
TEXT_LOGPROBS = full(
    tokens=many(TEXT),
    token_logprobs=many(NUMBER),
    top_logprobs=some(many({"type": "object", "additionalProperties": NUMBER})),
    text_offset=many(COUNT),
)


def answer(kind: str, logprobs: Node, **said: Node) -> Node:
    choice = full(index={"const": 0}, finish_reason=FINISH, logprobs=some(logprobs), **said)
    return full(
        id=TEXT,
        object={"const": kind},
        created=COUNT,
        model=TEXT,
        choices=many(choice),
        usage=USAGE,
        timings=TIMINGS,
        speccas=OWN,
    )


MESSAGE = full(role={"const": "assistant"}, content=TEXT, refusal={"type": "null"})
ANSWERS: Node = {
    "Answer": answer("chat.completion", CHAT_LOGPROBS, message=MESSAGE),
    "TextAnswer": answer("text_completion", TEXT_LOGPROBS, text=TEXT),
    "Model": MODEL,
    "Models": full(object={"const": "list"}, data=many(ref("Model"))),
    "Health": full(status={"const": "ok"}),
    "Tokens": full(
        tokens=many({"anyOf": [COUNT, full(id=COUNT, piece={"anyOf": [TEXT, many(COUNT)]})]}),
        count=COUNT,
        max_model_len=COUNT,
    ),
    "Detokenized": full(content=TEXT),
    "Error": ERROR,
}
