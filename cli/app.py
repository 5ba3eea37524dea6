"""The `speccas` command: wiring, and the one place where an error becomes a line and an exit code.

Imports nothing heavy: `--help` and `--version` answer without numpy or llama.cpp.
"""

import io
import os
import sys
from typing import Annotated

import typer

from speccas.core.errors import SpeccasError

from .commands.bench import bench
from .commands.chat import chat
from .commands.check import check
from .commands.compare import compare
from .commands.doctor import doctor
from .commands.list import list_pairs
from .commands.pull import pull
from .commands.replay import replay
from .commands.rm import rm
from .commands.rules import rules
from .commands.run import run
from .commands.show import show
from .commands.tune import tune
from .commands.verify import verify
from .hints import hint_of
from .view.safe import one_line

LIGHT = {"--help", "--version", "--install-completion", "--show-completion"}

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,  # rich help costs 60 ms of every --help
    pretty_exceptions_enable=False,
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
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Speculative cascades for any pair of GGUF models: a small drafter writes ahead, a large expert checks, and a
    deferral rule decides token by token. Watch it happen."""


app.command()(compare)
app.command()(bench)
app.command()(tune)
app.command()(run)
app.command()(chat)
app.command()(replay)
app.command("list")(list_pairs)
app.command()(pull)
app.command()(show)
app.command()(check)
app.command()(verify)
app.command()(rm)
app.command()(rules)
app.command()(doctor)


def main() -> None:
    """Entry point of the console script. A user's mistake never shows a traceback; SPECCAS_DEBUG=1 shows them all."""
    _fill_closed_streams()
    arguments = sys.argv[1:]
    if arguments and arguments[0] not in LIGHT and not LIGHT.intersection(arguments):
        from .guard import guard

        guard()
    sys.exit(_run())


def _fill_closed_streams() -> None:
    """A stream that the caller closed goes nowhere; else the next file we open would get its number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")


def _run() -> int:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a stream of ASCII gets ? for a mark or a letter that it lacks
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except SpeccasError as error:
        if os.environ.get("SPECCAS_DEBUG"):
            raise
        return _tell(error.message, hint_of(error), error.exit_code)
    except typer.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return _tell("interrupted", "", 130)
    except (BrokenPipeError, SystemExit) as end:
        if isinstance(end, SystemExit) and not isinstance(end.__context__, BrokenPipeError):
            raise  # Typer makes exit code 1 of a reader that left; here that is a quiet end
        _drop_stdout()
        return 0
    except OSError as error:  # a full disk, most likely; what is about a user's file was told by name before
        if os.environ.get("SPECCAS_DEBUG"):
            raise
        _drop_stdout()
        where = f": {error.filename}" if error.filename else ""
        return _tell(f"{error.strerror or error}{where}", "what was written before may be incomplete", 1)
    except typer.TyperException as error:
        return _tell(error.format_message(), "speccas --help lists commands and flags", 2)


def _drop_stdout() -> None:
    """So that the interpreter's last flush finds somewhere to go."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _tell(message: str, hint: str, code: int) -> int:
    sys.stderr.write(f"error: {one_line(message)}\n" + (f"hint: {one_line(hint)}\n" if hint else ""))
    return code
