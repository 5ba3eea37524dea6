"""`speccas verify`: every byte of a pair's files against its hash."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ..values import completing

if TYPE_CHECKING:
    from speccas.core.errors import IntegrityError
    from speccas.core.files.source import Source


def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PAIR|hf:OWNER/REPO[:QUANT]",
            help="All that are here, if none.",
            autocompletion=completing("pairs and models"),
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress.")] = False,
) -> None:
    """Hash model files and hold them against the hub's SHA-256, and files that were made here against their card. A
    downloaded file that is wrong is deleted, so that `speccas pull` fetches it again."""
    from speccas.core.errors import IntegrityError
    from speccas.core.files.administration import Checked, verify

    from ..view.safe import one_line
    from ..view.theme import make_console
    from ..view.transfers import Transfers

    sources, damaged = asked(names or ())
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
            "speccas pull fetches it again" if first.deleted else "replace the file, or make it again",
        )
    if damaged:
        raise damaged[0]


def asked(names: Sequence[str]) -> "tuple[dict[str, Source], list[IntegrityError]]":
    """The sources to check by key, all that are here where there are no names; those that were made with the hash on
    their card. Cards that are gone or damaged are told behind the others, unless they were asked for by name."""
    from speccas.core.errors import IntegrityError
    from speccas.core.files.local import local_model
    from speccas.core.files.profiles import find_profile, is_pair, named, profiles
    from speccas.core.optimize.store import card_sources, optimized_of

    sources: dict[str, Source] = {}
    damaged: list[IntegrityError] = []
    for name in names:
        made = optimized_of(find_profile(name)) if is_pair(name) else None
        found = named(name)[1] if made is None else card_sources(find_profile(name))
        sources |= {source.key: source for source in found.values() if not source.head}
    for pair in () if names else map(find_profile, profiles()):
        every = [source for role in pair.roles for source in pair.sources(role)]
        try:
            every = every if optimized_of(pair) is None else list(card_sources(pair).values())
        except IntegrityError as error:
            damaged.append(error)
        sources |= {source.key: source for source in every if local_model(source).state == "have"}
    return sources, damaged
