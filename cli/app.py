"""The `speccas` command: wiring, and the one place where an error becomes a line and an exit code.

Imports nothing heavy: `--help` and `--version` answer without numpy or llama.cpp.
"""

import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from speccas.core.errors import SpeccasError

from .commands.bench import bench
from .commands.chat import chat
from .commands.check import check
from .commands.compare import compare
from .commands.config import config
from .commands.distill import distill
from .commands.doctor import doctor
from .commands.list import list_pairs
from .commands.optimize import optimize
from .commands.pull import pull
from .commands.replay import replay
from .commands.rm import rm
from .commands.rules import rules
from .commands.run import run
from .commands.serve import serve
from .commands.show import show
from .commands.tune import tune
from .commands.verify import verify
from .commands.worker import worker
from .examples import SHORT
from .help import GroupedCommand, GroupedGroup
from .hints import hint_of, quotes_hint
from .streams import StdoutFailed, drop_stdout, open_streams
from .view.safe import one_line
from .view.told import told

COMPLETE = "_SPECCAS_COMPLETE"
"""Set by the shells' completion scripts."""
LIGHT = {"-h", "--help", "--version", "--install-completion", "--show-completion"}

app = typer.Typer(
    invoke_without_command=True,
    rich_markup_mode=None,  # rich help costs 60 ms of every --help
    pretty_exceptions_enable=False,
    cls=GroupedGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 ok, 1 failure, 2 usage, 3 needs the network or an extra, 4 access refused, 5 integrity, "
    "6 does not fit, 7 cannot be paired, 70 native crash, 130 interrupted, 143 terminated.",
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"speccas {version('speccas')}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Speculative cascades for any pair of GGUF models: a small drafter writes ahead, a large expert checks, and a
    deferral rule decides token by token. Watch it happen."""
    if context.invoked_subcommand is None:
        print(context.get_help())


COMMANDS: dict[str, dict[str, Callable[..., None]]] = {
    "Ask": {
        "compare": compare, "run": run, "chat": chat, "serve": serve, "worker": worker, "replay": replay,
        "rules": rules,
    },
    "Measure, and make faster": {
        "bench": bench, "tune": tune, "optimize": optimize, "distill": distill, "doctor": doctor,
    },
    "Pairs and files": {
        "list": list_pairs, "pull": pull, "show": show, "check": check, "verify": verify, "rm": rm,
        "config": config,
    },
}  # fmt: skip
"""In the groups and the order of `--help`."""
for panel, commands in COMMANDS.items():
    for name, command in commands.items():
        settings = {"ignore_unknown_options": name == "config"}  # whose values may be -1
        app.command(name, cls=GroupedCommand, short_help=SHORT[name], rich_help_panel=panel, context_settings=settings)(
            command
        )


def main() -> None:
    """Entry point of the console script. A user's mistake never shows a traceback; SPECCAS_DEBUG=1 shows them all."""
    open_streams()
    arguments = sys.argv[1:]
    if COMPLETE in os.environ:  # a key press waits: Typer would import rich to show one line of plain text
        sys.modules["rich"] = None  # type: ignore[assignment]
    if arguments[:1] == ["help"]:  # as git and cargo take it
        arguments = [*(each for each in arguments if each != "help"), "--help"]
    if arguments and not LIGHT.intersection(arguments):
        from .guard import guard

        guard()
    sys.exit(_flushed(_run(arguments)))


def _run(arguments: list[str]) -> int:
    try:
        code = app(arguments, prog_name="speccas", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except SpeccasError as error:
        if os.environ.get("SPECCAS_DEBUG"):
            raise
        return _tell(error.message, hint_of(error), error.exit_code)
    except typer.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return _tell("interrupted", "", 130)
    except StdoutFailed as failed:
        return _lost(failed, 0)
    except SystemExit as end:  # a signal
        return end.code if isinstance(end.code, int) else 1
    except OSError as error:  # a full disk, most likely; what is about a user's file was told by name before
        if os.environ.get("SPECCAS_DEBUG"):
            raise
        where = f": {error.filename}" if error.filename else ""
        return _tell(f"{error.strerror or error}{where}", "what was written before may be incomplete", 1)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        command = "speccas" if context is None else context.command_path
        what = "commands and flags" if command == "speccas" else "what it takes"
        hint = quotes_hint(error.format_message(), context) or f"{command} --help lists {what}"
        return _tell(error.format_message(), hint, 2)


def _flushed(code: int) -> int:
    """Write what is held back, now that it can still be said if it fails. An error that was told before keeps its
    code."""
    try:
        sys.stdout.flush()
        return code
    except StdoutFailed as failed:
        return _lost(failed, code)


def _lost(failed: StdoutFailed, code: int) -> int:
    drop_stdout()
    if failed.left:
        return code
    hint = "what was written before may be incomplete"
    return _tell(f"cannot write to stdout: {failed.reason}", hint, code or 1)


def _tell(message: str, hint: str, code: int) -> int:
    lines = [f"error: {one_line(message)}", *([f"hint: {one_line(hint)}"] if hint else [])]
    sys.stderr.write("".join(told(line, sys.stderr) + "\n" for line in lines))
    return code
