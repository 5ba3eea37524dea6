"""`speccas chat`: ask, watch, ask again. One command; what can be typed in it is in chat_commands.py."""

import sys
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from ..options import Files, View, drawn_seed, read_settings, settled, shared_flags
from ..prompt import read_prompt
from ..values import completing

DEFAULTS = {
    "rule": ("exact",), "temperature": 0.7, "min_p": 0.05, "max_tokens": None, "draft_tokens": "auto",
    "seed": drawn_seed,
}  # fmt: skip


@shared_flags(DEFAULTS)
def chat(
    flags: dict[str, Any],
    prompt: Annotated[str | None, typer.Option("-p", "--prompt", metavar="TEXT", help="One turn, then leave.")] = None,
    file: Files = None,
    rule: Annotated[
        str | None,
        typer.Option(
            metavar="RULE",
            help="A rule or ancestor, NAME or NAME:ALPHA (default: exact).",
            autocompletion=completing("rules"),
        ),
    ] = None,
    view: View = "tokens",
    load: Annotated[
        Path | None, typer.Option("--load", metavar="FILE", help="Begin with the conversation in a file of /save.")
    ] = None,
    go_on: Annotated[bool, typer.Option("-c", "--continue", help="Go on with the last conversation.")] = False,
    number: Annotated[
        int | None, typer.Option("--open", metavar="N", help="Go on with conversation N of --list.")
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="List the saved conversations, and leave.")] = False,
    no_live: Annotated[bool, typer.Option("--no-live", help="Draw nothing twice.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Answers alone: no colours, no figures.")] = False,
) -> None:
    """Chat with the pair. Both models' caches are kept, so each turn reads only what is new.

    Type /help for what can be done in a chat. Temperature 0.7 and min-p 0.05 unless set; answers go on until their end.
    """
    from speccas.core.errors import UsageError

    from ..chat.sessions import from_shell, print_sessions

    if listing:
        print_sessions()
        return
    opened = from_shell(go_on, number, load)
    defaults = settled(DEFAULTS)

    def settle(pair: str | None = flags.get("pair"), **given: Any) -> Any:
        found = read_settings({**flags, "rule": rule, "pair": pair, **given}, defaults)
        if len(found.rule) != 1:
            raise UsageError(f"chat takes one rule, not {len(found.rule)}", "/rule changes it while you chat")
        return found

    settings = settle()
    interactive = prompt is None and not file and sys.stdin is not None and sys.stdin.isatty()
    text = None if interactive else read_prompt(prompt, file or ())

    from speccas.core.conversation import transcript as conversations
    from speccas.core.decoding.arms import parse_arm

    from ..chat.loop import Chat
    from ..chat.typed import Typed
    from ..view.arms import check_view

    check_view(view)
    parse_arm(settings.rule[0])
    start = conversations.load(load) if load else conversations.Conversation(settings.system)
    start, path = (start, None) if opened is None else (opened.conversation, opened.path)
    if settings.sources.get("system") in ("flag", "environment"):  # said now, before what a file says
        start = replace(start, system=settings.system)
    other = partial(settle, drafter=(), expert="")
    keyboard = Typed(sys.stdin.fileno()) if interactive else None
    with (
        keyboard or nullcontext(),
        Chat(settings, start, view, other, live=not no_live, quiet=quiet, typed=keyboard, saved=path) as talk,
    ):
        talk.own_files |= {load.resolve()} if load else set()
        if text is not None:
            raise typer.Exit(talk.one_turn(text))
        raise typer.Exit(talk.loop())
