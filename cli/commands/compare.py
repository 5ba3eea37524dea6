"""`speccas compare`: the same prompt with the expert alone, `exact`, and each rule."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..options import Files, View, drawn_seed, read_settings, shared_flags
from ..prompt import read_prompt
from ..values import completing
from ..view.safe import json_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from speccas.core.calibration.planner import Planner
    from speccas.core.decoding.arms import Arm
    from speccas.core.record.comparison import Comparison
    from speccas.core.record.metrics import Figures, Fold
    from speccas.core.runtime.pair import Pair

    from ..play import Asked, Output
    from ..settings import Settings
    from ..view.verdict import PairNotes


DEFAULTS = {"rule": ("token", "confidence"), "seed": drawn_seed}


@shared_flags(DEFAULTS)
def compare(
    flags: dict[str, Any],
    prompt: Annotated[
        str | None,
        typer.Argument(metavar="PROMPT", help="The prompt; files and piped text go behind it, - is the pipe alone."),
    ] = None,
    file: Files = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RULE",
            help="A rule, NAME or NAME:ALPHA; repeatable (default: token, confidence).",
            autocompletion=completing("rules"),
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every rule and ancestor.")] = False,
    view: View = "tokens",
    side_by_side: Annotated[
        bool | None, typer.Option("--side-by-side/--stacked", help="Arms as columns (default: where they fit).")
    ] = None,
    why: Annotated[int | None, typer.Option(metavar="N", help="Explain token N of each arm.", min=0)] = None,
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Record every token, for `speccas replay`.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file of --trace.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    no_live: Annotated[bool, typer.Option("--no-live", help="Draw nothing twice.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="The table only.")] = False,
) -> None:
    """Run a prompt with the expert alone, with exact speculation and with each rule, and show what each one bought.

    Tokens are coloured by where they came from; a table at the end gives speed and quality. Repetition penalties are
    not in this version.
    """
    settings = read_settings({**flags, "rule": rule}, DEFAULTS)
    text = read_prompt(prompt, file or ())

    from speccas.core.decoding.arms import distinct, every_arm, parse_arm
    from speccas.core.runtime.generate import can_play

    from ..play import Output, opened, sampling_of
    from ..view.arms import check_view

    check_view(view)
    named = [parse_arm(name) for name in ("expert", "exact", *settings.rule)]
    arms = distinct([*every_arm(), *named] if every else named)
    output = Output(view, why, trace, as_json, not no_live, quiet, force)
    output.require_new()
    with opened(settings, named) as pair:
        arms = [arm for arm in arms if can_play(pair, arm, sampling_of(settings))]
        folds, compared = play_all(pair, settings, text, arms, output, side_by_side)
        tell(pair, settings, folds, compared, output)
        stopped = bool(pair.stop)
    if folds[-1].lost is not None:
        raise folds[-1].lost
    if stopped:
        raise typer.Exit(130)


def play_all(
    pair: "Pair",
    settings: "Settings",
    text: str,
    arms: "Sequence[Arm]",
    output: "Output",
    side_by_side: bool | None,
) -> "tuple[list[Fold], Comparison]":
    """Play the arms one after another, each from the same prompt, and hold each against the first, which is measured
    again behind them."""
    from speccas.core.calibration.planner import Planner, curves_file
    from speccas.core.record.comparison import compare_arms
    from speccas.core.record.metrics import against

    from ..advice import say_elsewhere, say_tuned
    from ..notes import prompt_notes, say_notes
    from ..play import asked_of, interrupted, play_arm, read, with_log_prob
    from ..record import recording
    from ..served import say_served
    from ..view.arms import arms_view
    from ..view.header import facts_of, show_header
    from ..view.legend import possible
    from ..view.theme import make_console, make_look

    if not output.silent:
        say_tuned(make_console(stderr=True), pair, settings)
    asked = asked_of(pair, settings, text, output.detail)
    if not output.silent:
        say_notes(make_console(stderr=True), prompt_notes(pair, settings.system, settings.raw))
    seconds = read(pair, asked.prompt)
    planner = Planner(pair, curves_file())
    if not output.silent:
        say_served(pair, settings)
        say_elsewhere(make_console(stderr=True), planner, arms, asked.sampling)
    look, shown = make_look(make_console(), output.live), "off" if output.silent else output.view
    if not output.silent:
        show_header(look, facts_of(pair, settings))
    found = possible(
        arms, settings.draft_tokens, settings.lookup, rounds=shown == "rounds", live=look.live, chain=bool(pair.chain)
    )
    folds: list[Fold] = []
    results: list[Figures] = []
    with (
        recording(output.trace, output.force, pair, settings, text) as recorder,
        arms_view(look, [arm.name for arm in arms], found, shown, side_by_side, time.monotonic) as (sink, flowing),
    ):
        for arm in arms:
            sinks = [each for each in (recorder, sink) if each is not None]
            fold = play_arm(pair, planner, arm, asked, sinks, seconds)
            folds.append(fold)
            if not interrupted(fold):
                with_log_prob(pair, fold, asked)
            figures = fold.figures()
            first = [*results, figures][0]
            results.append(against(figures, fold.tokens, first, folds[0].tokens, asked.sampling.comparable))
            if recorder is not None:
                recorder.finished(results[-1], fold.finished.tail if fold.finished else "")
            if flowing is not None:
                flowing.baseline = results[0].tokens_per_second
            if interrupted(fold):
                break
    timed = not (pair.stop or asked.detail or folds[-1].lost) and len(arms) > 1 and folds[0].tokens
    return folds, compare_arms(results, expert_again(pair, planner, arms[0], asked, folds[0]) if timed else None)


def expert_again(pair: "Pair", planner: "Planner", expert: "Arm", asked: "Asked", first: "Fold") -> float | None:
    """Let the expert alone write the beginning of its answer once more, unseen; by how much it was slower than before
    the arms. None where it was stopped."""
    from dataclasses import replace

    from speccas.core.decoding.events import Event, Judged
    from speccas.core.record.comparison import AGAIN, drift_of

    from ..play import interrupted, play_arm
    from ..view.progress import Waiting
    from ..view.theme import make_console

    count = min(AGAIN, len(first.tokens))
    with Waiting(make_console(stderr=True)) as waiting:

        def tell(event: Event) -> None:
            if isinstance(event, Judged):
                waiting.tell("timing the expert once more", event.at / count)

        shorter = replace(asked, length=replace(asked.length, max_tokens=count))
        again = play_arm(pair, planner, expert, shorter, [tell], {"expert": 0.0})
    return None if interrupted(again) else drift_of(first.rounds, again.rounds)


def notes_of(pair: "Pair", settings: "Settings", compared: "Comparison") -> "PairNotes":
    """What the sentence over the table is to say of the pair's files."""
    from speccas.core.record.exactness import exactness

    from ..better_files import better_than
    from ..view.header import facts_of
    from ..view.verdict import PairNotes

    better, told = better_than(pair, compared), exactness(facts_of(pair, settings))
    return PairNotes(exactness=told) if better is None else PairNotes(better.because, better.hint, told)


def tell(pair: "Pair", settings: "Settings", folds: "Sequence[Fold]", compared: "Comparison", output: "Output") -> None:
    """The document, or the table, what is to be said of the speed, and the token that is to be explained."""
    from speccas.core.record.manifest import RunDocument

    from ..advice import warn_slower
    from ..notes import empty_notes, say_notes
    from ..play import interrupted, manifest_of
    from ..view.arms import show_why
    from ..view.header import facts_of, show_header
    from ..view.tables import show_arms
    from ..view.theme import make_console, make_look

    if output.as_json:
        print(json_text(RunDocument(manifest_of(pair, settings), compared.arms, compared.drift).as_json()))
        return
    console = make_console()
    if output.quiet:  # else it stands above the answers
        show_header(make_look(console, False), facts_of(pair, settings))
    show_arms(console, compared, output.detail, notes_of(pair, settings, compared))
    if not output.silent:
        say_notes(make_console(stderr=True), empty_notes(compared.arms))
    if not (output.quiet or output.detail or interrupted(folds[-1])):
        warn_slower(make_console(stderr=True), pair, settings, compared.arms)
    for fold in folds if output.why is not None else ():
        console.print()
        show_why(make_look(console, output.live), fold.name, fold.rounds, output.why or 0)
