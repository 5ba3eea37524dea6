"""The flags that every command with models shares, and how they become settings."""

import functools
import inspect
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speccas.core.errors import UsageError
from speccas.core.files.config import config_file, read_config, settings_in

from .checks import OneOf
from .prompt import read_file
from .settings import CHECKS, DEFAULTS, FLAGS, SERVER, Flag, Settings, labelled, resolve
from .values import MODES, completing

if TYPE_CHECKING:
    from speccas.core.files.profiles import Profile

DRAWN = "one is drawn and shown"
Files = Annotated[
    list[Path] | None,
    typer.Option("-f", "--file", metavar="FILE", help="A text file whose text goes behind the prompt; repeatable."),
]
"""Of every command with a prompt."""
View = Annotated[
    str,
    typer.Option(
        metavar="VIEW",
        help="tokens, numbers (of tokens), rounds (with probabilities) or off.",
        autocompletion=completing(MODES),
    ),
]
"""Of every command that shows tokens as they come."""
SYSTEM_FILE = inspect.Parameter(
    "system_file",
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[
        Path | None, typer.Option("--system-file", metavar="FILE", help="A system message, from a text file.")
    ],
)


def default_text(name: str, flag: Flag, defaults: Mapping[str, Any]) -> str:
    """A flag's default in a command with these defaults, in words; "" where there is nothing to say."""
    value = defaults.get(name, DEFAULTS[name])
    if callable(value):
        return DRAWN
    if value in flag.told:
        return flag.told[value]
    if value is None or value is False or value in ("", ()):
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def parameter(name: str, flag: Flag, defaults: Mapping[str, Any]) -> inspect.Parameter:
    """A setting's flag as Typer takes it. Values are texts: settings.py checks them, whatever they came from."""
    long = "--" + name.replace("_", "-")
    if flag.switch:
        option = typer.Option(long, *flag.names, help=flag.help)
        kind, default = Annotated[bool, option], False
    else:
        told = default_text(name, flag, defaults)
        text = f"{flag.help.removesuffix('.')} (default: {told})." if told else flag.help
        check = CHECKS[name]
        known = completing(check.words if isinstance(check, OneOf) else flag.values)
        option = typer.Option(*flag.names, long, metavar=flag.metavar, help=text, autocompletion=known)
        kind, default = Annotated[list[str] | None if flag.many else str | None, option], None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def shared_flags(
    defaults: Mapping[str, Any], only: Collection[str] = FLAGS
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the shared flags, or `only` some; it receives those that were given as `flags`. `defaults` are
    the command's own, for its help."""
    shared = {name: parameter(name, flag, defaults) for name, flag in FLAGS.items() if name in only}
    added = [*shared.values(), *([SYSTEM_FILE] if "system" in shared else [])]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [
            p.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for name, p in inspect.signature(command).parameters.items()
            if name != "flags"
        ]

        @functools.wraps(command)
        def with_flags(**given: Any) -> None:
            flags = {name: given.pop(name) for name in shared}
            if "system" in shared:
                flags["system"] = system_of(flags["system"], given.pop(SYSTEM_FILE.name))
            command(flags={name: value for name, value in flags.items() if value not in (None, False, [])}, **given)

        with_flags.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]
        with_flags.__annotations__ = {p.name: p.annotation for p in (*own, *added)}
        return with_flags

    return decorate


def settled(defaults: Mapping[str, Any]) -> dict[str, Any]:
    """A command's defaults; what is drawn anew for each run is drawn now."""
    return {name: value() if callable(value) else value for name, value in defaults.items()}


def system_of(typed: str | None, file: Path | None) -> str | None:
    """The system message that was given, as text or as a file of it. Raises UsageError."""
    if file is None:
        return typed
    if typed is not None:
        raise UsageError("--system and --system-file give two system messages", "leave one of them out")
    text = read_file(file)
    if not text.strip():
        raise UsageError(f"{file} is empty", "--system '' takes a system message away")
    return text


def read_settings(flags: Mapping[str, Any], defaults: Mapping[str, Any]) -> Any:
    """Settings of a command, with its pair's profile where it has one. Raises UsageError."""
    from speccas.core.files.profiles import find_profile
    from speccas.core.tune.store import tuned_settings

    config, defaults = settings_in(read_config(config_file())), settled(defaults)
    first = which_pair(resolve(flags, os.environ, config, {}, {}, defaults))
    if first.drafter or first.expert or first.expert_url:
        return require_together(for_server(first) if first.expert_url else first)
    profile = with_workers(find_profile(first.pair), first)
    found = resolve(flags, os.environ, config, tuned_settings(profile), dict(profile.defaults), defaults)
    named = Path(profile.origin).stem  # an alias means it
    found = replace(found, pair=named, drafter=(), expert="", expert_url="", expert_api="")
    return require_together(for_server(found) if profile.expert.url else found)


def with_workers(profile: "Profile", settings: Settings) -> "Profile":
    """The pair with the workers that the settings name for its expert, if they say anything of them. Raises UsageError
    where a flag is of workers, and there are none."""
    said = {"rpc": "expert_rpc", "rpc_output": "expert_rpc_output"}
    given = {key: getattr(settings, name) for key, name in said.items() if name in settings.sources}
    expert = replace(profile.expert, **given)
    if not expert.rpc and settings.sources.get("expert_rpc_output") == "flag":
        raise UsageError(
            "--expert-rpc-output is of an expert on workers", "give --expert-rpc HOST:PORT, or leave it out"
        )
    return replace(profile, expert=expert)


RANKS = ("default", "config file", "environment", "flag")


def which_pair(settings: Settings) -> Settings:
    """The settings with two files or a pair's name, whichever was said by the better source. Raises UsageError where
    one source says both."""
    of_files = ("drafter", "expert", "expert_url")
    named, *files = (RANKS.index(settings.sources.get(name, "default")) for name in ("pair", *of_files))
    if not (settings.drafter or settings.expert or settings.expert_url) or named == 0:
        return settings
    if named == max(files):
        raise UsageError(
            f"the {RANKS[named]} gives a pair and files of another",
            "give --pair NAME, or --drafter FILE and --expert FILE",
        )
    return replace(settings, drafter=(), expert="", expert_url="", expert_api="") if named > max(files) else settings


CHOSEN_TOP_K = 20
"""As many tokens of a row as every server tells that was started without a word on it (vLLM's max_logprobs)."""


def for_server(settings: Settings) -> Settings:
    """The settings for an expert that tells some probabilities: the test of single tokens where none was chosen, and a
    top-k that it can tell, but for temperature 1 without filters. At temperature 0 neither counts, and it may change
    later."""
    plain = settings.temperature == 1 and settings.top_p == 1 and settings.min_p == 0
    wanted: dict[str, Any] = {"test": "token", **({} if plain or settings.top_k else {"top_k": CHOSEN_TOP_K})}
    chosen = {name: value for name, value in wanted.items() if settings.sources.get(name, "default") == "default"}
    return replace(settings, **chosen, sources={**settings.sources, **dict.fromkeys(chosen, SERVER)})


def require_together(settings: Settings) -> Settings:
    """The settings; where there is no chat template, without what a profile says to it. Raises UsageError where that
    was said by the user, and could never reach the model."""
    if not settings.raw:
        return settings
    told = {"system": settings.system != "", "think": settings.think != "auto"}
    for name in (name for name, said in told.items() if said and settings.sources.get(name) in RANKS):
        first, second = (labelled(each, settings.sources.get(each, "flag")) for each in (name, "raw"))
        away = "--system ''" if name == "system" else "--think auto"
        raise UsageError(
            f"{first} does not go with {second}: without its chat template the model is not told",
            f"leave one of them out; {away} overrules what stands elsewhere",
        )
    return replace(settings, system="", think="auto")


def drawn_seed() -> int:
    """A seed for a run that was given none; it is shown, so that the run can be repeated."""
    return int.from_bytes(os.urandom(4), "little") >> 1
