"""Messages to the text that a model expects: the chat template of a GGUF file, rendered in a sandbox.

A template comes from a stranger: it cannot reach Python (ImmutableSandboxedEnvironment), and it runs in a child process
with a limit on time, memory and output.
"""

import hashlib
import json
import os
import signal
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from jinja2 import TemplateError
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ..errors import TemplateBroken, TemplateRefused

SECONDS = 2
MEMORY = 512 << 20  # bytes of address space beyond what the process has
OUTPUT = 4 << 20  # bytes


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


def render(template: str, messages: Sequence[Message], *, begin: str, end: str, generate: bool = True) -> str:
    """The text of a conversation, up to where the assistant's turn begins when `generate`.

    `begin` and `end` are the texts of the BOS and EOS tokens. Raises UsageError where the template refuses the
    messages in its own words, IntegrityError where it is broken, hostile, or takes too long.
    """
    if not hasattr(os, "fork"):  # Windows: the sandbox alone
        return _render(template, messages, begin, end, generate)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            _answer(writer, template, messages, begin, end, generate)
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read(OUTPUT + 8)
    too_long = len(data) > OUTPUT + 1
    if too_long:
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    kind, text = data[:1], "the text is too long" if too_long else data[1:].decode("utf-8", "replace")
    if kind == b"t" and not too_long:
        return text
    if kind == b"u":
        raise TemplateRefused(f"the model's chat template refuses this conversation: {text}")
    raise TemplateBroken(f"the model's chat template cannot be rendered: {text or 'it takes too much time or memory'}")


def _answer(writer: int, template: str, messages: Sequence[Message], begin: str, end: str, generate: bool) -> None:
    """In the child: render within limits and write one letter (text, user's fault, broken) and the text."""
    import resource

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    statm = Path("/proc/self/statm")
    if statm.is_file():
        limit = int(statm.read_text().split()[0]) * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        kind, text = b"t", _render(template, messages, begin, end, generate)
    except Refusal as error:
        kind, text = b"u", str(error)
    except (
        TemplateError,
        MemoryError,
        RecursionError,
        ArithmeticError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
    ) as error:
        kind, text = b"b", f"{type(error).__name__}: {error}"[:400]
    with os.fdopen(writer, "wb") as pipe:
        pipe.write(kind + text.encode("utf-8", "replace"))
    os._exit(0)


class Refusal(Exception):
    """A template called raise_exception: the messages do not suit it."""


def _render(template: str, messages: Sequence[Message], begin: str, end: str, generate: bool) -> str:
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
    text = environment.from_string(template).render(
        messages=[asdict(message) for message in messages],
        bos_token=begin,
        eos_token=end,
        add_generation_prompt=generate,
        tools=None,
        documents=None,
    )
    if len(text) > OUTPUT:
        raise SecurityError("the rendered text is too long")
    return text
