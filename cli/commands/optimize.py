"""`speccas optimize`: the files of a pair made to fit this machine, judged, proved, and kept as a pair of their own."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speccas.core.errors import UsageError

from ..options import read_settings, shared_flags
from ..values import completing
from ..view.safe import json_text

if TYPE_CHECKING:
    from speccas.core.files.profiles import Profile
    from speccas.core.optimize.survey import OptimizePlan

    from ..settings import Settings


MODELS = ("pair", "drafter", "expert", "ctx", "threads", "gpu_layers", "drafter_gpu_layers", "no_memory_check")
"""Of the shared flags those that matter to files; nothing is answered."""


@shared_flags({}, only=MODELS)
def optimize(
    flags: dict[str, Any],
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="PAIR",
            help="A pair by name (or give --drafter and --expert).",
            autocompletion=completing("pairs"),
        ),
    ] = None,
    save_as: Annotated[
        str | None, typer.Option(metavar="NAME", help="The new pair's name (default: PAIR-fast).")
    ] = None,
    max_loss: Annotated[
        str, typer.Option(metavar="NATS", help="Most that the new expert may lose against its source, a token.")
    ] = "0.03",
    types: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE,...", help="Types to make, all of them: Q4_0, IQ4_NL, Q4_K (default: until one is good)."
        ),
    ] = None,
    vocabulary: Annotated[
        str | None,
        typer.Option(metavar="N|all", help="Tokens that the drafter keeps (default: by its size and by measurement)."),
    ] = None,
    layers: Annotated[
        int | None,
        typer.Option(metavar="N", help="Draft with the expert's own first N layers, instead of the drafter.", min=1),
    ] = None,
    source_quant: Annotated[
        str | None,
        typer.Option("--from", metavar="QUANT", help="Make the files of this quant of the pair's repositories: Q8_0."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be made; load and write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress.")] = False,
) -> None:
    """Make the files of a pair fit this machine, and prove it.

    Measures what calls of several tokens cost with the files as they are; makes them anew as Q4_0, or IQ4_NL, or Q4_K,
    with llama.cpp's quantiser, and the drafter with a smaller vocabulary; judges them by what their calls cost, by what
    they lost against their source, and by how much of their drafts is accepted; and proves the best by an interleaved
    run. What was shown to be faster is kept as a new pair. The old one is not touched. Ctrl-C leaves nothing behind.
    """
    from speccas.core.optimize.survey import survey

    from ..interrupt import interruptible
    from ..view.optimize import show_outcome, show_survey
    from ..view.stages import Stages
    from ..view.theme import make_console
    from .bench import needs_extra

    if not dry_run:
        needs_extra("optimize")
    if name is not None:
        flags = {**flags, "pair": name}
    settings = read_settings(flags, {})
    if layers is not None and settings.expert and not settings.drafter:
        settings = replace(settings, drafter=(settings.expert,))  # what drafts is cut from it
    plan = plan_of(settings, save_as, max_loss, vocabulary, source_quant, dry_run)
    plan = replace(plan, layers=layers, name=save_as or f"{plan.profile.name}-first-{layers}" if layers else plan.name)
    plan = replace(plan, types=tuple(types.split(",")) if types else ())
    console, aside = make_console(), make_console(stderr=True)
    if dry_run:
        show_survey(console, plan, survey(plan))
        if layers is not None:
            console.print(f"the drafter is made first: the expert's first {layers} layers")
        return

    from speccas.core.optimize.outcome import document_of
    from speccas.core.optimize.run import optimize
    from speccas.core.runtime.stop import StopFlag

    stop = StopFlag()
    with interruptible(stop), Stages(aside, quiet or as_json) as stages:
        outcome = optimize(plan, stages.tell, stop)
    if as_json:
        print(json_text(document_of(outcome).as_json()))
    else:
        show_outcome(console, outcome)


def plan_of(
    settings: "Settings", save_as: str | None, max_loss: str, vocabulary: str | None, quant: str | None, dry_run: bool
) -> "OptimizePlan":
    """What the flags ask for. Raises UsageError, and with a quant what a download raises."""
    from speccas.core.optimize.survey import OptimizePlan

    from ..checks import real, whole
    from ..play import chosen_profile, load_options
    from ..served import require_here

    profile = chosen_profile(settings)
    require_here(profile, "optimize")
    if not profile.origin and save_as is None:
        raise UsageError("files have no name to save under", "give --save-as NAME")
    if profile.optimized:
        raise UsageError(f"{profile.name} was made by this command", f"optimize {profile.optimized.get('of')} again")
    size = None
    if vocabulary is not None:
        size = 0 if vocabulary == "all" else whole(64, None, ", or all")("--vocabulary", vocabulary)
    if quant is not None:
        profile = of_quant(profile, quant)
        if not dry_run:
            fetch_quant(profile)
    return OptimizePlan(
        name=save_as or f"{profile.name}-fast",
        profile=profile,
        options=load_options(settings),
        max_loss=real(0, 10)("--max-loss", max_loss),
        vocabulary=size,
    )


def of_quant(profile: "Profile", quant: str) -> "Profile":
    """The pair with both models of this quant. Raises UsageError where no file of the pair is on a hub."""
    wanted = {
        role: replace(source, quant=quant, file="", sha256="", bytes=0)
        for role in ("drafter", "expert")
        if (source := getattr(profile, role)).hf
    }
    if not wanted:
        raise UsageError(f"no file of {profile.name} is on a hub: --from has nothing to pull", "give the larger files")
    return replace(profile, **wanted)


def fetch_quant(profile: "Profile") -> None:
    """Download what of a pair is not here."""
    from ..view.theme import make_console
    from .pull import fetch

    models = {"drafter": profile.drafter, "expert": profile.expert}
    fetch(profile.name, {role: source for role, source in models.items() if source.hf}, make_console(stderr=True))
