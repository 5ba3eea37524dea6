"""JSON Schemas as tests want them."""

from typing import Any


def closed(part: Any) -> Any:
    """The same schema without room for keys that it does not name."""
    if isinstance(part, list):
        return [closed(each) for each in part]
    if not isinstance(part, dict):
        return part
    shut = {"additionalProperties": False} if part.get("type") == "object" and "properties" in part else {}
    return {**shut, **{key: closed(value) for key, value in part.items()}}
