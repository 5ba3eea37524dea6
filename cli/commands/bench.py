"""`speccas bench`: how much faster, at what cost in quality, and how sure: paired measurement over a prompt set."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speccas.core.errors import IntegrityError, NotInstalled, SpeccasError, Stopped, UsageError

from ..hints import hinted
from ..options import read_settings, shared_flags
from ..values import completing
from ..view.safe import json_text, one_line

if TYPE_CHECKING:
    from speccas.core.bench.frontier import StatedMachine
    from speccas.core.bench.protocol import Conditions, Plan
    from speccas.core.bench.report import Report
    from speccas.core.bench.samples import SampleFile
    from speccas.core.bench.suites import Item, Suite
    from speccas.core.bench.summary import ArmSummary
    from speccas.core.runtime.pair import Pair

    from ..settings import Settings

PEERS = ("llama.cpp", *(f"llama.cpp:{kind}" for kind in ("ngram-mod", "ngram-map-k", "ngram-simple")))
EXTRA = ("scipy", "sacrebleu", "rouge_score")


DEFAULTS = {"rule": ("token", "confidence"), "test": "token"}


@shared_flags(DEFAULTS)
def bench(
    flags: dict[str, Any],
    prompts: Annotated[
        str,
        typer.Option(
            metavar="FILE|SUITE",
            help="JSON lines, or builtin, copying, languages, gsm8k, humaneval, spec-bench.",
            autocompletion=completing("prompt sets"),
        ),
    ] = "builtin",
    limit: Annotated[
        int | None, typer.Option(metavar="N", help="The first N prompts, groups in turn (default: all).", min=1)
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(metavar="N", help="How often each arm answers a prompt (default: 5; with --frontier 1).", min=1),
    ] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RULE",
            help="NAME or NAME:ALPHA,ALPHA...; repeatable (default: token, confidence).",
            autocompletion=completing("rules"),
        ),
    ] = None,
    report: Annotated[Path, typer.Option(metavar="DIR", help="Where samples and report go.")] = Path("speccas-bench"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in DIR.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Begin anew in DIR; what is there of a run is lost.")] = False,
    allow_code: Annotated[
        bool,
        typer.Option("--allow-code", help="Run programs the models write, in a limited child process, to score them."),
    ] = False,
    peer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PEER",
            help="llama.cpp: its own two-model speculation beside ours; llama.cpp:ngram-mod, ngram-map-k, "
            "ngram-simple: its drafts from the text. Repeatable.",
            autocompletion=completing(PEERS),
        ),
    ] = None,
    frontier: Annotated[
        bool,
        typer.Option(
            "--frontier",
            help="Cost against quality, method by method: five rules at six alphas beside lossy, bild and the "
            "sequential cascades, on 12 prompts; then the alphas that none beats on all.",
        ),
    ] = False,
    machine: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With --frontier: another machine, as its `doctor --curve --json` says (default: one where a call "
            "costs as one token).",
        ),
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
        measuring = {**flags, "rule": rule, "limit": limit, "peer": peer, "fail-if-slower": fail_if_slower}
        measuring |= {"repeats": repeats, "machine": machine}
        switches = {"resume": resume, "force": force, "allow-code": allow_code, "frontier": frontier}
        require_nothing_else({**measuring, **{name: given or None for name, given in switches.items()}})
        show_comparison(*compare, as_json)
        return
    slower = percent("--fail-if-slower", fail_if_slower)
    settings, ks = settings_and_lengths(flags, rule)
    stated = stated_machine(frontier, machine, ks)

    from speccas.core.bench.peer import peer_arms
    from speccas.core.bench.protocol import Plan, planned_arms
    from speccas.core.bench.samples import RunExists, SampleFile
    from speccas.core.bench.suites import load_suite, spread

    from ..play import chosen_profile, sampling_of
    from ..served import require_here
    from ..view.bench import report_console, show_report

    if allow_code:
        require_sandbox()
    types = peer_types(peer or ())
    if types:
        require_here(chosen_profile(settings), "--peer")
    named = swept(settings.rule) if stated is None else frontier_rules(settings.rule if rule else ())
    arms = planned_arms(named, ks, sampling_of(settings), peer_arms(types, ks))
    suite = load_suite(prompts, settings.raw)
    items = spread(suite.items, limit)
    require_interval(slower, len(items))
    make_directory(report)
    require_room(report, resume, force)
    hint = "--resume goes on with it, --force begins anew; or give another directory: --report DIR"
    with hinted({RunExists: hint}), SampleFile(report / "samples.jsonl", resume, force) as file:
        plan = Plan(arms, repeats or (1 if frontier else 5), settings.seed)
        run = BenchRun(settings, ks, suite, items, plan, allow_code, bool(types), stated)
        found = play(run, file, resume, quiet or as_json)
    if as_json:
        print(json_text(found.as_json()))
    else:
        console = report_console()
        show_report(console, found)
        console.print(f"\nreport: {one_line(str(report / 'report.html'))}", soft_wrap=True)
    if not found.complete:
        raise Stopped("interrupted", f"--resume goes on: {len(file.samples)} answers are in {file.path}")
    if slower is not None:
        fail_where_slower(found.arms, named, slower)


@dataclass(frozen=True, slots=True)
class BenchRun:
    """What was asked for: settings, draft lengths, prompts and arms."""

    settings: "Settings"
    ks: Sequence[Any]
    suite: "Suite"
    items: Sequence["Item"]
    plan: "Plan"
    allow_code: bool
    peer: bool
    stated: "StatedMachine | None" = None
    """Where costs are reckoned beside this machine's, for a frontier."""


def play(run: BenchRun, file: "SampleFile", resume: bool, quiet: bool) -> "Report":
    """Load the pair, play what the file lacks, and write the report; it is not complete where the run was stopped."""
    from speccas.core.bench.frontier_run import run_frontier
    from speccas.core.bench.peer import PeerFailed, with_peer
    from speccas.core.bench.protocol import Bench
    from speccas.core.bench.run_directory import OtherRun, bench_facts, build, check_manifest
    from speccas.core.headers.memory import costs_of_going_back

    from ..notes import load_notes, made_notes, prompt_notes
    from ..play import manifest_of, opened
    from ..view.bench import progress
    from ..view.theme import make_console

    hints = {
        OtherRun: "use the same flags, or another --report DIR",
        IntegrityError: "give another directory: --report DIR",
        PeerFailed: "leave --peer out",
    }
    directory, began, stopped = file.path.parent, time.perf_counter(), False
    with hinted(hints), opened(run.settings) as pair:
        run, notes = playable(run, pair)
        conditions, load_seconds = conditions_of(run.settings), time.perf_counter() - began
        bench = Bench(pair, run.plan, run.items, conditions, run.allow_code, load_seconds)
        facts = bench_facts(conditions, run.suite, run.items, run.plan.arms, run.plan.repeats, run.ks, run.allow_code)
        facts["notes"] += prompt_notes(pair, conditions.system, conditions.raw)
        facts["notes"] += costs_of_going_back(pair.header("drafter"), pair.header("expert"))
        facts["notes"] += [*load_notes(pair), *made_notes(pair), *notes]
        if run.peer:
            with_peer(bench, facts)
        manifest = check_manifest(directory, manifest_of(pair, run.settings).as_json(), facts, resume)
        with progress(make_console(stderr=True), quiet) as tell:
            try:
                if run.stated is None:
                    bench.run(file, tell)
                else:
                    run_frontier(bench, file, run.stated, tell)
            except Stopped:
                stopped = True
        return build(directory, manifest, file, bench, not stopped, run.stated)


def frontier_rules(given: Sequence[str]) -> list[str]:
    """The rules of a frontier as typed, five of ours where none were named, and what stands beside them."""
    from speccas.core.bench.frontier import BESIDE, SWEEPS, sweeps

    return [*(swept(given) or sweeps(SWEEPS)), *sweeps(BESIDE)]


def stated_machine(frontier: bool, path: Path | None, ks: Sequence[Any]) -> "StatedMachine | None":
    """The machine beside this one; None without a frontier. Raises UsageError, IntegrityError."""
    from speccas.core.bench.frontier import FLAT
    from speccas.core.bench.frontier_run import read_machine

    if not frontier:
        if path is not None:
            raise UsageError("--machine goes with --frontier", "add it, or leave --machine out")
        return None
    if len(ks) > 1:
        raise UsageError("--frontier compares alphas at one draft length", "give one -k")
    return FLAT if path is None else read_machine(path)


def playable(run: BenchRun, pair: "Pair") -> tuple[BenchRun, list[str]]:
    """The run without the arms that this pair cannot play, and a line about them."""
    from dataclasses import replace

    from speccas.core.runtime.generate import can_play

    left = [each.name for each in run.plan.arms if each.arm is not None and not can_play(pair, each.arm)]
    arms = tuple(each for each in run.plan.arms if each.name not in left)
    notes = [f"the drafter is a head, which writes nothing by itself: no arm {', '.join(left)}"] if left else []
    return replace(run, plan=replace(run.plan, arms=arms)), notes


def peer_types(texts: Sequence[str]) -> tuple[str, ...]:
    """Whose speculation stands beside ours; the package for it is there. Raises UsageError and NotInstalled."""
    from speccas.core.bench.peer import NGRAMS, load_library, types_of

    with hinted({UsageError: f"write --peer llama.cpp, or --peer llama.cpp:{','.join(NGRAMS)}"}):
        types = types_of(texts)
    if types:
        load_library()
    return types


def swept(rules: Sequence[str]) -> list[str]:
    """Rules with each of their alphas: `token:0.1,0.3` is two. Raises UsageError."""
    from speccas.core.bench.protocol import sweep

    with hinted({UsageError: "write --rule token:0.1,0.3,0.5"}):
        return sweep(rules)


def conditions_of(settings: "Settings") -> "Conditions":
    """What is the same for every answer of a bench or a search."""
    from speccas.core.bench.protocol import Conditions

    from ..play import length_of, sampling_of, think_of

    return Conditions(
        sampling=sampling_of(settings),
        length=length_of(settings),
        lookup=settings.lookup,
        system=settings.system,
        raw=settings.raw,
        think=think_of(settings),
    )


def settings_and_lengths(flags: dict[str, Any], rule: list[str] | None) -> tuple["Settings", list[Any]]:
    """The settings with the first draft length, and all draft lengths: `-k 2,4`. Raises UsageError."""
    from ..settings import CHECKS

    lengths = [each.strip() for each in flags.pop("draft_tokens", "").split(",")]
    given = {"draft_tokens": lengths[0]} if lengths != [""] else {}
    settings = read_settings({**flags, **given, "rule": rule}, DEFAULTS)
    more = [CHECKS["draft_tokens"]("--draft-tokens", each) for each in lengths[1:]]
    return settings, list(dict.fromkeys((settings.draft_tokens, *more)))


def require_interval(slower: float | None, prompts: int) -> None:
    """Raises UsageError where there is a limit, and so few prompts have no interval: nothing could ever exceed it."""
    from speccas.core.bench.stats import LEAST

    if slower is not None and prompts < LEAST:
        raise UsageError(
            f"--fail-if-slower shows nothing with {prompts} prompts", f"give {LEAST} or more: fewer have no interval"
        )


def require_sandbox() -> None:
    """Raises UsageError where programs cannot be run in a limited child process."""
    from speccas.core.bench import sandbox

    if not sandbox.supported():
        raise UsageError("--allow-code needs a system with resource limits (Linux, macOS)", "leave it out")


def needs_extra(command: str) -> None:
    """Raises NotInstalled where the libraries of the extra are not there."""
    from importlib.util import find_spec

    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        raise NotInstalled(f"{command} needs {', '.join(missing)}", extra="bench")


def make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make {path}: {error.strerror}", "give a directory of yours: --report DIR") from None


def require_room(directory: Path, resume: bool, force: bool) -> None:
    """Raises UsageError where files of these names are there that are no run's, or both flags were given."""
    from speccas.core.bench.run_directory import strangers

    if resume and force:
        raise UsageError("--resume and --force do not go together", "give one of them")
    if not force and (found := strangers(directory)):
        raise UsageError(
            f"{directory} holds {', '.join(found)} of something else",
            "give another directory: --report DIR, or --force to write over them",
        )


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


def fail_where_slower(arms: Sequence["ArmSummary"], named: Collection[str], limit: float) -> None:
    """Raises SpeccasError (exit 1) where a named rule is shown to be more than `limit` % slower than the expert."""
    from speccas.core.bench.summary import shown_slower

    slow = shown_slower([arm for arm in arms if arm.name in named], 1 - limit / 100)
    if slow:
        told = ", ".join(f"{arm.label} {arm.speedup.value:.2f}x (at most {arm.speedup.high:.2f}x)" for arm in slow)
        raise SpeccasError(f"more than {limit:g} % slower than the expert alone: {told}", "this is --fail-if-slower")


def require_nothing_else(given: dict[str, Any]) -> None:
    """Raises UsageError where flags of a measurement stand beside --compare, which measures nothing."""
    for name in (name for name, value in given.items() if value is not None):
        raise UsageError(f"--compare measures nothing: --{name.replace('_', '-')} has no use there", "leave it out")


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
