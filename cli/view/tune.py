"""What `speccas tune` shows: the machine's times, a line a round with the frontier, the finalists, what was saved."""

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.text import Text

from speccas.core.bench.samples import Sample
from speccas.core.bench.tables import Table, estimate
from speccas.core.calibration.calibrate import UNSTEADY, Curve
from speccas.core.decoding.length.latency import LatencyModel
from speccas.core.record.exactness import exactness
from speccas.core.runtime.pair import Pair
from speccas.core.tune.candidates import Candidate
from speccas.core.tune.confidence import FittedConfidence, told
from speccas.core.tune.decide import NOTES, Choice, FinalistVerdict, finding
from speccas.core.tune.run import TuneResult
from speccas.core.tune.save import SavedResult
from speccas.core.tune.search import HalvingRound
from speccas.core.tune.standing import Standing, front, standings

from ..better_files import FilesAdvice, scaling_line
from .bench import show_notes, show_table
from .safe import one_line, visible
from .theme import STYLES, make_console

WIDE = 200  # columns of a pipe or a file: tables stay tables there


def curve_line(costs: LatencyModel) -> str:
    """The measured curve in a line: one token in ms, the others relative to it."""
    one = costs.verify(1)
    rest = ", ".join(f"{n}: {seconds / one:.1f}" for n, seconds in sorted(costs.seen.items()) if n > 1)
    return f"expert {1e3 * one:.1f} ms a token; n tokens in one call, relative: {rest}; drafter {costs.step / one:.2f}"


def show_threads(console: Console, seconds: Mapping[int, float], chosen: int) -> None:
    """What each number of threads takes for a token and a round of four, and which one is used."""
    if len(seconds) > 1:
        told = ", ".join(f"{count}: {1e3 * each:.1f} ms" for count, each in seconds.items())
        quiet(console, f"threads, for a token and a round of four: {told}; {chosen} from now on")


def show_curve(
    console: Console, curve: Curve, pair: Pair, left_out: Mapping[int, float], better: FilesAdvice | None = None
) -> None:
    """What the machine's calls cost, and what follows from that alone; `better`: why they are dear."""
    costs = curve.costs
    quiet(console, curve_line(costs))
    if not curve.steady:
        quiet(console, f"warning: {UNSTEADY.format(curve.spread)}", "warning")
    file = pair.files["expert"]
    if line := scaling_line(costs, file.path.name, file.header.file_type, better):
        quiet(console, f"{line}; {better.hint}" if better and better.hint else line, "warning")
    if left_out:
        told = ", ".join(f"{k} (at most {times:.2f}x)" for k, times in sorted(left_out.items()))
        quiet(console, f"draft lengths left out, as they cannot pay even if every draft is accepted: {told}")


def show_confidence(console: Console, found: FittedConfidence | None) -> None:
    """What was found of the drafter's confidence, where that was asked for."""
    if found is not None:
        quiet(console, told(found))


def quiet(console: Console, line: str, status: str = "quiet") -> None:
    console.print(Text(one_line(line), style=STYLES[status]), soft_wrap=True)


def known_line(samples: Sequence[Sample], tried: Sequence[Candidate]) -> str:
    """What a search that was stopped knows so far, of every setting that was played beside the expert."""
    found = [each for each in standings(samples, tried) if each.prompts]
    if not found:
        return "known so far: nothing, no setting was played beside the expert alone"
    most = max(each.prompts for each in found)
    return f"known so far, of {len(found)} settings on at most {most} prompts: {frontier_line(found)}"


def show_result(console: Console, choice: Choice, floor: float, against: str = "") -> None:
    """The finalists, what was found, and what the columns mean. `against`: what `exact` means with this pair."""
    wide = console if console.is_terminal else make_console(width=WIDE)
    show_table(wide, finalists(choice))
    console.print()
    show_notes(console, NOTES)
    console.print()
    console.print(Text(finding(choice, floor, against), style="bold"), soft_wrap=True)


def show_round(console: Console, halving: HalvingRound) -> None:
    """How many go on, and the frontier of all that were played on these prompts."""
    if not halving.confirmed:
        why = Counter(halving.eliminated.values())
        gone = f" ({', '.join(f'{count} {reason}' for reason, count in why.items())})" if why else ""
        line = f"after {halving.prompts} prompts: {len(halving.alive)} of {len(halving.standings)} settings go on{gone}"
        quiet(console, line)
    quiet(console, f"  frontier: {frontier_line(halving.standings)}")


def frontier_line(found: Sequence[Standing]) -> str:
    """Slowest first; the expert alone stands where nothing is faster."""
    parts = [
        f"{each.candidate.label} {each.times:.2f}x" + ("" if each.candidate.lossless else f", loses {each.loss:.1%}")
        for each in front(found)
    ]
    return " · ".join(parts) or "the expert alone"


def finalists(choice: Choice) -> Table:
    """The verdicts as a table."""
    columns = ("setting", "speed-up", "answer", "loss by log-prob", "loss by score", "acceptance", "verdict")
    return Table("Finalists, on the prompts that chose nothing", columns, tuple(map(row, choice.verdicts)))


def row(found: FinalistVerdict) -> tuple[str, ...]:
    standing = found.standing
    score = standing.loss_by_score()
    lossless = standing.candidate.lossless
    return (
        standing.candidate.label,
        estimate(standing.speedup(), ".2f", "x"),
        f"{middle(standing):.2f}x",
        "none" if lossless else estimate(standing.loss_by_log_prob(), ".1%"),
        "none" if lossless else "-" if score.value is None else f"{estimate(score, '.1%')} ({score.n})",
        "-" if standing.acceptance is None else f"{standing.acceptance:.0%}",
        found.why or "good",
    )


def middle(standing: Standing) -> float:
    from statistics import median

    return median(standing.answer.values()) if standing.answer else 0.0


def plan_lines(candidates: Sequence[Candidate], prompts: int, most: int) -> list[str]:
    names = ", ".join(each.label for each in candidates)
    return [f"{len(candidates)} settings: {names}", f"{prompts} prompts, at most {most} answers"]


def show_outcome(
    console: Console, aside: Console, result: TuneResult, saved: SavedResult, sources: Mapping[str, str]
) -> None:
    """The finalists, and what was saved where; on stderr a warning where that is not used."""
    prepared = result.prepared
    show_result(console, result.choice, prepared.plan.floor, exactness(prepared.manifest))
    for line in saved_lines(result, saved):
        console.print(visible(line), soft_wrap=True)
    for line in overruled(sources):
        aside.print(f"warning: {line}", style=STYLES["warning"], soft_wrap=True)


def saved_lines(result: TuneResult, saved: SavedResult) -> list[str]:
    """What was saved where, or why not."""
    evidence = f"evidence: {saved.evidence}"
    if saved.stands is not None:
        before, standing = saved.stands, result.choice.standing
        now = 0 if standing is None else standing.prompts
        return [
            f"nothing saved: {now} prompts can show nothing, and what stands in the profile was found over "
            f"{before.prompts} on {before.date}: --rule {before.rule} -k {before.draft_tokens}",
            evidence,
        ]
    if saved.profile is None:
        return [
            "These files have no profile. Save this as pairs/NAME.yaml in the config directory, or run the same again "
            "with --resume --save-as NAME (nothing is played again):",
            "",
            saved.text.rstrip(),
            "",
            evidence,
        ]
    chosen = result.choice.candidate
    t = result.confidence_temperature
    sure = "" if t == 1 else f" --confidence-temperature {t:g}"
    return [
        f"saved: --rule {chosen.name} -k {chosen.k} --threads {result.threads}{sure} in {saved.saved}",
        f"compare, run and chat --pair {saved.profile.stem} use it from now on",
        evidence,
    ]


def overruled(sources: Mapping[str, str]) -> list[str]:
    """Where something that goes before a profile hides what was saved. `sources`: where each setting comes from."""
    found = [(key, source) for key in ("rule", "draft_tokens") if (source := sources.get(key)) is not None]
    return [
        f"{key} from the {source} goes before the profile: what was saved is not used until it is gone"
        for key, source in found
        if source in ("environment", "config file")
    ]
