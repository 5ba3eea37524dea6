"""`speccas compare`: the same prompt with the expert alone, `exact`, and each rule."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from ..options import read_prompt, read_settings, shared_flags
from ..view.safe import json_text


@shared_flags
def compare(
    flags: dict[str, Any],
    prompt: Annotated[str | None, typer.Argument(help="The prompt; - reads it from a pipe.")] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(metavar="RULE", help="A rule, NAME or NAME:ALPHA; repeatable (default: token, confidence)."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every rule and ancestor.")] = False,
    view: Annotated[str, typer.Option(metavar="VIEW", help="tokens, rounds (with probabilities) or off.")] = "tokens",
    side_by_side: Annotated[
        bool | None, typer.Option("--side-by-side/--stacked", help="Arms as columns (default: where they fit).")
    ] = None,
    why: Annotated[int | None, typer.Option(metavar="N", help="Explain token N of each arm.", min=0)] = None,
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Record every token, for `speccas replay`.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    no_live: Annotated[bool, typer.Option("--no-live", help="Draw nothing twice.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="The table only.")] = False,
) -> None:
    """Run a prompt with the expert alone, with exact speculation and with each rule, and show what each one bought.

    Tokens are coloured by where they came from; a table at the end gives speed and quality. Repetition penalties are
    not in this version.
    """
    settings = read_settings({**flags, "rule": rule}, {"rule": ("token", "confidence")})
    text = read_prompt(prompt)

    from speccas.core.calibration.planner import Planner, curves_file
    from speccas.core.decoding.arms import every_arm, parse_arm
    from speccas.core.record.manifest import RunDocument
    from speccas.core.record.metrics import Figures, Fold, against

    from ..advice import say_tuned, warn_slower
    from ..play import asked_of, interrupted, manifest_of, opened, play_arm, read, with_log_prob
    from ..record import recording
    from ..view.arms import arms_view, check_view, show_why
    from ..view.tables import show_arms
    from ..view.theme import make_console, make_look

    check_view(view)
    named = every_arm() if every else [parse_arm(name) for name in ("expert", "exact", *settings.rule)]
    arms = {arm.name: arm for arm in named}
    console = make_console()
    look = make_look(console, allow_live=not no_live)
    detail = trace is not None or why is not None or view == "rounds"
    results: list[Figures] = []
    folds: list[Fold] = []
    with opened(settings) as pair:
        if not quiet and not as_json:
            say_tuned(make_console(stderr=True), pair, settings)
        asked = asked_of(pair, settings, text, detail)
        seconds = read(pair, asked.prompt)
        planner = Planner(pair, curves_file())
        shown = "off" if as_json or quiet else view
        with (
            recording(trace, pair, settings, text) as recorder,
            arms_view(look, list(arms), shown, side_by_side, time.monotonic) as (
                sink,
                flowing,
            ),
        ):
            for arm in arms.values():
                sinks = [each for each in (recorder, sink) if each is not None]
                fold = play_arm(pair, planner, arm, asked, sinks, seconds)
                folds.append(fold)
                if not interrupted(fold):
                    with_log_prob(pair, fold, asked.prompt)
                figures = fold.figures()
                results.append(
                    against(figures, fold.tokens, [*results, figures][0], folds[0].tokens, asked.sampling.greedy)
                )
                if recorder is not None:
                    recorder.finished(results[-1], fold.finished.tail if fold.finished else "")
                if flowing is not None:
                    flowing.baseline = results[0].tokens_per_second
                if interrupted(fold):
                    break
        if as_json:
            print(json_text(RunDocument(manifest_of(pair, settings), results).as_json()))
        else:
            show_arms(console, results, detail)
            if not (quiet or detail or interrupted(folds[-1])):
                warn_slower(make_console(stderr=True), pair, settings, results)
            if why is not None:
                for fold in folds:
                    console.print()
                    show_why(look, fold.name, fold.rounds, why)
    if interrupted(folds[-1]):
        raise typer.Exit(130)
