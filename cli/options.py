"""The flags that every command with models shares, and how they become settings. Knows flags; not what commands do."""

import functools
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from speccas.core.errors import UsageError


def _shared(
    pair: Annotated[str | None, typer.Option(metavar="NAME", help="A pair by name (default: tiny).")] = None,
    drafter: Annotated[
        str | None, typer.Option(metavar="FILE", help="The drafter: a GGUF file, or hf:owner/repo[:QUANT].")
    ] = None,
    expert: Annotated[
        str | None, typer.Option(metavar="FILE", help="The expert: a GGUF file, or hf:owner/repo[:QUANT].")
    ] = None,
    draft_tokens: Annotated[
        str | None,
        typer.Option(
            "-k", "--draft-tokens", metavar="N", help="Most tokens drafted a round, 1 to 16, or auto: as many as pay."
        ),
    ] = None,
    lookup: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN",
            help="Drafts from the text itself, where the last tokens stood before: auto (with -k auto, where it pays), "
            "on or off.",
        ),
    ] = None,
    max_tokens: Annotated[
        str | None,
        typer.Option("-n", "--max-tokens", metavar="N", help="Most tokens of an answer (default: 256)."),
    ] = None,
    temperature: Annotated[str | None, typer.Option(metavar="X", help="0 is greedy (the default here).")] = None,
    top_k: Annotated[
        str | None, typer.Option(metavar="N", help="Sample among the k most likely tokens; 0 is off.")
    ] = None,
    top_p: Annotated[
        str | None, typer.Option(metavar="X", help="Sample within this share of the probability; 1 is off.")
    ] = None,
    min_p: Annotated[
        str | None, typer.Option(metavar="X", help="Drop tokens below this share of the best one; 0 is off.")
    ] = None,
    seed: Annotated[
        str | None,
        typer.Option(metavar="N", help="Same seed, same answer, on the same machine (default: 0)."),
    ] = None,
    stop: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="End the answer before this text; repeatable.")
    ] = None,
    ignore_eos: Annotated[bool, typer.Option("--ignore-eos", help="Go on behind the end of the answer.")] = False,
    system: Annotated[str | None, typer.Option(metavar="TEXT", help="A system message.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="No chat template: the model goes on with the text.")] = False,
    ctx: Annotated[
        str | None,
        typer.Option(
            metavar="N", help="Context in tokens, or auto: the most that fits (default: as trained, at most 4096)."
        ),
    ] = None,
    threads: Annotated[
        str | None, typer.Option(metavar="N", help="Threads for both models (default: physical cores).")
    ] = None,
    gpu_layers: Annotated[
        str | None, typer.Option(metavar="N", help="The expert's layers on the GPU (default: all).")
    ] = None,
    drafter_gpu_layers: Annotated[
        str | None, typer.Option(metavar="N", help="The drafter's layers on the GPU (default: all).")
    ] = None,
) -> None:
    """Only its signature is used. Values are checked by cli/settings.py, whatever they came from."""


def shared_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the shared flags; it receives those that were given as `flags`."""
    shared = inspect.signature(_shared).parameters
    own = [p for name, p in inspect.signature(command).parameters.items() if name != "flags"]

    @functools.wraps(command)
    def with_flags(**given: Any) -> None:
        flags = {name: given.pop(name) for name in shared}
        command(flags={name: value for name, value in flags.items() if value not in (None, False, [])}, **given)

    with_flags.__signature__ = inspect.Signature([*own, *shared.values()])  # type: ignore[attr-defined]
    with_flags.__annotations__ = {p.name: p.annotation for p in (*own, *shared.values())}
    return with_flags


def read_settings(flags: Mapping[str, Any], defaults: Mapping[str, Any]) -> Any:
    """Settings of a command, with its pair's profile where it has one. Raises UsageError."""
    from speccas.core.files.profiles import find_profile
    from speccas.core.tune.store import tuned_settings

    from .settings import config_file, read_config, resolve

    config = read_config(config_file())
    first = resolve(flags, os.environ, config, {}, {}, defaults)
    if first.drafter or first.expert:
        return first
    profile = find_profile(first.pair)
    return resolve(flags, os.environ, config, tuned_settings(profile), dict(profile.defaults), defaults)


def read_prompt(given: str | None) -> str:
    """The prompt, from stdin where it is `-` (or left out, and stdin is a pipe). Raises UsageError."""
    if given is None and (sys.stdin is None or sys.stdin.isatty()):
        raise UsageError("the prompt is missing", "give one in quotes, or - to read it from a pipe")
    if given is None or given == "-":
        data = sys.stdin.buffer.read() if sys.stdin is not None else b""
        try:
            given = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UsageError(
                f"the prompt from the pipe is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}",
                "convert it first, for example with iconv -t utf-8",
            ) from None
        given = given.removesuffix("\n").removesuffix("\r")
    given = given.encode("utf-8", "surrogateescape").decode("utf-8", "replace")  # argv may hold bytes that are no text
    if not given.strip():
        raise UsageError("the prompt is empty", "give some text")
    return given
