"""The settings of a command: flag, environment, config file, profile, default, in that order.

Knows names, ranges and where values come from; not what any of them does.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml
from platformdirs import user_config_path

from speccas.core.errors import UsageError
from speccas.core.nearest import did_you_mean


@dataclass(frozen=True, slots=True)
class Settings:
    """Every common setting, checked. Names are the long flags with underscores."""

    pair: str = "tiny"
    drafter: str = ""
    expert: str = ""
    rule: tuple[str, ...] = ("exact",)
    draft_tokens: int | str = 4
    """1 to 16, or "auto"."""
    lookup: str = "auto"
    """Drafts from the text itself: "auto" (with draft_tokens auto, where they pay), "on" (wherever any) or "off"."""
    max_tokens: int | None = 256
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    system: str = ""
    raw: bool = False
    ctx: int | None = None
    """0 (typed "auto") is the largest that fits this machine."""
    threads: int | None = None
    gpu_layers: int = -1
    drafter_gpu_layers: int = -1
    sources: Mapping[str, str] = field(default_factory=dict)
    """Where each value that is not a default came from."""


def scalar(name: str, value: Any) -> Any:
    """The value itself, unless it is a list or a table: a few lines of YAML can write one too long to print."""
    if isinstance(value, dict | list | tuple | set):
        raise UsageError(f"{name} is not a single value", "write it on one line, or quoted")
    return value


def whole(low: int, high: int | None = None, other: str = "") -> Callable[[str, Any], int]:
    def check(name: str, value: Any) -> int:
        try:
            number = int(str(scalar(name, value)))
        except ValueError:
            number = low - 1
        if number < low or (high is not None and number > high):
            span = f"from {low}" if high is None else f"{low} to {high}"
            raise UsageError(f"{name} {value!r} is out of range", f"give a whole number {span}{other}")
        return number

    return check


def real(low: float, high: float, open_low: bool = False) -> Callable[[str, Any], float]:
    def check(name: str, value: Any) -> float:
        try:
            number = float(scalar(name, value))
        except (TypeError, ValueError):
            number = float("nan")
        if not low <= number <= high or (open_low and number == low):
            raise UsageError(
                f"{name} {value!r} is out of range",
                f"give a number {'above' if open_low else 'from'} {low:g} to {high:g}",
            )
        return number

    return check


def draft_length(name: str, value: Any) -> int | str:
    """A number, or `auto`: as many as pay."""
    return "auto" if str(value) == "auto" else whole(1, 16, ", or auto")(name, value)


def one_of(*words: str) -> Callable[[str, Any], str]:
    def check(name: str, value: Any) -> str:
        spelled = ("off", "on")[value] if isinstance(value, bool) else value  # what YAML makes of on and off
        if str(scalar(name, spelled)) not in words:
            raise UsageError(f"{name} {value!r} is unknown", f"one of {', '.join(words)}")
        return str(spelled)

    return check


def text(name: str, value: Any) -> str:
    return str(scalar(name, value))


def texts(name: str, value: Any) -> tuple[str, ...]:
    found = tuple(text(name, each) for each in (value if isinstance(value, list | tuple) else [value]))
    if "" in found:  # an empty stop text would end every answer before its first token
        raise UsageError(f"{name} is empty", "give some text, or leave it out")
    return found


def rules(name: str, value: Any) -> tuple[str, ...]:
    """Rules may be listed in one text: token:0.5,confidence."""
    found = tuple(rule.strip() for each in texts(name, value) for rule in each.split(",") if rule.strip())
    if not found:
        raise UsageError(f"{name} names no rule", "write one such as token:0.5; `speccas rules` lists them")
    return found


def truth(name: str, value: Any) -> bool:
    known = {
        "true": True,
        "1": True,
        "yes": True,
        "on": True,
        "false": False,
        "0": False,
        "no": False,
        "off": False,
    }
    if str(scalar(name, value)).lower() not in known:
        raise UsageError(f"{name} {value!r} is neither true nor false", "write true or false")
    return known[str(value).lower()]


def context(name: str, value: Any) -> int:
    """Tokens, or `auto`, which stands as 0."""
    return 0 if scalar(name, value) == "auto" else whole(1, 1 << 24)(name, value)


CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "pair": text,
    "drafter": text,
    "expert": text,
    "rule": rules,
    "draft_tokens": draft_length,
    "lookup": one_of("auto", "on", "off"),
    "max_tokens": whole(1),
    "temperature": real(0, 100),
    "top_k": whole(0),
    "top_p": real(0, 1, open_low=True),
    "min_p": real(0, 1),
    "seed": whole(0),
    "stop": texts,
    "ignore_eos": truth,
    "system": text,
    "raw": truth,
    "ctx": context,
    "threads": whole(1, 1024),
    "gpu_layers": whole(-1, 10_000),
    "drafter_gpu_layers": whole(-1, 10_000),
}
OPEN = {"max_tokens", "ctx", "threads"}
"""Settings whose `null` means something: no limit, or as it fits."""
PLACES = {"tune": "what tune found"}
"""Sources whose name alone does not say where a value stands."""
MAX_BYTES = 1 << 20


def config_file() -> Path:
    return user_config_path("speccas") / "config.yaml"


def resolve(
    flags: Mapping[str, Any],
    environment: Mapping[str, str],
    config: Mapping[str, Any],
    tuned: Mapping[str, Any],
    profile: Mapping[str, Any],
    defaults: Mapping[str, Any],
) -> Settings:
    """One value for every setting. `flags` hold only what was given, `tuned` what tune found for the pair. Raises
    UsageError that names the source."""
    layers: list[tuple[str, Mapping[str, Any]]] = [
        ("default", defaults),
        ("profile", profile),
        ("tune", tuned),
        ("config file", config),
        (
            "environment",
            {name: environment[key] for name in CHECKS if (key := f"SPECCAS_{name.upper()}") in environment},
        ),
        ("flag", {name: value for name, value in flags.items() if value not in (None, [], ())}),
    ]
    chosen: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for source, layer in layers:
        for name, value in layer.items():
            if name not in CHECKS:
                guess = did_you_mean(name, CHECKS)
                raise UsageError(f"unknown key {name!r} in the {source}", f"{guess}known keys: {', '.join(CHECKS)}")
            label = (
                "--" + name.replace("_", "-")
                if source == "flag"
                else f"{name} (from {PLACES.get(source, f'the {source}')})"
            )
            if value is None and name not in OPEN:
                raise UsageError(f"{label} has no value", "give one, or leave the key out")
            chosen[name] = value if value is None else CHECKS[name](label, value)
            sources[name] = source
    unknown = set(chosen) - {each.name for each in fields(Settings)}
    assert not unknown, unknown
    return Settings(**chosen, sources=sources)


def read_config(path: Path) -> dict[str, Any]:
    """The config file, {} where there is none. Raises UsageError."""
    if not path.is_file():
        return {}
    try:
        content = path.read_bytes()
        if len(content) > MAX_BYTES:
            raise UsageError(f"{path} is {len(content)} bytes: too large for a config file", "keep it under 1 MiB")
        data = yaml.safe_load(content)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "mend it or move it away") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date such as 2024-13-45
        raise UsageError(
            f"{path} is not YAML: {' '.join(str(error).split())[:200]}", "mend it or move it away"
        ) from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise UsageError(f"{path} holds no keys", "write lines such as `temperature: 0.7`")
    return {str(key): value for key, value in data.items()}
