"""`speccas serve`: the pair behind an OpenAI-compatible endpoint."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..options import drawn_seed, read_settings, shared_flags
from ..settings import FLAGS
from ..values import completing

if TYPE_CHECKING:
    from collections.abc import Callable

    from speccas.core.server.app import Service
    from speccas.core.server.handled import Handled
    from speccas.core.server.line import Worker

    from ..settings import Settings

DEFAULTS = {
    "temperature": 0.7, "min_p": 0.05, "max_tokens": None, "draft_tokens": "auto", "seed": drawn_seed,
}  # fmt: skip
OWN = {"raw", "system", "ignore_eos", "stop"}
"""Flags of other commands that every request says for itself."""
COMMAND = "speccas serve"  # without its flags: one of them is the key
EXTRA = ("starlette", "uvicorn", "prometheus_client")


@shared_flags(DEFAULTS, only=[name for name in FLAGS if name not in OWN])
def serve(
    flags: dict[str, Any],
    host: Annotated[
        str, typer.Option(metavar="HOST", help="Where to listen: this machine alone, unless told otherwise.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", help="0 is any free one.", min=0, max=65535)] = 8080,
    api_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="What clients must know; or SPECCAS_API_KEY in the environment.")
    ] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RULE",
            help="List PAIR:RULE as a model, repeatable; unlisted ones can be asked for too.",
            autocompletion=completing("rules"),
        ),
    ] = None,
    queue: Annotated[
        int,
        typer.Option(metavar="N", help="Most requests that wait; others are told to come back.", min=0),
    ] = 8,
    cache_ram: Annotated[
        int,
        typer.Option(metavar="SIZE", help="MiB for the caches of conversations that come back; 0 keeps none.", min=0),
    ] = 1024,
    cors: Annotated[
        list[str] | None, typer.Option(metavar="ORIGIN", help="Whose web pages may ask, repeatable; * is all.")
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Another name of this machine that clients use; repeatable."),
    ] = None,
    grace: Annotated[
        float, typer.Option(metavar="SECONDS", help="What an answer has to end in after SIGTERM.", min=0)
    ] = 10.0,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log a JSON object a request, for programs.")] = False,
    log_text: Annotated[bool, typer.Option("--log-text", help="Log what was asked and answered, too.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but what is wrong.")] = False,
) -> None:
    """Serve the pair to everything that talks to OpenAI's API: editors, chats, scripts.

    The model PAIR writes only what the expert would; PAIR:RULE and PAIR:RULE:ALPHA are the pair under a rule.
    """
    needs_extra()
    settings = read_settings({**flags, "rule": rule}, DEFAULTS)

    from speccas.core.decoding.arms import parse_arm
    from speccas.core.decoding.verify import require_test
    from speccas.core.server.access import Access, known_hosts
    from speccas.core.server.run import open_socket
    from speccas.core.server.run import serve as serve_until

    from ..play import sampling_of

    for name in ("exact", *settings.rule):  # at once, not in every answer
        require_test(parse_arm(name).rule, sampling_of(settings))
    listening = open_socket(host, port)
    key = key_of(api_key)
    warn_of_strangers(host, key)
    worker = started(settings, cache_ram << 20)
    try:
        service = service_of(settings, worker, queue)
        if not quiet:
            introduce(service, listening, host)
        access = Access(key, known_hosts(host, tuple(allow_host or ())))
        log = logging(log_json, log_text, quiet)
        number = serve_until(service, access, tuple(cors or ()), listening, grace, log)
    finally:
        worker.close()
    if service.line.failed is not None and not number:  # a signal ends a pair that is being loaded, too
        raise service.line.failed
    raise typer.Exit(128 + number)


def needs_extra() -> None:
    """Raises NotInstalled where the libraries of the extra are not there."""
    from importlib.util import find_spec

    from speccas.core.errors import NotInstalled

    missing = [name.replace("_", "-") for name in EXTRA if find_spec(name) is None]
    if missing:
        raise NotInstalled(f"serve needs {', '.join(missing)}", extra="serve")


def key_of(typed: str | None) -> str:
    """Raises UsageError for a key that no header can carry."""
    import os

    from speccas.core.errors import UsageError

    key = os.environ.get("SPECCAS_API_KEY", "") if typed is None else typed
    if typed == "" or not (key.isascii() and (not key or key.isprintable())) or key != key.strip():
        raise UsageError("the API key must be printable ASCII, without blanks around it", "give another --api-key")
    return key


def warn_of_strangers(host: str, key: str) -> None:
    """Say so where others can ask this machine, and nothing stops them."""
    from speccas.core.server.access import is_loopback

    from ..view.theme import STYLES, make_console

    if not is_loopback(host) and not key:
        text = f"warning: everybody who reaches {host} can use this server: give --api-key KEY, or --host 127.0.0.1"
        make_console(stderr=True).print(text, style=STYLES["warning"], soft_wrap=True)


def started(settings: "Settings", cache_bytes: int) -> "Worker":
    """The process that owns the pair, with a bar while it loads. Raises what `load_pair` does."""
    from speccas.core.calibration.planner import curves_file
    from speccas.core.server.line import Worker

    from ..play import chosen_profile, load_options
    from ..view.progress import Waiting
    from ..view.theme import make_console

    worker = Worker(chosen_profile(settings), load_options(settings), curves_file(), COMMAND, cache_bytes)
    try:
        with Waiting(make_console(stderr=True)) as waiting:
            worker.start(lambda loading: waiting.tell(f"loading {loading.role}", loading.share))
    except BaseException:  # Ctrl-C too
        worker.close()
        raise
    return worker


def service_of(settings: "Settings", worker: "Worker", queue: int) -> "Service":
    import time

    from speccas.core.server.app import Service
    from speccas.core.server.asked import Defaults
    from speccas.core.server.catalogue import Catalogue
    from speccas.core.server.line import Line

    from ..play import chosen_profile, length_of, sampling_of, think_of, wanted_of

    seed = None if settings.sources.get("seed") == "default" else settings.seed
    defaults = Defaults(sampling_of(settings), length_of(settings), wanted_of(settings), think_of(settings), seed)
    catalogue = Catalogue(chosen_profile(settings).name, int(time.time()), settings.rule)
    return Service(Line(worker, queue), catalogue, defaults, drawn_seed)


def logging(as_json: bool, text: bool, quiet: bool) -> "Callable[[Handled], None]":
    """What writes the log: a line a request on stderr, nothing where that is to be quiet."""
    import contextlib
    import sys
    import time

    from speccas.core.server.log import as_json_line, as_line, is_logged

    line = as_json_line if as_json else as_line

    def tell(handled: "Handled") -> None:
        if is_logged(handled) and not quiet:
            with contextlib.suppress(OSError):  # nobody reads the log any more
                print(line(handled, time.time(), text), file=sys.stderr, flush=True)

    return tell


def introduce(service: "Service", listening: Any, host: str) -> None:
    """Where it listens, and what the models are called."""
    from speccas.core.server.run import address_of

    from ..view.theme import make_console

    names = ", ".join(service.catalogue.names)
    address = address_of(listening)
    text = f"serving {names} at {address}, a page to chat in at {address.removesuffix('v1')}; Ctrl-C ends it"
    make_console(stderr=True).print(text, soft_wrap=True, highlight=False, markup=False)
