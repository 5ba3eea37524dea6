"""Says on stderr, once, what a pair's memory costs, that it is tuned, or that a setting makes it slower: the texts,
with the flags they name.

Never on stdout, never with --json. `core/tune/advice.py` has the facts.
"""

from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console
from rich.text import Text

from speccas.core.calibration.calibrate import alone_speed
from speccas.core.calibration.planner import Planner, name_of
from speccas.core.calibration.trips import elsewhere_of, latency_of, trip_of
from speccas.core.decoding.arms import Arm
from speccas.core.decoding.length.latency import LatencyModel
from speccas.core.decoding.sampling import Sampling
from speccas.core.headers.memory import costs_of_going_back
from speccas.core.optimize.store import made_elsewhere
from speccas.core.record.manifest import machine_of
from speccas.core.record.metrics import Figures
from speccas.core.runtime.pair import Pair
from speccas.core.tune.advice import Remedy, SlowerAdvice, TunedNotice, slower_advice, tuned_notice
from speccas.core.tune.store import Tuned, tuned_of

from .better_files import FilesAdvice, better_after, better_when_off
from .notes import load_notes
from .settings import SERVER, Settings
from .view.safe import one_line
from .view.theme import STYLES

STEPS = 3  # single expert steps that one answer is held against


def elsewhere_line(planner: Planner, arm: Arm, sampling: Sampling) -> str | None:
    """Whether drafting pays for an expert on another machine; None where it is here, where nothing is drafted, or where
    what calls cost is not known yet. Those of a server may be timed now. Raises Stopped, ExpertLost."""
    pair = planner.pair
    if arm.rule is None or trip_of(pair) is None:
        return None
    found = elsewhere_of(pair, latency_of(planner), planner.known_acceptance(name_of(arm, sampling)))
    if found is None:
        return None
    told = f"note: the expert is on {pair.profile.expert.rpc or pair.profile.expert.url}: {found.verdict}"
    by_itself = pair.probe is not None and found.pays is False
    return told + "; a server that writes by itself would be faster" * by_itself


def say_elsewhere(console: Console, planner: Planner, arms: Sequence[Arm], sampling: Sampling) -> None:
    """Of the first arm that drafts. Raises Stopped, ExpertLost."""
    drafting = next((arm for arm in arms if arm.rule is not None), None)
    if drafting is not None and (line := elsewhere_line(planner, drafting, sampling)):
        say(console, line, "quiet")


def setting(rule: str | None, k: int | str | None) -> str:
    return f"--rule {rule} -k {k}"


def gain(tuned: Tuned) -> str:
    """`1.18x the expert alone [1.10, 1.25], 40 prompts`."""
    if tuned.speedup is None:
        return "not measured"
    interval = "" if tuned.low is None or tuned.high is None else f" [{tuned.low:.2f}, {tuned.high:.2f}]"
    return f"{tuned.speedup:.2f}x the expert alone{interval}, {tuned.prompts} prompts"


def notice_lines(notice: TunedNotice) -> list[tuple[str, str]]:
    """(text, status) of what is to be said before an answer."""
    tuned = notice.tuned
    best = setting(tuned.rule, tuned.draft_tokens)
    if not notice.used:
        text = f"tune found nothing faster than the expert alone here, so -k {notice.slow_length} will be slower"
        return [(f"warning: {text}: use {best}", "warning")]
    loss = "" if tuned.quality_loss is None else f", quality loss {tuned.quality_loss:.1%}"
    found = f"{gain(tuned)}{loss}" if tuned.faster else f"nothing was faster than the expert alone; {gain(tuned)}"
    at = "" if notice.same_temperature else f", at temperature {tuned.temperature:g}"
    lines = [(f"tuned: {best} ({found}{at}; {tuned.date})", "quiet")]
    if not notice.here:
        text = f"this was tuned on another machine or build ({tuned.machine}): run `speccas tune` here"
        lines.append((f"warning: {text}", "warning"))
    return lines


def slower_text(advice: SlowerAdvice, files: FilesAdvice | None = None) -> str:
    """The warning behind answers that were slower than the expert alone, with what to do about it; `files`: why its
    calls were dear."""
    told = ", ".join(f"{name} {speedup:.1f}x" for name, speedup in advice.slower)
    best = setting(advice.rule, advice.better_draft_tokens)
    if advice.remedy is Remedy.TUNED and advice.tuned is not None:
        better = f"speccas tune found {best} ({gain(advice.tuned)})"
    elif advice.remedy is Remedy.FASTER_HERE:
        better = f"{best} was faster ({advice.speedup:.1f}x)"
    elif advice.remedy is Remedy.AUTO:
        better = "-k auto drafts only where it pays; `speccas tune` finds what is fastest"
    else:
        better = "--rule expert does without drafts; `speccas tune` finds what is fastest"
    text = f"slower than the expert alone here at -k {advice.draft_tokens}: {told}. {better}"
    return text if files is None else f"{text}. {files.sentence}"


def tuned_lines(pair: Pair, settings: Settings) -> list[tuple[str, str]]:
    """(text, status) of what is to be said before an answer."""
    lines = [(f"note: {text}", "quiet") for text in costs_of_going_back(pair.header("drafter"), pair.header("expert"))]
    lines += [(f"note: {text}", "warning") for text in load_notes(pair)]
    if elsewhere := made_elsewhere(pair.profile):
        lines.append((f"note: {elsewhere}", "warning"))
    tuned = tuned_of(pair.profile)
    if tuned is None:
        return lines
    notice = tuned_notice(settings.rule, settings.draft_tokens, settings.temperature, tuned, machine_of(pair))
    return lines if notice is None else [*lines, *notice_lines(notice)]


def seed_line(settings: Settings) -> str | None:
    """The seed that was drawn, where one was and chance decides."""
    if settings.temperature == 0 or settings.sources.get("seed") != "default":
        return None
    if settings.sources.get("test") == SERVER and not settings.top_k:  # the server draws some of the tokens
        return None
    again = f"seed {settings.seed}: --seed {settings.seed} writes this again"
    return again if settings.test == "coupled" else f"{again} with --test {settings.test} and the same fixed -k"


def say_seed(aside: Console, settings: Settings) -> None:
    line = seed_line(settings)
    if line is not None:
        say(aside, line, "quiet")


def say_tuned(aside: Console, pair: Pair, settings: Settings) -> None:
    for text, status in tuned_lines(pair, settings):
        say(aside, text, status)


def warn_slower(aside: Console, pair: Pair, settings: Settings, figures: Sequence[Figures]) -> None:
    """Figures with their speed-up; says nothing where none is slower. Of a single answer also why its calls were dear:
    over a comparison's table that stands already."""
    advice = slower_advice(figures, settings.draft_tokens, tuned_of(pair.profile))
    if advice is not None:
        files = better_after(pair, figures[0]) if len(figures) == 1 else None
        say(aside, f"warning: {slower_text(advice, files)}", "warning")


def note_off(aside: Console, pair: Pair, figures: Figures, latency: LatencyModel | None) -> None:
    """Says why drafts were left off, where other files would change that. `latency`: what has been measured by now."""
    files = better_when_off(pair, figures, latency)
    if files is not None:
        say(aside, f"note: drafts were left off, as none would pay. {files.sentence}", "quiet")


def against_alone(pair: Pair, figures: Figures) -> Figures:
    """The figures of one answer with its speed-up against single steps of the expert, measured behind it."""
    alone = alone_speed(pair, STEPS)
    own = figures.tokens_per_second
    return replace(figures, speedup=own / alone if own and alone else None)


def say(aside: Console, text: str, status: str) -> None:
    aside.print(Text(one_line(text), style=STYLES[status]), soft_wrap=True)
