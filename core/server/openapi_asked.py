"""What a body may hold, as JSON Schema: it accepts what `asked.read` does, and refuses what that refuses."""

from collections.abc import Mapping
from typing import Any

from ..decoding.arms import BASELINES
from ..decoding.rules import RULES
from .asked import MOST_STOPS, MOST_TOP, PASSING
from .messages import MOST_MESSAGES, ROLES

Node = dict[str, Any]
TEXT: Node = {"type": "string"}
TRUTH: Node = {"type": ["boolean", "null"]}


def real(low: float, high: float, says: str = "", open_low: bool = False) -> Node:
    return {
        "type": ["number", "null"],
        "exclusiveMinimum" if open_low else "minimum": low,
        "maximum": high,
        **about(says),
    }


def whole(low: int, high: int, says: str = "") -> Node:
    return {"type": ["integer", "null"], "minimum": low, "maximum": high, **about(says)}


def about(says: str) -> Node:
    return {"description": says} if says else {}


def table(says: str = "", **properties: Node) -> Node:
    """An object; what it does not name is ignored."""
    return {"type": ["object", "null"], "properties": properties, **about(says)}


def either(*nodes: Node, says: str = "") -> Node:
    return {"anyOf": list(nodes), **about(says)}


DIALS = {name: rule.dial for name, rule in RULES.items()} | {name: each.dial for name, each in BASELINES.items()}
NAMES = "|".join(name if dial is None else rf"{name}(?::-?[0-9]+(?:\.[0-9]+)?)?" for name, dial in DIALS.items())
RULE: Node = {
    "type": ["string", "null"],
    "pattern": f"^(?:{NAMES})?$",
    "description": "NAME or NAME:ALPHA, in place of what the model's name says; each rule has its own range of alpha.",
}
OWN = table(
    rule=RULE,
    k=either({"const": "auto"}, whole(1, 16), says="Most tokens drafted before the expert is asked."),
    lookup={"enum": ["auto", "on", "off", None], "description": "Drafts of what stood in the text before."},
    statuses={**TRUTH, "description": "Say of each token where it came from."},
)
LENGTH = whole(-1, 1 << 31, "Most tokens of the answer; -1: no limit but the context.")
SOME_TEXT: Node = {"type": "string", "minLength": 1}
UNSUPPORTED: Mapping[str, Node] = {
    name: {"enum": list(passing), "description": "Not supported: what asks for nothing."}
    for name, passing in PASSING.items()
}
SHARED: Mapping[str, Node] = {
    "model": {"type": ["string", "null"], "description": "PAIR, or PAIR:RULE[:ALPHA]; others are a 404."},
    "temperature": real(0, 100),
    "top_k": whole(0, 1 << 31, "0: off."),
    "top_p": real(0, 1, open_low=True),
    "min_p": real(0, 1),
    "seed": whole(-(1 << 63), (1 << 63) - 1, "-1: drawn, and told."),
    "repeat_penalty": real(0.01, 100),
    "repeat_last_n": whole(-1, 1 << 31),
    "stop": either(
        {"type": "null"},
        SOME_TEXT,
        {"type": "array", "items": SOME_TEXT, "maxItems": MOST_STOPS},
        says="Where it ends.",
    ),
    "ignore_eos": TRUTH,
    "stream": TRUTH,
    "stream_options": table(include_usage=TRUTH),
    "chat_template_kwargs": table(enable_thinking=TRUTH),
    "response_format": either(
        {"type": "null"}, {"type": "object", "required": ["type"], "properties": {"type": {"const": "text"}}}
    ),
    "speccas": OWN,
    **UNSUPPORTED,
}
PART: Node = {
    "type": "object",
    "required": ["type", "text"],
    "properties": {"type": {"const": "text"}, "text": TEXT},
}
NOTHING: Node = {"enum": [None, [], {}, "", False, 0]}
MESSAGE: Node = {
    "type": "object",
    "required": ["role", "content"],
    "properties": {
        "role": {"enum": list(ROLES)},
        "content": either(TEXT, {"type": "array", "minItems": 1, "items": PART}),
        "tool_calls": NOTHING,
        "function_call": NOTHING,
    },
}
IDS: Node = {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 0}}
CHAT: Node = {
    "type": "object",
    "required": ["messages"],
    "properties": {
        "messages": {"type": "array", "minItems": 1, "maxItems": MOST_MESSAGES, "items": MESSAGE},
        "max_tokens": LENGTH,
        "max_completion_tokens": LENGTH,
        "logprobs": TRUTH,
        "top_logprobs": whole(0, MOST_TOP, "The expert's best beside each token; goes with logprobs."),
        **SHARED,
    },
    "if": {"required": ["top_logprobs"], "properties": {"top_logprobs": {"type": "integer", "minimum": 1}}},
    "then": {"required": ["logprobs"], "properties": {"logprobs": {"const": True}}},
}
COMPLETION: Node = {
    "type": "object",
    "required": ["prompt"],
    "properties": {
        "prompt": either(
            SOME_TEXT,
            IDS,
            {"type": "array", "minItems": 1, "maxItems": 1, "items": either(SOME_TEXT, IDS)},
            says="A text, or token ids.",
        ),
        "max_tokens": LENGTH,
        "n_predict": LENGTH,
        "logprobs": either(
            {"const": False}, whole(0, MOST_TOP), says="So many of the expert's best beside each token."
        ),
        **SHARED,
    },
}
TEXT_OR_NULL: Node = {"type": ["string", "null"]}
TOKENIZE: Node = {
    "type": "object",
    "properties": {
        "content": TEXT_OR_NULL,
        "prompt": {**TEXT_OR_NULL, "description": "The same, in vLLM's words."},
        "add_special": {**TRUTH, "description": "With the BOS that the model wants; false unless it is a prompt."},
        "add_special_tokens": {**TRUTH, "description": "The same, in vLLM's words."},
        "parse_special": {**TRUTH, "description": "Spellings of control tokens are those tokens; true."},
        "with_pieces": {**TRUTH, "description": "Each token with its text, or its bytes where that is no text."},
    },
    "anyOf": [{"required": [name], "properties": {name: TEXT}} for name in ("content", "prompt")],
}
DETOKENIZE: Node = {
    "type": "object",
    "required": ["tokens"],
    "properties": {"tokens": {"type": "array", "items": {"type": "integer", "minimum": 0}}},
}
