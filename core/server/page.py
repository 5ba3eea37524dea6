"""The page at `/`: one file that chats through the endpoint, each token in the colour of where it came from."""

import base64
import hashlib
import importlib.resources
from dataclasses import dataclass
from functools import cache

from jinja2 import Environment

from ..decoding.rules import RULES
from ..looks.legend import entries
from ..looks.sheet import sheet
from ..visible import javascript_class

LEGEND = ("agreed", "kept", "deferred", "bonus", "copied", "q", "p")
"""What the page can show; its script hides what cannot occur."""


@dataclass(frozen=True, slots=True)
class ChatPage:
    """The file, and the headers that it is sent with."""

    text: str
    headers: dict[str, str]


@cache
def chat_page() -> ChatPage:
    """The page of this version. Its policy lets it run its own script, talk to its own server, and nothing else."""
    style = "\n".join((sheet("colours"), sheet("tokens"), source("chat.css")))
    script = source("chat.js")
    text = (
        Environment(autoescape=True)
        .from_string(source("chat.html.jinja"))
        .render(
            style=style,
            script=script,
            rules=[*RULES, "expert"],
            legend=entries(LEGEND, marked=False),
            told={"unsafe": javascript_class()},
        )
    )
    policy = (
        "default-src 'none'", f"style-src '{digest(style)}'", f"script-src '{digest(script)}'", "connect-src 'self'",
        "img-src data:", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
        "require-trusted-types-for 'script'", "trusted-types 'none'",
    )  # fmt: skip
    headers = {
        "Content-Security-Policy": "; ".join(policy),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    return ChatPage(text, headers)


def source(name: str) -> str:
    """A file beside this one."""
    return importlib.resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def digest(text: str) -> str:
    """As a content security policy names an inline text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
