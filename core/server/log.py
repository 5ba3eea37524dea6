"""A line of the log for each request: nothing of a text in it, unless that is asked for."""

import json
from typing import Any

from ..visible import visible
from .handled import Handled


def is_logged(handled: Handled) -> bool:
    """Every question, and all that was refused; not who looks whether the server is well."""
    return bool(handled.id) or handled.method == "POST" or handled.status >= 400


def as_object(handled: Handled, time: float, text: bool = False) -> dict[str, Any]:
    """A request as one JSON object. `time`: Unix seconds at its end; `text`: with what was asked and said."""
    figures, begun = handled.figures, handled.begun
    found: dict[str, Any] = {
        "time": round(time, 3),
        "id": handled.id or None,
        "method": handled.method,
        "path": handled.path,
        "status": handled.status or None,
        "model": handled.model or None,
        "prompt_tokens": None if begun is None else begun.prompt_tokens,
        "cached": None if begun is None else begun.cached,
        "tokens": None if figures is None else figures.tokens,
        "acceptance": None if figures is None else figures.acceptance,
        "tokens_per_second": None if figures is None else figures.tokens_per_second,
        "waited": handled.waited,
        "first": handled.first,
        "seconds": handled.seconds,
        "finish": handled.finish if handled.id else None,
        "error": handled.error or None,
    }
    if text and handled.question is not None:
        question = handled.question
        found["messages"] = [{"role": each.role, "content": each.content} for each in question.messages]
        found["text"] = "" if figures is None else figures.text
    return found


def as_json_line(handled: Handled, time: float, text: bool = False) -> str:
    return json.dumps(as_object(handled, time, text), ensure_ascii=False)


def as_line(handled: Handled, time: float, text: bool = False) -> str:
    """The same for people: what is not known is left out."""
    if not handled.id:
        return visible(
            f"{handled.method} {handled.path[:80]}  {handled.status}  {handled.error}".replace("\n", " ")
        ).strip()
    parts = [handled.id, handled.model]
    if handled.begun is not None:
        parts.append(f"{handled.begun.prompt_tokens} prompt tokens, {handled.begun.cached} cached")
    figures = handled.figures
    if figures is not None:
        parts.append(f"{figures.tokens} tokens")
        if figures.acceptance is not None:
            parts.append(f"{figures.acceptance:.0%} accepted")
        if figures.tokens_per_second is not None:
            parts.append(f"{figures.tokens_per_second:.1f} tokens/s")
    if handled.waited is not None and handled.waited >= 0.05:
        parts.append(f"waited {handled.waited:.1f} s")
    parts.append(handled.finish if not handled.error else f"{handled.status or ''} {handled.error}".strip())
    if text and handled.question is not None:
        said = (handled.question.prompt, "" if figures is None else figures.text)
        parts += [json.dumps(each, ensure_ascii=False) for each in said]
    return visible("  ".join(parts).replace("\n", " "))
