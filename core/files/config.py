"""The user's config file: settings as they were written, and the aliases of pairs. Checks no value of a setting."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import UsageError

MAX_BYTES = 1 << 20
ALIASES = "aliases"
ALIAS = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.ASCII)


def config_file() -> Path:
    from platformdirs import user_config_path

    return user_config_path("speccas") / "config.yaml"


def read_config(path: Path) -> dict[str, Any]:
    """The config file, {} where there is none. Raises UsageError."""
    try:
        if not path.exists():
            return {}
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "mend it or move it away") from None
    return parse_config(content, path)


def parse_config(content: bytes, path: Path) -> dict[str, Any]:
    """The keys and values in the text of a config file; `path` is for messages. Raises UsageError."""
    import yaml

    if len(content) > MAX_BYTES:
        raise UsageError(f"{path} is {len(content)} bytes: too large for a config file", "keep it under 1 MiB")
    try:
        data = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date such as 2024-13-45
        raise UsageError(
            f"{path} is not YAML: {' '.join(str(error).split())[:200]}", "mend it or move it away"
        ) from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise UsageError(f"{path} holds no keys", "write lines such as `temperature: 0.7`")
    return {str(key): value for key, value in data.items()}


def settings_in(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of the file are settings."""
    return {key: value for key, value in config.items() if key != ALIASES}


def aliases_in(config: Mapping[str, Any], path: Path) -> dict[str, str]:
    """Other names of pairs, by alias. `path` is for messages. Raises UsageError."""
    found = config.get(ALIASES)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise UsageError(f"{ALIASES} in {path} is no table", "write lines such as `  fast: tiny` below it")
    for name, pair in found.items():
        if not isinstance(name, str) or not is_alias(name):
            raise UsageError(f"{ALIASES} in {path}: {str(name)[:80]!r} is no name", "use letters, digits, . _ and -")
        if not isinstance(pair, str) or not pair:
            raise UsageError(f"{ALIASES} in {path}: {name} names no pair", "write the name of a pair behind it")
    return dict(found)


def is_alias(name: str) -> bool:
    """Whether this can be an alias: no file and no repository is taken for one."""
    return ALIAS.fullmatch(name) is not None and not name.lower().endswith(".gguf")


def aliases() -> dict[str, str]:
    """The user's other names of pairs. Raises UsageError."""
    path = config_file()
    return aliases_in(read_config(path), path)
