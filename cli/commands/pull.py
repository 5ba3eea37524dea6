"""`speccas pull`: a pair's files, or one model's, into the shared cache. stdout is their paths."""

from typing import TYPE_CHECKING, Annotated

import typer

from ..values import completing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.console import Console

    from speccas.core.files.hub import Job
    from speccas.core.files.source import Source


def pull(
    name: Annotated[
        str,
        typer.Argument(
            metavar="PAIR|hf:OWNER/REPO[:QUANT]", help="What to download.", autocompletion=completing("pairs")
        ),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be downloaded, and stop.")] = False,
    update: Annotated[bool, typer.Option("--update", help="Ask the hub again for what is already here.")] = False,
    for_: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="cpu|gpu",
            help="Which file, where a pair names one for each (default: here).",
            autocompletion=completing(("cpu", "gpu")),
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress.")] = False,
) -> None:
    """Download a pair, or one model. What is here stays and needs no network; a download that was cut off goes on;
    every byte is checked against the hub's SHA-256. Prints the paths, drafter first."""
    from speccas.core.files.profiles import named
    from speccas.core.files.source import of_hub

    from ..view.plain import write_path
    from ..view.theme import make_console

    name = of_hub(name)
    label, sources = named(name, wanted_processor(name, for_))
    aside = make_console(stderr=True)
    if not quiet:
        say_fitted(aside, name, for_)
    for path in fetch(label, sources, aside, dry_run=dry_run, update=update, quiet=quiet):
        write_path(path)


def fetch(
    label: str,
    sources: "Mapping[str, Source]",
    aside: "Console",
    *,
    dry_run: bool = False,
    update: bool = False,
    quiet: bool = False,
) -> "list[Path]":
    """Download what is not here, noted as that of `label`; the first file of each source, in order. A dry run says what
    would be downloaded, and returns nothing where something would. Raises every error of the hub."""
    from speccas.core.files.cache import find
    from speccas.core.files.local import locate
    from speccas.core.files.network import require_network

    from ..view.safe import one_line
    from ..view.transfers import Transfers

    sources = {role: source for role, source in sources.items() if not source.head}  # it comes with the expert
    have = {} if update else {role: entry for role, s in sources.items() if s.hf and (entry := find(s)) is not None}
    paths = {role: locate(source) for role, source in sources.items() if not source.hf}
    if all(role in have or role in paths for role in sources) and (dry_run or not have):
        if dry_run:
            aside.print("everything is here: nothing to download")
        return [paths[role] if role in paths else have[role].paths[0] for role in sources]

    require_network()  # before huggingface_hub reads the environment
    from speccas.core.files import hub

    if not dry_run:  # noted in the lock, so that it is known whose files they are
        kept = {role: hub.keep(sources[role], label) for role in have}
        have = {role: entry for role, entry in kept.items() if entry is not None}
    wanted = {role: hub.look_up(s) for role, s in sources.items() if role not in have and role not in paths}
    jobs = hub.plan(list(wanted.values()))
    if dry_run:
        show_plan(aside, jobs)
        return []
    hub.require_space(jobs)
    for remote in wanted.values():
        if remote.licence and not quiet:
            aside.print(f"{one_line(remote.repo)}: licence {one_line(remote.licence)}", soft_wrap=True)
    with Transfers(aside, quiet) as transfers:
        for role, remote in wanted.items():
            have[role] = hub.pull(sources[role], remote, label, transfers.tell)
    return [paths[role] if role in paths else have[role].paths[0] for role in sources]


def wanted_processor(name: str, typed: str | None) -> str | None:
    """Raises UsageError where `--for` names no processor, or the name no pair."""
    from speccas.core.errors import UsageError
    from speccas.core.files.profiles import is_pair
    from speccas.core.machine.processor import PROCESSORS

    if typed is not None and typed not in PROCESSORS:
        raise UsageError(f"--for {typed!r} is no processor", f"write --for {' or --for '.join(PROCESSORS)}")
    if typed is not None and not is_pair(name):
        raise UsageError("--for goes with a pair", "name the quant itself: hf:OWNER/REPO:QUANT")
    return typed


def say_fitted(aside: "Console", name: str, wanted: str | None) -> None:
    """Which file is taken of a model that has one for a CPU and one for a GPU, and how to have the other."""
    from speccas.core.files.profiles import find_profile, is_pair
    from speccas.core.machine.processor import PROCESSORS

    from ..view.safe import one_line

    for role, fitted in (find_profile(name, wanted).fitted if is_pair(name) else {}).items():
        text = f"{role}: {fitted.told}"
        if wanted is None and fitted.taken != fitted.machine:
            text += f"; it is here already, and models run on {PROCESSORS[fitted.machine]} here: "
            text += f"`speccas pull {name} --for {fitted.machine}` fetches the other"
        aside.print(one_line(text), soft_wrap=True, markup=False, highlight=False)


def show_plan(aside: "Console", jobs: "Sequence[Job]") -> None:
    """What would be downloaded, and how much of it."""
    from ..view.safe import one_line

    for job in jobs:
        left = job.file.bytes - job.here
        where = f"{one_line(job.remote.repo)}/{one_line(job.file.path)}"
        aside.print(f"{where}: {job.file.bytes / 1e9:.2f} GB, {left / 1e9:.2f} GB to download", soft_wrap=True)
    total = sum(job.file.bytes - job.here for job in jobs)
    print(f"{total / 1e9:.2f} GB to download ({total} bytes)")
