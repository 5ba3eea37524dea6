"""Answers in channels (gpt-oss): reasoning and the final text, each behind markers of its own.

A template of that family writes the markers itself, and refuses an earlier answer that holds them.
"""

import re
from dataclasses import replace

from .template import Message

HEAD = r"(?:(?!<\|message\|>|<\|channel\|>).)*<\|message\|>"
FINAL = re.compile(r"<\|channel\|>\s*final" + HEAD, re.DOTALL)
CHANNEL = re.compile(r"<\|channel\|>" + HEAD, re.DOTALL)
CLOSED = re.compile(r"(<\|end\|>|<\|return\|>)\s*\Z")


def final(template: str, message: Message) -> Message:
    """An earlier answer as such a template takes it: the text of its final channel, empty where it was stopped before
    that. Any other message is itself."""
    if message.role != "assistant" or "<|channel|>" not in template or not CHANNEL.search(message.content):
        return message
    parts = FINAL.split(message.content)
    return replace(message, content=CLOSED.sub("", parts[-1]) if len(parts) > 1 else "")
