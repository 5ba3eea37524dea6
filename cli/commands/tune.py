"""`speccas tune`: which rule, alpha and draft length a pair is best used with on this machine; saved to its profile."""

import json
import re
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speccas.core.errors import IntegrityError, Stopped, UsageError

from ..options import read_settings, shared_flags
from ..view.safe import json_text, visible

if TYPE_CHECKING:
    from speccas.core.bench.protocol import Bench
    from speccas.core.bench.samples import SampleFile
    from speccas.core.calibration.calibrate import Curve
    from speccas.core.decoding.length.latency import LatencyModel
    from speccas.core.runtime.pair import Pair


@shared_flags
def tune(
    flags: dict[str, Any],
    prompts: Annotated[
        str, typer.Option(metavar="FILE|SUITE", help="JSON lines, or builtin, copying, languages, gsm8k, humaneval.")
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
        typer.Option(metavar="RULE", help="Rules to try, NAME or NAME:ALPHA,ALPHA...; repeatable (default: several)."),
    ] = None,
    repeats: Annotated[int, typer.Option(metavar="N", help="How often each finalist answers a prompt.", min=1)] = 1,
    save_as: Annotated[
        str | None, typer.Option(metavar="NAME", help="Save under this pair name (for files given by path).")
    ] = None,
    allow_code: Annotated[
        bool, typer.Option("--allow-code", help="Run code that models write, in a limited child process, to score it.")
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
    from .bench import needs_extra, percent

    needs_extra("tune")
    floor = (percent("--max-quality-loss", max_quality_loss) or 0.0) / 100
    lengths = draft_lengths(flags.pop("draft_tokens", None))
    read = read_settings(flags, {"max_tokens": 64})
    settings = replace(read, rule=("exact",), draft_tokens="auto")  # what it tries does not depend on what it found

    from speccas.core.bench import sandbox
    from speccas.core.bench.suites import load_suite, spread
    from speccas.core.tune.candidates import LENGTHS, RULES, candidates
    from speccas.core.tune.halving import answers, search_half
    from speccas.core.tune.search import BLOCK
    from speccas.core.tune.store import require_name, tuned_of

    from ..play import chosen_profile
    from ..view.theme import make_console
    from ..view.tune import plan_lines

    if allow_code:
        sandbox.supported()
    chosen = chosen_profile(settings)
    name = save_as or (settings.pair if chosen.origin else None)
    if name is not None:
        require_name(chosen, name)
    by_tune = settings.sources.get("threads") in ("tune", "profile")
    if by_tune and (before := tuned_of(chosen)) and before.threads is not None:
        settings = replace(settings, threads=None)
    tried = candidates(rule_names(rule or RULES), lengths or LENGTHS)
    suite = load_suite(prompts, settings.raw)
    items = spread(suite.items, limit)
    if not search_half(items):
        raise UsageError(f"tune needs at least two prompts, and {suite.name} has {len(items)}", "give more prompts")
    console, aside = make_console(), make_console(stderr=True)
    if dry_run:
        most = answers(len(tried), 0, len(search_half(items)), len(items), repeats, BLOCK)
        for line in plan_lines(tried, len(items), most):
            console.print(line, soft_wrap=True)
        return

    from speccas.core.bench.protocol import Bench, Conditions, Plan
    from speccas.core.bench.run_directory import check_manifest
    from speccas.core.record.manifest import machine_of
    from speccas.core.tune.candidates import unprofitable_lengths
    from speccas.core.tune.search import Search

    from ..play import length_of, manifest_of, opened, sampling_of
    from ..tune_save import Found, document, overruled, save_found, saved_lines
    from ..view.bench import progress
    from ..view.tune import known_line, show_curve, show_result, show_round, show_threads

    told = None if quiet or as_json else aside
    folder = folder_for(name or chosen.name)
    began = time.perf_counter()
    with samples_in(folder, resume) as file, opened(settings) as pair:
        conditions = Conditions(
            sampling_of(settings), length_of(settings), settings.lookup, settings.system, settings.raw
        )
        load_seconds = time.perf_counter() - began
        bench = Bench(pair, Plan((), 1, settings.seed), items, conditions, allow_code, load_seconds)
        measured = measured_in(folder / CURVE) or measure_all(bench, settings.threads)
        adopt(bench, measured, settings.threads)
        facts = {
            "prompts": suite.name,
            "prompts_sha256": suite.sha256,
            "played": len(items),
            "max_tokens": settings.max_tokens,
            "ignore_eos": settings.ignore_eos,
            "stop": list(settings.stop),
            "system": settings.system,
            "raw": settings.raw,
            "allow_code": allow_code,
        }
        other = "or leave out --resume to start anew"
        manifest = check_manifest(folder, manifest_of(pair, settings), facts, resume, other)
        if not (folder / CURVE).exists():
            keep_measured(measured, folder / CURVE)
        curve = measured.curve
        sound = curve.steady and settings.lookup != "on"  # a draft that is looked up takes no step of the drafter
        left_out = unprofitable_lengths(curve.costs, {each.k for each in tried}) if sound else {}
        if told is not None:
            show_threads(told, measured.threads, pair.expert.threads)
            show_curve(told, curve, pair, left_out)
        search = Search(bench, [each for each in tried if each.k not in left_out], floor, repeats)
        try:
            with progress(aside, quiet or as_json) as tell:
                choice = search.run(file, tell, lambda halving: None if told is None else show_round(told, halving))
        except Stopped:
            aside.print(known_line(file.samples, search.candidates), soft_wrap=True)
            kept = f"--resume goes on: {len(file.samples)} answers are in {file.path}"
            raise Stopped("interrupted; nothing was saved", kept) from None
        found = Found(
            search, choice, floor, left_out, curve, manifest, settings, machine_of(pair), bench.skipped,
            pair.expert.threads, measured.threads,
        )  # fmt: skip
        if curve.steady:
            keep_curve(pair, curve.costs)
        where = save_found(found, chosen, name, file.path)
    if as_json:
        print(json_text(document(found, where)))
    else:
        show_result(console, choice, floor)
        for line in saved_lines(found, chosen, where):
            console.print(visible(line), soft_wrap=True)
    for line in overruled(settings):
        if not as_json:
            aside.print(f"warning: {line}", style="yellow", soft_wrap=True)


CURVE = "curve.json"


def draft_lengths(text: str | None) -> list[Any]:
    """`2,4,auto`; nothing where none are given. Raises UsageError."""
    from ..settings import CHECKS

    return [] if text is None else [CHECKS["draft_tokens"]("--draft-tokens", each.strip()) for each in text.split(",")]


def rule_names(texts: Any) -> list[str]:
    """Rules as typed, sweeps unfolded. Raises UsageError for one that is none, ancestors included."""
    from speccas.core.bench.protocol import sweep
    from speccas.core.decoding.arms import parse_arm

    from ..settings import rules

    arms = [parse_arm(name) for name in sweep(rules("--rule", list(texts)))]
    wrong = next((arm.name for arm in arms if arm.rule is None), None)
    if wrong is not None:
        raise UsageError(f"{wrong} is no rule: it drafts nothing that a draft length could change", "see speccas rules")
    return [arm.name for arm in arms]


def folder_for(name: str) -> Path:
    """Where the samples of this pair's search are."""
    from platformdirs import user_state_path

    folder = user_state_path("speccas") / "tune" / re.sub(r"[^\w.-]+", "_", name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make {folder}: {error.strerror}", "set XDG_STATE_HOME to a folder of yours") from None
    return folder


def samples_in(folder: Path, resume: bool) -> "SampleFile":
    """The samples of the search in this folder; those of one before are dropped unless it is to go on."""
    from speccas.core.bench.samples import SampleFile

    file = folder / "samples.jsonl"
    if not resume:
        for each in (file, folder / "manifest.json", folder / CURVE):
            each.unlink(missing_ok=True)
    return SampleFile(file, resume=True)


@dataclass(frozen=True)
class Measured:
    """What was measured before the first answer: seconds by number of threads (none where it was given), the curve."""

    threads: dict[int, float]
    curve: "Curve"


def measured_in(file: Path) -> Measured | None:
    """What the search that goes on measured; None where there is none. Raises IntegrityError."""
    from speccas.core.calibration.calibrate import Curve
    from speccas.core.decoding.length.latency import LatencyModel

    try:
        data = json.loads(file.read_bytes())
        costs = LatencyModel(
            {int(n): float(s) for n, s in data["seen"].items()}, float(data["step"]), float(data["catch_up"])
        )
        threads = {int(n): float(s) for n, s in data["threads"].items()}
        return Measured(threads, Curve(costs, float(data["spread"])))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"{file} is no curve: {error}", "leave out --resume to start anew") from None


def measure_all(bench: "Bench", threads: int | None) -> Measured:
    """Which number of threads serves best, unless it is given, and with it the whole curve, behind the first prompt."""
    from speccas.core.calibration.calibrate import measure_full
    from speccas.core.calibration.threads import candidates, fastest, tried

    pair = bench.pair
    for _, prompt in bench.prompts():
        bench.read(prompt)
        break
    seconds = {} if threads else tried(pair, candidates())
    pair.use_threads(threads or fastest(seconds, pair.expert.threads))
    return Measured(seconds, measure_full(pair))


def adopt(bench: "Bench", measured: Measured, threads: int | None) -> None:
    """Compute with that number of threads; `auto` decides by the curve from the first answer on."""
    from speccas.core.calibration.threads import fastest

    bench.pair.use_threads(threads or fastest(measured.threads, bench.pair.expert.threads))
    costs = measured.curve.costs
    bench.planner.adopt(type(costs)(dict(costs.seen), costs.step, costs.catch_up))  # the run keeps its own current


def keep_measured(measured: Measured, file: Path) -> None:
    curve = measured.curve
    costs = {"seen": curve.costs.seen, "step": curve.costs.step, "catch_up": curve.costs.catch_up}
    data = {**costs, "spread": curve.spread, "threads": measured.threads}
    file.write_text(json.dumps(data), encoding="utf-8")


def keep_curve(pair: "Pair", costs: "LatencyModel") -> None:
    """For `-k auto` of later runs."""
    from speccas.core.calibration.planner import Planner, curves_file

    planner = Planner(pair, curves_file())
    planner.adopt(costs)
    planner.save()
