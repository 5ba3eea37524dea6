"""The flags that every command with models shares, and how they become settings."""

import functools
import inspect
import os
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from .settings import FLAGS, Flag, config_file, read_config, resolve


def parameter(name: str, flag: Flag) -> inspect.Parameter:
    """A setting's flag as Typer takes it. Values are texts: settings.py checks them, whatever they came from."""
    long = "--" + name.replace("_", "-")
    if flag.switch:
        option = typer.Option(long, *flag.names, help=flag.help)
        kind, default = Annotated[bool, option], False
    else:
        option = typer.Option(*flag.names, long, metavar=flag.metavar, help=flag.help)
        kind, default = Annotated[list[str] | None if flag.many else str | None, option], None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


SHARED = {name: parameter(name, flag) for name, flag in FLAGS.items()}


def shared_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the shared flags; it receives those that were given as `flags`."""
    own = [
        p.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, p in inspect.signature(command).parameters.items()
        if name != "flags"
    ]

    @functools.wraps(command)
    def with_flags(**given: Any) -> None:
        flags = {name: given.pop(name) for name in SHARED}
        command(flags={name: value for name, value in flags.items() if value not in (None, False, [])}, **given)

    with_flags.__signature__ = inspect.Signature([*own, *SHARED.values()])  # type: ignore[attr-defined]
    with_flags.__annotations__ = {p.name: p.annotation for p in (*own, *SHARED.values())}
    return with_flags


def read_settings(flags: Mapping[str, Any], defaults: Mapping[str, Any]) -> Any:
    """Settings of a command, with its pair's profile where it has one. Raises UsageError."""
    from speccas.core.files.profiles import find_profile
    from speccas.core.tune.store import tuned_settings

    config = read_config(config_file())
    first = resolve(flags, os.environ, config, {}, {}, defaults)
    if first.drafter or first.expert:
        return first
    profile = find_profile(first.pair)
    return resolve(flags, os.environ, config, tuned_settings(profile), dict(profile.defaults), defaults)


def drawn_seed() -> int:
    """A seed for a run that was given none; it is shown, so that the run can be repeated."""
    return int.from_bytes(os.urandom(4), "little") >> 1
