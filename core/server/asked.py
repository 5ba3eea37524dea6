"""What a body asks for: the question, which goes to the worker as it stands, and how the answer is to be told.

What is not supported is refused by name; a field that nobody knows is ignored.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..calibration.planner import Wanted
from ..conversation.template import Message
from ..decoding.arms import Arm, parse_arm
from ..decoding.penalty import Penalty
from ..decoding.sampling import Sampling
from ..errors import UsageError
from ..record.manifest import sampled
from ..runtime.generate import Length
from . import fields
from .api_error import ApiError
from .catalogue import Catalogue
from .fields import Body, wrong
from .messages import messages_of, prompt_text

MOST_STOPS = 16
MOST_TOP = 20
"""OpenAI's limit of the best tokens beside each."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds where a request says nothing. `seed`: None draws one for each request."""

    sampling: Sampling
    length: Length
    wanted: Wanted
    think: bool | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the pair: messages, a text without a chat template, or its token ids."""

    messages: tuple[Message, ...]
    raw: bool
    ids: tuple[int, ...]
    arm: Arm
    sampling: Sampling
    length: Length
    wanted: Wanted
    think: bool | None
    detail: bool
    numbers: bool
    best: int
    """How many of the expert's best tokens stand beside each, with detail."""

    @property
    def prompt(self) -> str:
        """What was asked last; "" where it was told in token ids."""
        return self.messages[-1].content if self.messages else ""

    def as_manifest(self) -> dict[str, object]:
        """What the manifest of a run says of it."""
        think = "auto" if self.think is None else "on" if self.think else "off"
        return {"k": self.wanted.k, "lookup": self.wanted.lookup, "think": think, **sampled(self.sampling)}


@dataclass(frozen=True, slots=True)
class Telling:
    """How the answer is told. `model`: the name of what answers; `top`: how many of the expert's best tokens stand
    beside each, None without log-probabilities; `statuses`: with where each token came from."""

    chat: bool
    model: str
    stream: bool
    usage: bool
    top: int | None
    statuses: bool


def read(
    body: Body, chat: bool, catalogue: Catalogue, defaults: Defaults, draw: Callable[[], int]
) -> tuple[Question, Telling]:
    """A request's body, checked. `draw` gives a seed. Raises ApiError."""
    refuse_unsupported(body)
    own = fields.table(body, "speccas")
    arm = arm_of(body, own, catalogue)
    top = top_of(body, chat)
    if top is not None and arm.rule is None and not arm.reference:
        raise ApiError(
            400, f"logprobs are the expert's, and {arm.name} does not ask it of every token", param="logprobs"
        )
    stream, statuses = fields.truth(body, "stream"), fields.truth(own, "statuses")
    options = fields.table(body, "stream_options")
    found = messages_of(body) if chat else ()
    text, ids = ("", ()) if chat else prompt_text(body)
    question = Question(
        messages=found if chat else (Message("user", text),),
        raw=not chat,
        ids=ids,
        arm=arm,
        sampling=sampling_of(body, defaults, draw),
        length=length_of(body, chat, defaults.length),
        wanted=wanted_of(own, defaults.wanted),
        think=think_of(body, defaults.think),
        detail=bool(top),
        numbers=statuses,
        best=top or 0,
    )
    usage = fields.truth(options, "include_usage") or not stream
    return question, Telling(chat, catalogue.name_of(arm), stream, usage, top, statuses)


def arm_of(body: Body, own: Body, catalogue: Catalogue) -> Arm:
    """What decides: the model's name says it, or `speccas.rule`."""
    arm = catalogue.arm(fields.text(body, "model", catalogue.pair))
    rule = fields.text(own, "rule", "")
    try:
        return parse_arm(rule) if rule else arm
    except UsageError as error:
        raise ApiError(400, f"speccas.rule: {error.message}: {error.hint}", param="speccas.rule") from None


def wanted_of(own: Body, default: Wanted) -> Wanted:
    lookup = fields.text(own, "lookup", default.lookup)
    if lookup not in ("auto", "on", "off"):
        raise wrong("speccas.lookup", '"auto", "on" or "off"', lookup)
    k = default.k if own.get("k") in (None, "auto") else fields.whole(own, "k", 0, 1, 16)
    return Wanted("auto" if own.get("k") == "auto" else k, lookup)


def sampling_of(body: Body, defaults: Defaults, draw: Callable[[], int]) -> Sampling:
    """OpenAI's fields, and llama.cpp's where OpenAI has none. A seed of -1 is drawn."""
    was = defaults.sampling
    drawn = -1 if defaults.seed is None else defaults.seed
    seed = fields.whole(body, "seed", drawn, -(1 << 63), (1 << 63) - 1)
    return replace(
        was,
        temperature=fields.real(body, "temperature", was.temperature, 0, 100),
        top_k=fields.whole(body, "top_k", was.top_k, 0, 1 << 31),
        top_p=fields.real(body, "top_p", was.top_p, 0, 1, open_low=True),
        min_p=fields.real(body, "min_p", was.min_p, 0, 1),
        seed=draw() if seed == -1 else seed % (1 << 63),
        penalty=Penalty(
            fields.real(body, "repeat_penalty", was.penalty.repeat, 0.01, 100),
            fields.whole(body, "repeat_last_n", was.penalty.last_n, -1, 1 << 31),
        ),
    )


def length_of(body: Body, chat: bool, default: Length) -> Length:
    """`max_completion_tokens` is OpenAI's new name of `max_tokens`; -1 is llama.cpp's word for no limit."""
    names = ("max_completion_tokens", "max_tokens") if chat else ("max_tokens", "n_predict")
    given = [fields.whole(body, each, -2, -1, 1 << 31) for each in names]
    first = next((each for each in given if each != -2), -2)
    most = default.max_tokens if first == -2 else None if first == -1 else first
    stop = fields.texts(body, "stop", default.stop, MOST_STOPS)
    return Length(most, stop, fields.truth(body, "ignore_eos", default.ignore_eos))


def think_of(body: Body, default: bool | None) -> bool | None:
    """As llama.cpp and vLLM take it: `chat_template_kwargs: {enable_thinking: ...}`."""
    given = fields.table(body, "chat_template_kwargs")
    return default if given.get("enable_thinking") is None else fields.truth(given, "enable_thinking")


def top_of(body: Body, chat: bool) -> int | None:
    """How many of the best tokens are told beside each; None without log-probabilities."""
    if not chat:
        return None if body.get("logprobs") in (None, False) else fields.whole(body, "logprobs", 0, 0, MOST_TOP)
    asked, top = fields.truth(body, "logprobs"), fields.whole(body, "top_logprobs", 0, 0, MOST_TOP)
    if top and not asked:
        raise ApiError(400, "top_logprobs goes with logprobs: true", param="top_logprobs")
    return top if asked else None


EMPTY: tuple[object, ...] = (None, [], {}, "", False)
PASSING: Mapping[str, tuple[object, ...]] = {
    "tools": EMPTY,
    "functions": EMPTY,
    "tool_choice": (*EMPTY, "none", "auto"),
    "function_call": (*EMPTY, "none", "auto"),
    "n": (None, 1),
    "best_of": (None, 1),
    "audio": EMPTY,
    "modalities": (None, ["text"]),
    "logit_bias": EMPTY,
    "presence_penalty": (None, 0),
    "frequency_penalty": (None, 0),
    "grammar": EMPTY,
    "json_schema": EMPTY,
    "suffix": EMPTY,
    "echo": EMPTY,
    "continue_final_message": EMPTY,
    "web_search_options": EMPTY,
}
"""What may stand in a field that is not supported: what asks for nothing."""


def refuse_unsupported(body: Body) -> None:
    """Raises ApiError (400) for a field that would have to be obeyed, and is not."""
    for name, passing in PASSING.items():
        value = body.get(name)
        if not any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in passing):
            raise unsupported(name, value)
    form: Any = body.get("response_format")
    if form is not None and not (isinstance(form, dict) and form.get("type") == "text"):
        raise unsupported("response_format", form)


def unsupported(name: str, value: object) -> ApiError:
    shown = repr(value)
    shown = shown if len(shown) <= fields.SHOWN else shown[: fields.SHOWN] + "..."
    return ApiError(400, f"{name} is not supported here, so {shown} is refused", param=name, code="unsupported")
