"""`speccas rm`: a pair's files from the cache, but never one that another pair uses."""

from typing import TYPE_CHECKING, Annotated

import typer

from ..values import completing

if TYPE_CHECKING:
    from speccas.core.files.profiles import Profile


def rm(
    name: Annotated[
        str,
        typer.Argument(
            metavar="PAIR|hf:OWNER/REPO[:QUANT]", help="What to delete.", autocompletion=completing("pairs and models")
        ),
    ],
) -> None:
    """Delete a pair's downloaded files, or one model's; of a pair whose files were made here those, and the pair. What
    another pair uses stays; files you gave by path, and those of a Python package, are never touched. Says what was
    freed."""
    from speccas.core.errors import UsageError
    from speccas.core.files.administration import pulled_for, remove_model
    from speccas.core.files.profiles import find_profile, is_pair, named
    from speccas.core.files.source import of_hub
    from speccas.core.optimize.store import optimized_of

    from ..view.safe import one_line

    name = of_hub(name)
    label, sources = named(name)
    if is_pair(name) and optimized_of(find_profile(name)) is not None:
        remove_pair(find_profile(name))
        return
    every = pulled_for(find_profile(name)) if is_pair(name) else list(sources.values())
    downloaded = [source for source in every if source.hf]
    if not downloaded:
        raise UsageError(f"nothing of {name} was downloaded", "its files are your own, or a Python package's")
    removed = [remove_model(source, label) for source in downloaded]
    if not any(each.found for each in removed):
        raise UsageError(f"nothing of {name} is on this machine", "speccas list")
    for each in removed:
        if each.kept_for:
            print(f"kept    {one_line(str(each.source))}: used by {one_line(', '.join(each.kept_for))}")
        elif each.found:
            print(f"deleted {one_line(str(each.source))}: {each.freed / 1e9:.2f} GB")
    freed = sum(each.freed for each in removed)
    print(f"freed {freed / 1e9:.2f} GB ({freed} bytes)")


def remove_pair(pair: "Profile") -> None:
    """Delete files that were made, the profile that names them, and what tune found for it."""
    from pathlib import Path

    from speccas.core.optimize.store import optimized_of, remove_made
    from speccas.core.tune.store import tuned_file

    from ..view.safe import one_line

    made, name = optimized_of(pair), Path(pair.origin).stem
    freed = remove_made(pair)
    tuned_file(name).unlink(missing_ok=True)
    print(f"deleted {one_line(name)}: {freed / 1e9:.2f} GB, made of {one_line(made.of if made else '?')}")
    print(f"freed {freed / 1e9:.2f} GB ({freed} bytes)")
