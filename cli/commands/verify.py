"""`speccas verify`: every byte of a pair's files against its hash."""

from typing import Annotated

import typer


def verify(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[PAIR|hf:OWNER/REPO[:QUANT]]...", help="All that are here, if none.")
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress.")] = False,
) -> None:
    """Hash model files and hold them against the hub's SHA-256. A downloaded file that is wrong is deleted, so that
    `speccas pull` fetches it again."""
    from speccas.core.errors import IntegrityError
    from speccas.core.files.administration import Checked, verify
    from speccas.core.files.local import local_model
    from speccas.core.files.profiles import find_profile, named, profiles
    from speccas.core.files.source import Source

    from ..view.safe import one_line
    from ..view.theme import make_console
    from ..view.transfers import Transfers

    sources: dict[str, Source] = {}
    for name in names or ():
        sources |= {source.key: source for source in named(name)[1].values()}
    if not names:
        pairs = [find_profile(name) for name in profiles()]
        here = [
            source
            for pair in pairs
            for role in ("drafter", "expert")
            for source in pair.sources(role)
            if local_model(source).state == "have"
        ]
        sources = {source.key: source for source in here}
    results: list[Checked] = []
    with Transfers(make_console(stderr=True), quiet) as transfers:
        for source in sources.values():
            for checked in verify(source, transfers.tell):
                results.append(checked)
    for each in results:
        word = ("right" if each.expected else "unknown") if each.right else "WRONG"
        print(f"{word:<8}{each.found}  {one_line(str(each.path))}")
    wrong = [each for each in results if not each.right]
    if wrong:
        first = wrong[0]
        done = "deleted" if first.deleted else "left where it is"
        raise IntegrityError(
            f"{first.path} is wrong: its SHA-256 is {first.found}, expected {first.expected}; it was {done}",
            "speccas pull fetches it again" if first.deleted else "replace the file",
        )
