"""`speccas pull`: a pair's files, or one model's, into the shared cache. stdout is their paths."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from speccas.core.files.hub import Job


def pull(
    name: Annotated[str, typer.Argument(metavar="PAIR|hf:OWNER/REPO[:QUANT]", help="What to download.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be downloaded, and stop.")] = False,
    update: Annotated[bool, typer.Option("--update", help="Ask the hub again for what is already here.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress.")] = False,
) -> None:
    """Download a pair, or one model. What is here stays and needs no network; a download that was cut off goes on;
    every byte is checked against the hub's SHA-256. Prints the paths, drafter first."""
    from speccas.core.files.cache import find
    from speccas.core.files.local import locate
    from speccas.core.files.profiles import named

    from ..view.plain import write_path
    from ..view.safe import one_line
    from ..view.theme import make_console
    from ..view.transfers import Transfers

    label, sources = named(name)
    aside = make_console(stderr=True)
    have = {} if update else {role: entry for role, s in sources.items() if s.hf and (entry := find(s)) is not None}
    paths = {role: locate(source) for role, source in sources.items() if not source.hf}
    if all(role in have or role in paths for role in sources) and (dry_run or not have):
        if dry_run:
            aside.print("everything is here: nothing to download")
        for role in sources:
            write_path(paths[role] if role in paths else have[role].paths[0])
        return

    from speccas.core.files import hub

    if not dry_run:  # noted in the lock, so that it is known whose files they are
        kept = {role: hub.keep(sources[role], label) for role in have}
        have = {role: entry for role, entry in kept.items() if entry is not None}
    wanted = {role: hub.look_up(s) for role, s in sources.items() if role not in have and role not in paths}
    jobs = hub.plan(list(wanted.values()))
    if dry_run:
        show_plan(aside, jobs)
        return
    hub.require_space(jobs)
    for remote in wanted.values():
        if remote.licence and not quiet:
            aside.print(f"{one_line(remote.repo)}: licence {one_line(remote.licence)}", soft_wrap=True)
    with Transfers(aside, quiet) as transfers:
        for role, remote in wanted.items():
            have[role] = hub.pull(sources[role], remote, label, transfers.tell)
    for role in sources:
        write_path(paths[role] if role in paths else have[role].paths[0])


def show_plan(aside: "Console", jobs: "Sequence[Job]") -> None:
    """What would be downloaded, and how much of it."""
    from ..view.safe import one_line

    for job in jobs:
        left = job.file.bytes - job.here
        where = f"{one_line(job.remote.repo)}/{one_line(job.file.path)}"
        aside.print(f"{where}: {job.file.bytes / 1e9:.2f} GB, {left / 1e9:.2f} GB to download", soft_wrap=True)
    total = sum(job.file.bytes - job.here for job in jobs)
    print(f"{total / 1e9:.2f} GB to download ({total} bytes)")
