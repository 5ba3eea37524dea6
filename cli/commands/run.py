"""`speccas run`: one answer, for pipes. stdout is the answer and nothing else."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..batch import read_prompts, run_batch
from ..options import Files, View, drawn_seed, read_settings, shared_flags
from ..prompt import read_prompt
from ..values import completing
from ..view.safe import json_text

if TYPE_CHECKING:
    from speccas.core.decoding.arms import Arm
    from speccas.core.record.metrics import Fold
    from speccas.core.runtime.pair import Pair

    from ..play import Asked, Output
    from ..settings import Settings


DEFAULTS = {"rule": ("exact",), "draft_tokens": "auto", "seed": drawn_seed}


@shared_flags(DEFAULTS)
def run(
    flags: dict[str, Any],
    prompt: Annotated[
        str | None,
        typer.Argument(metavar="PROMPT", help="The prompt; files and piped text go behind it, - is the pipe alone."),
    ] = None,
    file: Files = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Answer each line of a text, or each `prompt` of JSON lines; a line of JSON each."
        ),
    ] = None,
    rule: Annotated[
        str | None,
        typer.Option(
            metavar="RULE",
            help="A rule or ancestor, NAME or NAME:ALPHA (default: exact).",
            autocompletion=completing("rules"),
        ),
    ] = None,
    view: View = "tokens",
    why: Annotated[int | None, typer.Option(metavar="N", help="Explain token N, on stderr.", min=0)] = None,
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Record every token, for `speccas replay`.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file of --trace.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    no_live: Annotated[bool, typer.Option("--no-live", help="Draw nothing twice.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No colours and no figures.")] = False,
) -> None:
    """Write one answer. In a pipe stdout is the bytes of the answer; on a terminal each token is coloured by where it
    came from, and the figures follow on stderr."""
    settings = read_settings({**flags, "rule": rule}, DEFAULTS)
    many = None if prompts is None else read_prompts(prompts, [prompt, file])
    text = read_prompt(prompt, file or ()) if many is None else ""

    from speccas.core.decoding.arms import parse_arm
    from speccas.core.errors import UsageError

    from ..play import Output, interrupted, opened
    from ..view.arms import check_view

    check_view(view)
    if len(settings.rule) != 1:
        raise UsageError(f"run takes one rule, not {len(settings.rule)}", "use `speccas compare` for several")
    arm = parse_arm(settings.rule[0])
    output = Output(view, why, trace, as_json, not no_live, quiet, force)
    output.require_new()
    if many is not None:
        raise typer.Exit(run_batch(settings, many, arm, output))
    with opened(settings, [arm]) as pair:
        fold = answer(pair, settings, text, arm, output)
    if fold.lost is not None:  # what was written before stands on stdout
        raise fold.lost
    if interrupted(fold):
        raise typer.Exit(130)


def answer(pair: "Pair", settings: "Settings", text: str, arm: "Arm", output: "Output") -> "Fold":
    """Play the arm, show it as it comes, and tell what it was."""
    from speccas.core.calibration.planner import Planner, curves_file

    from ..advice import note_off, say_elsewhere, say_seed, say_tuned
    from ..notes import prompt_notes, say_notes
    from ..play import asked_of, play_arm, read
    from ..record import recording
    from ..served import say_served
    from ..view.header import introduce
    from ..view.plain import write_event
    from ..view.theme import make_console, make_look
    from ..view.tokens import TokenView

    console, aside = make_console(), make_console(stderr=True)
    look, rounds = make_look(console, output.live), output.view == "rounds"
    plain = output.quiet or not console.is_terminal or output.view == "off"
    if not (plain or output.as_json) and aside.is_terminal:
        introduce(make_look(aside), pair, settings, [arm], rounds=rounds, live=look.live)
    elif not output.silent:
        say_seed(aside, settings)
    if not output.silent:
        say_tuned(aside, pair, settings)
    asked = asked_of(pair, settings, text, output.detail)
    if not output.silent:
        say_notes(aside, prompt_notes(pair, settings.system, settings.raw))
    planner = Planner(pair, curves_file())
    seconds = read(pair, asked.prompt, planner.drafting(asked.wanted).reads_prompt(pair, arm, asked.sampling))
    if not output.silent:
        say_served(pair, settings)
        say_elsewhere(aside, planner, [arm], asked.sampling)
    with (
        recording(output.trace, output.force, pair, settings, text) as recorder,
        TokenView(look, headings=False, rounds=rounds, numbers=output.view == "numbers") as shown,
    ):
        sinks = [] if output.as_json else [write_event if plain else shown]
        fold = play_arm(pair, planner, arm, asked, sinks if recorder is None else [recorder, *sinks], seconds)
        planner.save()
        if recorder is not None:
            recorder.finished(fold.figures(), fold.finished.tail if fold.finished else "")
    tell(pair, settings, asked, fold, output, plain)
    if aside.is_terminal and not (plain or output.silent or asked.detail):
        note_off(aside, pair, fold.figures(), planner.latency)
    return fold


def tell(pair: "Pair", settings: "Settings", asked: "Asked", fold: "Fold", output: "Output", plain: bool) -> None:
    """The document, or the figures; then what is to be said of the speed, and the token that is to be explained."""
    from speccas.core.record.manifest import RunDocument
    from speccas.core.tune.advice import FEWEST

    from ..advice import against_alone, warn_slower
    from ..notes import empty_notes, say_notes
    from ..play import interrupted, manifest_of, with_log_prob
    from ..view.arms import show_why
    from ..view.tables import one_arm
    from ..view.theme import make_console, make_look

    aside = make_console(stderr=True)
    if output.as_json:
        figures = (fold if interrupted(fold) else with_log_prob(pair, fold, asked)).figures()
        print(json_text(RunDocument(manifest_of(pair, settings), [figures]).as_json()))
    elif not plain:
        one_arm(aside, fold.figures())
    if not output.silent:
        say_notes(aside, empty_notes([fold.figures()]))
    drafted = fold.started is not None and fold.started.k is not None
    timed = drafted and not (asked.detail or interrupted(fold)) and len(fold.tokens) >= FEWEST
    if timed and not output.silent:
        warn_slower(aside, pair, settings, [against_alone(pair, fold.figures())])
    if output.why is not None:
        show_why(make_look(aside), fold.name, fold.rounds, output.why)
