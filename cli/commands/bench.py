"""`speccas bench`: how much faster, at what cost in quality, and how sure: paired measurement over a prompt set."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from speccas.core.errors import SpeccasError, Stopped, Unavailable, UsageError

from ..options import read_settings, shared_flags
from ..view.safe import json_text, one_line

EXTRA = ("scipy", "sacrebleu", "rouge_score")


@shared_flags
def bench(
    flags: dict[str, Any],
    prompts: Annotated[
        str,
        typer.Option(
            metavar="FILE|SUITE", help="JSON lines, or builtin, copying, languages, gsm8k, humaneval, spec-bench."
        ),
    ] = "builtin",
    limit: Annotated[
        int | None, typer.Option(metavar="N", help="The first N prompts, groups in turn (default: all).", min=1)
    ] = None,
    repeats: Annotated[int, typer.Option(metavar="N", help="How often each arm answers a prompt.", min=1)] = 5,
    rule: Annotated[
        list[str] | None,
        typer.Option(metavar="RULE", help="NAME or NAME:ALPHA,ALPHA...; repeatable (default: token, confidence)."),
    ] = None,
    report: Annotated[Path, typer.Option(metavar="DIR", help="Where samples and report go.")] = Path("speccas-bench"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in DIR.")] = False,
    allow_code: Annotated[
        bool,
        typer.Option("--allow-code", help="Run programs the models write, in a limited child process, to score them."),
    ] = False,
    peer: Annotated[
        str | None, typer.Option(metavar="NAME", help="llama.cpp: its own two-model speculation beside ours.")
    ] = None,
    fail_if_slower: Annotated[
        str | None,
        typer.Option(
            metavar="PCT", help="Exit 1 if a named rule is shown to be more than PCT % slower than the expert."
        ),
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option(metavar="A B", help="Two report.json: B against A. Measures nothing.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="report.json on stdout, and nothing else.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress.")] = False,
) -> None:
    """Measure the expert, the drafter, exact speculation and each rule on a set of prompts, interleaved and paired,
    with intervals, quality beside speed, and a report (HTML, JSON, CSV, Markdown).

    --rule token:0.1,0.3,0.5 and -k 2,4 sweep. A run that was killed goes on with --resume.
    """
    needs_extra("bench")
    if compare is not None:
        show_comparison(*compare, as_json)
        return
    slower = percent("--fail-if-slower", fail_if_slower)

    from ..settings import CHECKS

    lengths = [each.strip() for each in flags.pop("draft_tokens", "").split(",")]
    given = {"draft_tokens": lengths[0]} if lengths != [""] else {}
    settings = read_settings({**flags, **given, "rule": rule}, {"rule": ("token", "confidence")})
    more = [CHECKS["draft_tokens"]("--draft-tokens", each) for each in lengths[1:]]
    ks = list(dict.fromkeys((settings.draft_tokens, *more)))
    if peer not in (None, "llama.cpp"):
        raise UsageError(f"there is no peer {peer!r}", "write --peer llama.cpp")

    from speccas.core.bench import sandbox
    from speccas.core.bench.peer import load_library, with_peer
    from speccas.core.bench.protocol import Bench, Conditions, Plan, planned_arms, sweep
    from speccas.core.bench.run_directory import bench_facts, build, check_manifest
    from speccas.core.bench.samples import SampleFile
    from speccas.core.bench.stats import LEAST
    from speccas.core.bench.suites import load_suite, spread

    from ..play import length_of, manifest_of, opened, sampling_of
    from ..view.bench import progress, report_console, show_report
    from ..view.theme import make_console

    if allow_code:
        sandbox.supported()
    if peer:
        load_library()
    named = sweep(settings.rule)
    planned = planned_arms(named, ks, settings.temperature, settings.min_p, peer is not None)
    suite = load_suite(prompts, settings.raw)
    items = spread(suite.items, limit)
    if slower is not None and len(items) < LEAST:  # it would never fail
        raise UsageError(
            f"--fail-if-slower shows nothing with {len(items)} prompts", f"give {LEAST} or more: fewer have no interval"
        )
    make_folder(report)
    began = time.perf_counter()
    stopped = False
    with SampleFile(report / "samples.jsonl", resume) as file, opened(settings) as pair:
        conditions = Conditions(
            sampling_of(settings), length_of(settings), settings.lookup, settings.system, settings.raw
        )
        load_seconds = time.perf_counter() - began
        run = Bench(pair, Plan(planned, repeats, settings.seed), items, conditions, allow_code, load_seconds)
        facts = bench_facts(conditions, suite, items, planned, repeats, ks, allow_code)
        if peer:
            with_peer(run, ks, facts)
        manifest = check_manifest(report, manifest_of(pair, settings), facts, resume)
        with progress(make_console(stderr=True), quiet or as_json) as tell:
            try:
                run.run(file, tell)
            except Stopped:
                stopped = True
        found = build(report, manifest, file, run, not stopped)
    console = report_console()
    if as_json:
        print(json_text(found.as_json()))
    else:
        show_report(console, found)
        console.print(f"\nreport: {one_line(str(report / 'report.html'))}", soft_wrap=True)
    if stopped:
        raise Stopped("interrupted", f"--resume goes on: {len(file.samples)} answers are in {file.path}")
    if slower is not None:
        fail_where_slower(found.arms, set(named), slower)


def needs_extra(command: str) -> None:
    """Raises Unavailable where the libraries of the extra are not there."""
    from importlib.util import find_spec

    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        raise Unavailable(f"{command} needs {', '.join(missing)}", "pip install 'speccas[bench]'")


def make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make {path}: {error.strerror}", "give a directory of yours: --report DIR") from None


def percent(flag: str, text: str | None) -> float | None:
    """`5` or `5%`. Raises UsageError."""
    if text is None:
        return None
    try:
        value = float(text.strip().removesuffix("%"))
    except ValueError:
        value = -1.0
    if not 0 <= value < 100:
        raise UsageError(f"{flag} {text!r} is out of range", "give a number from 0 to below 100")
    return value


def fail_where_slower(arms: Sequence[Any], named: set[str], limit: float) -> None:
    """Raises SpeccasError (exit 1) where the whole interval of a named rule lies below the limit."""
    least = 1 - limit / 100
    slow = [arm for arm in arms if arm.name in named and arm.speedup.high is not None and arm.speedup.high < least]
    if slow:
        told = ", ".join(f"{arm.label} {arm.speedup.value:.2f}x (at most {arm.speedup.high:.2f}x)" for arm in slow)
        raise SpeccasError(f"more than {limit:g} % slower than the expert alone: {told}", "this is --fail-if-slower")


def show_comparison(a: Path, b: Path, as_json: bool) -> None:
    """Two reports as a table, with what they differ in above it."""
    from dataclasses import asdict

    from speccas.core.bench.comparison import CAVEAT, changes, differences, read_report, table

    from ..view.bench import report_console, show_notes, show_table

    first, second = read_report(a), read_report(b)
    found, differing = changes(first, second), differences(first, second)
    if not found:
        raise UsageError("the two reports share no arm and prompt", "compare runs of the same rules")
    if as_json:
        print(json_text({"schema": 1, "differences": differing, "arms": [asdict(each) for each in found]}))
        return
    console = report_console()
    show_notes(console, [f"differs: {one_line(each)}" for each in differing])
    show_table(console, table(found))
    show_notes(console, [CAVEAT])
