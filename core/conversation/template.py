"""Messages to the text that a model expects: the chat template of a GGUF file, rendered in a sandbox.

A template comes from a stranger: it cannot reach Python (ImmutableSandboxedEnvironment), and it runs in a child process
with a limit on time, memory and output.
"""

import hashlib
import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ..errors import TemplateBroken, TemplateRefused

SECONDS = 2
MEMORY = 512 << 20  # bytes of address space beyond what the process has
OUTPUT = 4 << 20  # bytes, or a few times what was said
THINK = ("enable_thinking", "thinking")
"""What templates call the switch for thinking: Qwen3 and most others; Granite and DeepSeek."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn: role is "system", "user" or "assistant"."""

    role: str
    content: str


class _Generation(Extension):
    """`{% generation %}` marks training spans in some templates; for us it is its content."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def fingerprint(template: str) -> str:
    """SHA-256 of a template, as `show` and the manifest give it."""
    return hashlib.sha256(template.encode()).hexdigest()


def render(
    template: str,
    messages: Sequence[Message],
    *,
    begin: str,
    end: str,
    generate: bool = True,
    think: bool | None = None,
) -> str:
    """What a template makes of a conversation, up to where the assistant's turn begins when `generate`; what it leaves
    out is `said.say`'s to see.

    `begin` and `end` are the texts of the BOS and EOS tokens; `think` is passed on as `enable_thinking` unless None.
    Raises UsageError where the template refuses the messages in its own words, IntegrityError where it is broken,
    hostile, or takes too long.
    """
    limit = output_limit(messages)
    seen = [asdict(message) for message in messages]
    return confined(lambda: prepared(template, begin, end, limit)(seen, think, generate), limit)


def output_limit(messages: Sequence[Message]) -> int:
    """Most characters and bytes that may be made of these messages."""
    return max(OUTPUT, 2 * sum(len(message.content.encode("utf-8", "replace")) for message in messages))


def confined(work: Callable[[], str], limit: int) -> str:
    """What `work` returns, at most `limit` bytes, from a child process within limits. Raises as `render`."""
    if not hasattr(os, "fork"):  # Windows: the sandbox alone
        kind, text = _outcome(work)
    else:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.close(reader)
                _answer(writer, work)
            finally:
                os._exit(1)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            data = pipe.read(limit + 8)
        if len(data) > limit + 1:
            os.kill(child, signal.SIGKILL)
            data = b"bthe text is too long"
        os.waitpid(child, 0)
        kind, text = data[:1].decode(), data[1:].decode("utf-8", "replace")
    if kind == "t":
        return text
    if kind == "u":
        raise TemplateRefused(f"the model's chat template refuses this conversation: {text}")
    raise TemplateBroken(f"the model's chat template cannot be rendered: {text or 'it takes too much time or memory'}")


def _answer(writer: int, work: Callable[[], str]) -> None:
    """In the child: work within limits and write one letter (text, user's fault, broken) and the text."""
    import resource

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    statm = Path("/proc/self/statm")
    if statm.is_file():
        limit = int(statm.read_text().split()[0]) * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    kind, text = _outcome(work)
    with os.fdopen(writer, "wb") as pipe:
        pipe.write((kind + text).encode("utf-8", "replace"))
    os._exit(0)


def _outcome(work: Callable[[], str]) -> tuple[str, str]:
    try:
        return "t", work()
    except Refusal as error:
        return "u", str(error)
    except BROKEN as error:
        return "b", f"{type(error).__name__}: {error}"[:400]


class Refusal(Exception):
    """A template called raise_exception: the messages do not suit it."""


BROKEN = (
    TemplateError, MemoryError, RecursionError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError,
)  # fmt: skip
"""What a broken or hostile template raises while it is rendered."""


Made = Callable[[Sequence[Mapping[str, Any]], bool | None, bool], str]
"""Messages as a template sees them, whether to think, and whether the answer begins, to text."""


def prepared(template: str, begin: str, end: str, limit: int) -> Made:
    """A compiled template, that makes at most `limit` characters. For `confined` work: raises Refusal and BROKEN."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )

    def refuse(message: object) -> str:
        raise Refusal(str(message)[:400])

    def to_json(value: object, indent: int | None = None) -> str:
        return json.dumps(value, ensure_ascii=False, indent=indent)

    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    compiled = environment.from_string(template)

    def made(messages: Sequence[Mapping[str, Any]], think: bool | None, generate: bool) -> str:
        switch = {} if think is None else dict.fromkeys(THINK, think)
        text = compiled.render(
            messages=messages,
            bos_token=begin,
            eos_token=end,
            add_generation_prompt=generate,
            tools=None,
            documents=None,
            **switch,
        )
        if len(text) > limit:
            raise SecurityError("the rendered text is too long")
        return text

    return made
