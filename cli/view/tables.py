"""Figures as a table, in parts where the terminal is narrow."""

import math
from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from speccas.core.decoding.events import Finish
from speccas.core.record.comparison import Comparison, digits
from speccas.core.record.metrics import Figures
from speccas.core.record.verdict import is_faster, verdict_of

from .difference import same
from .safe import one_line, visible
from .theme import STYLES
from .verdict import NO_NOTES, OFF, PairNotes, caveats, times, verdict_text

GAP = 2  # cells between columns
NARROW = 60  # cells; below it a difference is told in fewer

COLUMNS = (
    "arm",
    "tokens/s",
    "speed-up",
    "if flat",
    "acceptance",
    "kept",
    "deferred",
    "tokens/call",
    "log-prob",
    "same as expert",
)
DETAIL = "This run recorded probabilities for every token (--trace, --why, --view rounds): its speeds do not count."
NOTES = (
    "speed-up = against the expert alone in this run; if flat = the same if a call of the expert cost as one token "
    "(most GPUs), by counts alone; acceptance = (agreed + kept) / (agreed + kept + deferred); tokens/call = tokens per "
    "expert call, bonus included; log-prob = how well the expert likes the text (0 is best), mean ln p a token."
)
DIFFERS = " Words that differ: the arm's / the expert's."


def number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def cells(figures: Figures, expert: Figures, best: bool, timed: bool, narrow: bool) -> tuple[str, ...]:
    """One row, in the order of COLUMNS."""
    return (
        visible(figures.name) + " (best)" * best,
        speed(figures),
        times(figures) if timed else "-",
        number(figures.speedup_if_flat, ".1f") + ("x" if figures.speedup_if_flat is not None else ""),
        number(figures.acceptance, ".0%"),
        number(figures.kept, "d"),
        number(figures.deferred, "d"),
        number(figures.tokens_per_expert_call, ".2f"),
        number(figures.expert_logprob, ".3f"),
        same(figures, expert, narrow),
    )


def speed(figures: Figures) -> str:
    """Tokens a second, no more exact than the expert's two measurements."""
    value, low, high = figures.tokens_per_second, figures.speedup_low, figures.speedup_high
    if value is None or low is None or high is None or not figures.speedup:
        return number(value, ".1f")
    half = value * (high - low) / figures.speedup
    return number(value, f".{min(1, digits(0, half))}f")


def draw(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> None:
    """A table, in parts below each other where the width is too small for all of its columns. `left` are the columns
    that are set to the left."""
    widths = _widths(columns, rows)
    for number, part in enumerate(parts(widths, console.width)):
        if number:
            console.print()
        table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
        for i in part:
            table.add_column(Text(one_line(columns[i])), justify="left" if i in left else "right", no_wrap=True)
        for row in rows:
            table.add_row(*(Text(one_line(row[i])) for i in part))
        needed = sum(widths[i] for i in part) + GAP * (len(part) - 1)
        table.width = needed if needed > console.width else None  # what cannot be parted is not cut off either
        console.print(table, crop=False)


def parts(widths: Sequence[int], width: int) -> Iterator[list[int]]:
    """The columns, of these widths, that fit beside the first one: it names the row in every part."""
    part, used = [0], widths[0]
    for i in range(1, len(widths)):
        if len(part) > 1 and used + GAP + widths[i] > width:
            yield part
            part, used = [0], widths[0]
        part.append(i)
        used += GAP + widths[i]
    yield part


def _widths(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(cell_len(one_line(row[i])) for row in (columns, *rows)) for i in range(len(columns))]


def show_arms(console: Console, compared: Comparison, detail: bool = False, notes: PairNotes = NO_NOTES) -> None:
    """Who won, the figures of each arm, and what they mean. `detail`: the run recorded probabilities, so its times do
    not count."""
    console.print()
    told = verdict_text(compared, detail, notes)
    if told is not None:
        console.print(Text(told, style="bold"))
        console.print()
    expert, best = compared.arms[0], winner(compared) if not detail else None
    rows = [cells(figures, expert, figures is best, not detail, console.width < NARROW) for figures in compared.arms]
    draw(console, COLUMNS, rows, left=(0, len(COLUMNS) - 1))
    told_of = [*cut(compared.arms), *spent(compared.arms), *levels(compared.arms)]
    for line in [*([DETAIL] if detail else []), *told_of, *([] if detail else caveats(compared))]:
        console.print(Text(line, style=STYLES["warning"]))
    differs = any(figures.identical_to_expert is False for figures in compared.arms)
    console.print(Text(NOTES + DIFFERS * differs, style="dim"))


def winner(compared: Comparison) -> Figures | None:
    """The fastest arm with the expert's own text, where it was faster."""
    found = verdict_of(compared)
    return found.lossless if found is not None and is_faster(found.lossless) else None


def cut(arms: Sequence[Figures]) -> list[str]:
    """Which answers end where -n ends them."""
    names = [figures.name for figures in arms if figures.finish == Finish.LENGTH]
    if not names:
        return []
    who = "every answer" if len(names) == len(arms) else one_line(", ".join(names))
    most = max(figures.tokens for figures in arms if figures.finish == Finish.LENGTH)
    return [f"cut at {most} tokens (-n): {who}"]


def spent(arms: Sequence[Figures]) -> list[str]:
    """What is left of each rule's budget."""
    told = [
        f"{one_line(figures.name)} {nats_left(figures.budget_left, figures.budget_left + figures.charged)}"
        for figures in arms
        if figures.budget_left is not None and figures.charged is not None and figures.rule != "exact"
    ]
    return [f"budget: {', '.join(told)}"] if told else []


def levels(arms: Sequence[Figures]) -> list[str]:
    """Who drafted what was accepted, where a chain drafts."""
    told = [
        f"{one_line(figures.name)} {figures.by_first} of {figures.agreed + figures.kept}"
        for figures in arms
        if figures.by_first is not None and figures.agreed is not None and figures.kept is not None
    ]
    return [f"accepted tokens that the first drafter wrote: {', '.join(told)}"] if told else []


def one_arm(console: Console, figures: Figures) -> None:
    """One line of figures under an answer."""
    parts = [
        f"{figures.name}",
        f"{figures.tokens} tokens",
        f"{number(figures.tokens_per_second, '.1f')} tokens/s",
    ]
    parts += drafts(figures)
    if figures.ttft_ms is not None:
        parts.append(f"first token after {figures.ttft_ms:.0f} ms")
    console.print(Text(visible(" · ".join(parts)), style="dim"), soft_wrap=not console.is_terminal)


def drafts(figures: Figures) -> list[str]:
    """What became of the drafts, and how much was written without any because none paid."""
    parts = []
    if figures.acceptance is not None:
        parts.append(f"accepted {figures.acceptance:.0%}, kept {figures.kept}, deferred {figures.deferred}")
    if figures.by_first is not None:
        parts.append(f"{figures.by_first} of the first drafter")
    if figures.looked_up_accepted:
        parts.append(f"copied {figures.looked_up_accepted}")
    if figures.budget_left is not None and figures.charged is not None:
        parts.append(nats_left(figures.budget_left, figures.budget_left + figures.charged))
    if figures.drafted == 0 and figures.rounds_off == figures.tokens:
        parts.append(OFF)
    elif figures.rounds_off and figures.tokens:
        parts.append(f"drafting off for {figures.alone / figures.tokens:.0%} of the tokens")
    return parts


def nats_left(left: float, budget: float) -> str:
    """What is left of a budget; never shown as more than there is."""
    return f"{math.floor(left * 100) / 100:g} of {budget:g} nats left"


def footer(figures: Figures, alone: float, seed: int | None = None, used: tuple[int, int] | None = None) -> str:
    """One line under an answer in a chat. `alone`: tokens a second of the expert alone, 0 when not known. `seed`: where
    chance decided. `used`: tokens of the context that are full, and that there are."""
    speed = figures.tokens_per_second
    told = f"{number(speed, '.1f')} tokens/s"
    if alone and speed and figures.drafted:
        told += f" ({speed / alone:.1f}x the expert alone)"
    parts = [f"{figures.tokens} tokens", told]
    parts += drafts(figures)
    if figures.ttft_ms is not None:
        parts.append(f"first token after {figures.ttft_ms / 1e3:.2f} s")
    parts += [] if seed is None else [f"seed {seed}"]
    parts += [] if used is None else [f"context {used[0]} of {used[1]}"]
    if figures.finish != "end":
        parts.append(figures.finish)
    return f"{figures.name} · " + " · ".join(parts)


def stats(figures: Figures) -> list[str]:
    """Every figure of an answer, a line each; what does not apply is left out."""
    skip = {"text", "name"}
    told = {name: value for name, value in figures.as_json().items() if value is not None and name not in skip}
    return [f"  {name:<24}{f'{value:.3f}' if isinstance(value, float) else value}" for name, value in told.items()]
