"""`speccas run`: one answer, for pipes. stdout is the answer and nothing else."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..options import read_prompt, read_settings, shared_flags
from ..view.safe import json_text


@shared_flags
def run(
    flags: dict[str, Any],
    prompt: Annotated[str | None, typer.Argument(help="The prompt; - reads it from a pipe.")] = None,
    rule: Annotated[
        str | None, typer.Option(metavar="RULE", help="A rule or ancestor, NAME or NAME:ALPHA (default: exact).")
    ] = None,
    view: Annotated[str, typer.Option(metavar="VIEW", help="tokens, rounds (with probabilities) or off.")] = "tokens",
    why: Annotated[int | None, typer.Option(metavar="N", help="Explain token N, on stderr.", min=0)] = None,
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Record every token, for `speccas replay`.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    no_live: Annotated[bool, typer.Option("--no-live", help="Draw nothing twice.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No colours and no figures.")] = False,
) -> None:
    """Write one answer. In a pipe stdout is the bytes of the answer; on a terminal each token is coloured by where it
    came from, and the figures follow on stderr."""
    settings = read_settings({**flags, "rule": rule}, {"rule": ("exact",), "draft_tokens": "auto"})
    text = read_prompt(prompt)

    from speccas.core.calibration.planner import Planner, curves_file
    from speccas.core.decoding.arms import parse_arm
    from speccas.core.decoding.events import Event, Finished, Judged
    from speccas.core.errors import UsageError
    from speccas.core.record.manifest import RunDocument
    from speccas.core.tune.advice import FEWEST

    from ..advice import against_alone, say_tuned, warn_slower
    from ..play import asked_of, interrupted, manifest_of, opened, play_arm, read, with_log_prob
    from ..record import recording
    from ..view.arms import check_view, show_why
    from ..view.tables import one_arm
    from ..view.theme import make_console, make_look
    from ..view.tokens import TokenView

    check_view(view)
    if len(settings.rule) != 1:
        raise UsageError(f"run takes one rule, not {len(settings.rule)}", "use `speccas compare` for several")
    arm = parse_arm(settings.rule[0])
    console, aside = make_console(), make_console(stderr=True)
    plain = quiet or not console.is_terminal or view == "off"

    def pipe(event: Event) -> None:
        """The answer as text, as it settles; never a mark."""
        if isinstance(event, Judged):
            sys.stdout.write("".join(token.text for token in event.tokens))
        elif isinstance(event, Finished):
            sys.stdout.write(event.tail + "\n")
        sys.stdout.flush()

    with opened(settings) as pair:
        if not quiet and not as_json:
            say_tuned(aside, pair, settings)
        asked = asked_of(pair, settings, text, detail=trace is not None or why is not None or view == "rounds")
        planner = Planner(pair, curves_file())
        seconds = read(pair, asked.prompt, planner.drafting(asked.wanted).reads_prompt(pair, arm, asked.sampling))
        look = make_look(console, allow_live=not no_live)
        with (
            recording(trace, pair, settings, text) as recorder,
            TokenView(look, headings=False, rounds=view == "rounds") as shown,
        ):
            sinks = [] if as_json else [pipe if plain else shown]
            fold = play_arm(pair, planner, arm, asked, sinks if recorder is None else [recorder, *sinks], seconds)
            planner.save()
            if recorder is not None:
                recorder.finished(fold.figures(), fold.finished.tail if fold.finished else "")
        if as_json:
            figures = (fold if interrupted(fold) else with_log_prob(pair, fold, asked.prompt)).figures()
            print(json_text(RunDocument(manifest_of(pair, settings), [figures]).as_json()))
        elif not plain:
            one_arm(aside, fold.figures())
        timed = not (asked.detail or arm.rule is None or interrupted(fold)) and len(fold.tokens) >= FEWEST
        if timed and not (quiet or as_json):
            warn_slower(aside, pair, settings, [against_alone(pair, fold.figures())])
        if why is not None:
            show_why(make_look(aside), fold.name, fold.rounds, why)
    if interrupted(fold):
        raise typer.Exit(130)
