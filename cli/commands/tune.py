"""`speccas tune`: which rule, alpha and draft length a pair is best used with on this machine; saved to its profile."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speccas.core.errors import IntegrityError, Stopped, UsageError

from ..hints import hinted
from ..options import read_settings, shared_flags
from ..values import completing
from ..view.safe import json_text

if TYPE_CHECKING:
    from rich.console import Console

    from speccas.core.bench.samples import SampleFile
    from speccas.core.tune.run import TunePlan, TuneResult
    from speccas.core.tune.store import Tuned

    from ..settings import Settings
    from ..view.progress import Waiting

ANEW = "leave out --resume to start anew"


DEFAULTS = {"max_tokens": 64, "test": "token"}


@shared_flags({**DEFAULTS, "draft_tokens": "auto,1,2,3,4,6,8"})  # what it tries: core/tune/candidates.py
def tune(
    flags: dict[str, Any],
    prompts: Annotated[
        str,
        typer.Option(
            metavar="FILE|SUITE",
            help="JSON lines, or builtin, copying, languages, gsm8k, humaneval.",
            autocompletion=completing("prompt sets"),
        ),
    ] = "builtin",
    limit: Annotated[
        int | None, typer.Option(metavar="N", help="The first N prompts, groups in turn (default: all).", min=2)
    ] = None,
    max_quality_loss: Annotated[
        str,
        typer.Option(
            metavar="PCT",
            help="The floor: how much less likely the expert may find a token of the answer, and how much score may be "
            "lost, in %; 0 takes lossless settings only.",
        ),
    ] = "2%",
    rule: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RULE",
            help="Rules to try, NAME or NAME:ALPHA,ALPHA...; repeatable (default: several).",
            autocompletion=completing("rules"),
        ),
    ] = None,
    repeats: Annotated[int, typer.Option(metavar="N", help="How often each finalist answers a prompt.", min=1)] = 1,
    save_as: Annotated[
        str | None, typer.Option(metavar="NAME", help="Save under this pair name (for files given by path).")
    ] = None,
    allow_code: Annotated[
        bool, typer.Option("--allow-code", help="Run code that models write, in a limited child process, to score it.")
    ] = False,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate",
            help="First fit the temperature at which the drafter is as sure as it is right; rules that read q use it.",
        ),
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a search that was stopped.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be tried; load and save nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress.")] = False,
) -> None:
    """Find the rule, alpha and draft length that are fastest for a pair on this machine within a floor of quality, and
    save them to its profile; compare, run and chat use them from then on.

    All rules at all lengths (-k 2,4,auto narrows) start on 2 prompts; those shown to lose more than the floor or to be
    slower than the expert alone go, and of the others the slower half, while the prompts double, until 4 are left.
    These are judged on the prompts the search did not use. A loss is accepted where its 95 % interval ends within the
    floor. Answers have at most 64 tokens unless -n says otherwise. Ctrl-C saves nothing; --resume goes on.
    """
    from .bench import needs_extra, percent, require_sandbox

    if not dry_run:
        needs_extra("tune")
    floor = (percent("--max-quality-loss", max_quality_loss) or 0.0) / 100
    settings, lengths = search_settings(flags)
    if calibrate and settings.sources.get("confidence_temperature") == "flag":
        raise UsageError("--calibrate fits what --confidence-temperature gives", "take one of them")

    from speccas.core.bench.suites import load_suite
    from speccas.core.tune.candidates import LENGTHS, RULES, candidates
    from speccas.core.tune.run import TunePlan, samples_in, search_directory, tune_items
    from speccas.core.tune.save import save_result
    from speccas.core.tune.store import require_name, tuned_of

    from ..play import chosen_profile
    from ..served import require_here
    from ..view.theme import make_console
    from ..view.tune import plan_lines, show_outcome

    if allow_code:
        require_sandbox()
    chosen = chosen_profile(settings)
    require_here(chosen, "tune")
    name = save_as or (settings.pair if chosen.origin else None)
    if name is not None:
        require_name(chosen, name)
    settings = without_tuned_threads(settings, tuned_of(chosen))
    tried, suite = candidates(rule_names(rule or RULES), lengths or LENGTHS), load_suite(prompts, settings.raw)
    plan = TunePlan(suite, tune_items(suite, limit), tried, floor, repeats, allow_code, settings.threads, calibrate)
    console, aside = make_console(), make_console(stderr=True)
    if dry_run:
        for line in plan_lines(tried, len(plan.items), plan.most_answers):
            console.print(line, soft_wrap=True)
        return
    directory = search_directory(name or chosen.name)
    with samples_in(directory, resume) as file:
        result = search(plan, settings, file, resume, aside, quiet or as_json)
        with hinted({UsageError: "mend it; --resume asks no model again"}):
            saved = save_result(result, chosen, name, directory)
    if as_json:
        print(json_text(saved.document.as_json()))
    else:
        show_outcome(console, aside, result, saved, settings.sources)


def search(
    plan: "TunePlan", settings: "Settings", file: "SampleFile", resume: bool, aside: "Console", quiet: bool
) -> "TuneResult":
    """Load the pair and search, telling on stderr how it goes. Raises Stopped with what is known by then."""
    from speccas.core.bench.protocol import Bench, Plan
    from speccas.core.bench.run_directory import OtherRun
    from speccas.core.calibration.dear import dear_of
    from speccas.core.tune.machine_times import keep_curve
    from speccas.core.tune.run import prepare, result_of
    from speccas.core.tune.search import TooFewPrompts

    from ..better_files import files_advice
    from ..notes import load_notes, prompt_notes, say_notes
    from ..play import manifest_of, opened
    from ..view.bench import progress
    from ..view.progress import Waiting
    from ..view.tune import known_line, show_confidence, show_curve, show_round, show_threads
    from .bench import conditions_of

    hints = {
        OtherRun: f"use the same flags, or {ANEW}",
        TooFewPrompts: "give more, or a larger --limit",
        IntegrityError: ANEW,
    }
    began = time.perf_counter()
    with hinted(hints), opened(settings) as pair:
        load_seconds = time.perf_counter() - began
        conditions = conditions_of(settings)
        bench = Bench(pair, Plan((), 1, settings.seed), plan.items, conditions, plan.allow_code, load_seconds)
        about = manifest_of(pair, settings).as_json()
        with Waiting(aside) as waiting:
            prepared = prepare(plan, bench, file.path.parent, about, resume, waiting_for("confidence", waiting, quiet))
        if not quiet:
            say_notes(aside, [*load_notes(pair), *prompt_notes(pair, conditions.system, conditions.raw)])
            show_threads(aside, prepared.times.threads, pair.expert.threads)
            better = files_advice(pair, dear_of(pair, prepared.times.curve))
            show_curve(aside, prepared.times.curve, pair, prepared.left_out, better)
            show_confidence(aside, prepared.confidence)
        try:
            with progress(aside, quiet) as tell:
                choice = prepared.search.run(file, tell, lambda each: None if quiet else show_round(aside, each))
        except Stopped:
            aside.print(known_line(file.samples, prepared.search.candidates), soft_wrap=True)
            kept = f"--resume goes on: {len(file.samples)} answers are in {file.path}"
            raise Stopped("interrupted; nothing was saved", kept) from None
        keep_curve(pair, prepared.times.curve)
        return result_of(prepared, choice)


def waiting_for(what: str, waiting: "Waiting", quiet: bool) -> Callable[[int, int], None]:
    """Show how far something is."""
    return lambda done, of: None if quiet else waiting.tell(what, done / of)


def search_settings(flags: dict[str, Any]) -> tuple["Settings", list[Any]]:
    """The settings and the draft lengths to try. Rule and draft length of the settings are not those that an earlier
    search saved: what this one tries does not depend on them."""
    lengths = draft_lengths(flags.pop("draft_tokens", None))
    return replace(read_settings(flags, DEFAULTS), rule=("exact",), draft_tokens="auto"), lengths


def without_tuned_threads(settings: "Settings", before: "Tuned | None") -> "Settings":
    """The settings without the threads that an earlier search saved: they do not bind this one."""
    by_tune = settings.sources.get("threads") in ("tune", "profile")
    return (
        replace(settings, threads=None) if by_tune and before is not None and before.threads is not None else settings
    )


def draft_lengths(text: str | None) -> list[Any]:
    """`2,4,auto`; nothing where none are given. Raises UsageError."""
    from ..settings import CHECKS

    return [] if text is None else [CHECKS["draft_tokens"]("--draft-tokens", each.strip()) for each in text.split(",")]


def rule_names(texts: Sequence[str]) -> list[str]:
    """Rules as typed, sweeps unfolded. Raises UsageError for one that is none, ancestors included."""
    from speccas.core.decoding.arms import parse_arm

    from ..checks import rules
    from .bench import swept

    arms = [parse_arm(name) for name in swept(rules("--rule", list(texts)))]
    wrong = next((arm.name for arm in arms if arm.rule is None), None)
    if wrong is not None:
        raise UsageError(f"{wrong} is no rule: it drafts nothing that a draft length could change", "see speccas rules")
    return [arm.name for arm in arms]
