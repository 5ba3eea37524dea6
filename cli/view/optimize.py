"""What `speccas optimize` shows: the stages as they go, a table of the files that were judged, and the proof."""

from rich.console import Console
from rich.text import Text

from speccas.core.bench.tables import Table, estimate
from speccas.core.headers.packing import unpacked_tensors
from speccas.core.optimize.candidates import CANDIDATES, quantised_bytes
from speccas.core.optimize.confirm import ConfirmedSpeed
from speccas.core.optimize.judge import JudgedFiles
from speccas.core.optimize.outcome import OptimizeOutcome
from speccas.core.optimize.survey import OptimizePlan, OptimizeSurvey
from speccas.core.runtime.backend import ROLES
from speccas.core.runtime.llama import repacked_types

from .bench import show_notes, show_table
from .safe import one_line, visible
from .theme import STYLES, make_console

WIDE = 200  # columns of a pipe or a file: tables stay tables there
NOTES = (
    "n tokens in one call, and a step of the drafter: in tokens of the same expert alone; accepted = share of drafts "
    "at draft length 3, along the source expert's own answers; loss = nats a token against the source, over built-in "
    "texts; predicted = speed with exact over the source expert alone, at its best draft length.",
)
SECONDS_A_GB = 350
"""Of a pair's files, for one type and the proof: measured once, on two slow cores (docs/optimize.md)."""


def show_survey(console: Console, plan: OptimizePlan, found: OptimizeSurvey) -> None:
    """What would be made, with what it takes."""

    def say(line: str) -> None:
        console.print(Text(one_line(line)), soft_wrap=True)

    for role in ROLES:
        file = found.files[role]
        say(f"{role}: {file.path.name}, {file.header.file_type}, {file.bytes / 1e9:.2f} GB")
        if dear := unpacked_tensors(file.header, repacked_types()):
            types = ", ".join(dear.types)
            say(f"  {dear.count} of {dear.total} tensors are {types}: this build reads them a token at a time")
        for name in CANDIDATES:
            if why := found.left_out[role].get(name):
                say(f"  not as {name}: {why}")
            else:
                size = quantised_bytes(file.header, CANDIDATES[name])
                say(f"  as {name}: about {size / 1e9:.2f} GB")
    minutes = SECONDS_A_GB * sum(file.bytes for file in found.files.values()) / 1e9 / 60
    sizes = " or ".join(f"{size:,}" for size in found.vocabularies)
    cut = f"to {sizes} tokens, by what is accepted" if len(found.vocabularies) > 1 else f"to {sizes} tokens"
    cut = cut if found.vocabularies else f"not: {found.untrimmed}"
    say(f"the drafter's vocabulary is trimmed {cut}")
    say(
        f"disk while it runs: {found.disk / 1e9:.2f} GB; memory: {found.memory / 1e9:.2f} GB; time: about "
        f"{max(1, round(minutes))} minutes on two slow cores, IQ4_NL longer"
    )
    say(f"what is shown to be faster within {plan.max_loss:g} nats a token is kept as the pair {plan.name}")


def show_outcome(console: Console, outcome: OptimizeOutcome) -> None:
    """The sentence first, then what it rests on."""
    console.print(Text(one_line(outcome.finding), style="bold"), soft_wrap=True)
    console.print()
    wide = console if console.is_terminal else make_console(width=WIDE)
    show_table(wide, judged_table(outcome))
    if outcome.confirmed is not None:
        console.print()
        show_table(wide, proof_table(outcome.confirmed))
    console.print()
    show_notes(console, NOTES)
    for line in closing_lines(outcome):
        console.print(visible(line), soft_wrap=True)
    if not (outcome.source.own.steady and all(each.own.steady for each in outcome.judged)):
        told = "warning: something else ran while calls were measured, so these costs are rough"
        console.print(Text(told, style=STYLES["warning"]), soft_wrap=True)


def closing_lines(outcome: OptimizeOutcome) -> list[str]:
    """What to type next."""
    lines = []
    if outcome.profile is not None:
        name = outcome.plan.name
        lines += [
            f"saved as the pair {name}: {outcome.folder}",
            f"speccas compare --pair {name} -k auto, run, chat and bench use it; speccas rm {name} takes it away",
        ]
    if outcome.four_bits_show:
        how = "--from Q8_0 pulls a larger one" if outcome.plan.profile.expert.hf else "start from a Q8_0 or F16 file"
        lines.append(f"the source has four bits itself, so it lost twice: {how}")
    return lines


def judged_table(outcome: OptimizeOutcome) -> Table:
    columns = ("files", "ms a token", "2", "4", "8", "step", "accepted", "languages", "loss", "KL", "predicted", "")
    rows = (outcome.source, *outcome.judged)
    return Table("What was judged", columns, tuple(row(each, outcome) for each in rows))


def row(files: JudgedFiles, outcome: OptimizeOutcome) -> tuple[str, ...]:
    costs, lost = files.own.costs, files.quality
    one = costs.verify(1)
    over = files.cost > outcome.plan.max_loss
    verdict = "chosen" if files is outcome.chosen else "loses too much" if over else ""
    return (
        files.name,
        f"{1e3 * one:.1f}",
        *(f"{costs.verify(n) / one:.2f}" for n in (2, 4, 8)),
        f"{files.step:.2f}",
        f"{files.acceptance:.0%}",
        "-" if files.languages is None else f"{files.languages:.0%}",
        "-" if lost is None else f"{lost.cost:.3f}",
        "-" if lost is None else f"{lost.kl:.3f}",
        f"{files.times:.2f}x" + (f" (k {files.prediction.k})" if files.prediction.k else " (off)"),
        verdict,
    )


def proof_table(found: ConfirmedSpeed) -> Table:
    """The four arms."""
    rows = (
        ("expert as it is, alone", f"{found.source_alone:.1f}", "1", "-"),
        (
            "pair as it is, exact -k auto",
            f"{found.source_pair:.1f}",
            estimate(found.source_pair_times, ".2f", "x"),
            "-",
        ),
        ("new expert alone", f"{found.new_alone:.1f}", estimate(found.new_alone_times, ".2f", "x"), "1"),
        (
            "new pair, exact -k auto",
            f"{found.new_pair:.1f}",
            estimate(found.times, ".2f", "x"),
            estimate(found.own_times, ".2f", "x"),
        ),
    )
    title = f"The proof: {found.prompts} prompts, at most {found.tokens} tokens each, interleaved"
    return Table(title, ("", "tokens/s", "over the expert as it is", "over its own expert"), rows)
