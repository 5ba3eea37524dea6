"""Figures as a table, or one arm under the other where the terminal is narrow. Knows figures; measures nothing."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from speccas.core.measure.metrics import Figures

from .safe import visible

NARROW = 100  # columns; below it the table would break its cells

COLUMNS = (
    "arm",
    "tokens/s",
    "speed-up",
    "acceptance",
    "kept",
    "deferred",
    "tokens/call",
    "log-prob",
    "same as expert",
)
DETAIL = "This run recorded probabilities for every token (--trace, --why, --view rounds): its speeds do not count."
NOTES = (
    "acceptance = (agreed + kept) / (agreed + kept + deferred); tokens/call = tokens per expert call, bonus included; "
    "log-prob = what the expert thinks of the text, mean ln p a token at temperature 1; a speed-up is against the "
    "expert alone in this run."
)


def number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def same(figures: Figures) -> str:
    """Whether the text is the expert's own, or where it first differs and how near the expert's choice was there."""
    if figures.identical_to_expert is None:
        return "-"
    if figures.identical_to_expert:
        return "yes"
    gap = "" if figures.first_difference_gap is None else f" (gap {figures.first_difference_gap:.2f})"
    return f"differs at {figures.first_difference}{gap}"


def cells(figures: Figures) -> tuple[str, ...]:
    """One row, in the order of COLUMNS."""
    return (
        visible(figures.name),
        number(figures.tokens_per_second, ".1f"),
        number(figures.speedup, ".2f") + ("x" if figures.speedup is not None else ""),
        number(figures.acceptance, ".0%"),
        number(figures.kept, "d"),
        number(figures.deferred, "d"),
        number(figures.tokens_per_expert_call, ".2f"),
        number(figures.expert_logprob, ".3f"),
        same(figures),
    )


def show_arms(console: Console, arms: Sequence[Figures], detail: bool = False) -> None:
    """The comparison and what its columns mean. `detail`: the run recorded probabilities, so its times do not count."""
    console.print()
    if console.width >= NARROW:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for i, name in enumerate(COLUMNS):
            table.add_column(name, justify="left" if i in (0, len(COLUMNS) - 1) else "right", no_wrap=True)
        for figures in arms:
            table.add_row(*(Text(cell) for cell in cells(figures)))
        console.print(table)
    else:
        for figures in arms:
            name, *values = cells(figures)
            console.print(Text(name, style="bold"))
            for label, value in zip(COLUMNS[1:], values, strict=True):
                if value != "-":
                    console.print(Text(f"  {label:<15}{value}"), soft_wrap=True)
    if detail:
        console.print(Text(DETAIL, style="yellow"))
    console.print(Text(NOTES, style="dim"))


def one_arm(console: Console, figures: Figures) -> None:
    """One line of figures under an answer."""
    parts = [
        f"{figures.name}",
        f"{figures.tokens} tokens",
        f"{number(figures.tokens_per_second, '.1f')} tokens/s",
    ]
    if figures.acceptance is not None:
        parts.append(f"accepted {figures.acceptance:.0%} (kept {figures.kept}, deferred {figures.deferred})")
    if figures.ttft_ms is not None:
        parts.append(f"first token after {figures.ttft_ms:.0f} ms")
    console.print(Text(visible(" · ".join(parts)), style="dim"))


def footer(figures: Figures, alone: float) -> str:
    """One line under an answer in a chat. `alone`: tokens a second of the expert alone, 0 when not known."""
    speed = figures.tokens_per_second
    parts = [f"{number(speed, '.1f')} tokens/s"]
    if alone and speed and figures.drafted is not None:
        parts[0] += f" ({speed / alone:.2f}x the expert alone)"
    if figures.acceptance is not None:
        parts.append(f"accepted {figures.acceptance:.0%}, kept {figures.kept}, deferred {figures.deferred}")
    if figures.ttft_ms is not None:
        parts.append(f"first token after {figures.ttft_ms / 1e3:.2f} s")
    if figures.finish != "end":
        parts.append(figures.finish)
    return f"{figures.name} · " + " · ".join(parts)


def stats(figures: Figures) -> list[str]:
    """Every figure of an answer, a line each; what does not apply is left out."""
    skip = {"text", "name"}
    return [
        f"  {name:<24}{value}" for name, value in figures.as_json().items() if value is not None and name not in skip
    ]
