"""`--help`: options in groups, with each command's own defaults, examples at the end, in the width of the terminal.

Typer draws groups with rich, whose import takes longer than all the rest of a help.
"""

import re
import shutil
from collections.abc import Iterable
from typing import Any

from typer.core import TyperCommand, TyperGroup

from .examples import EXAMPLES

GROUPS = {
    "Models and machine": (
        "pair", "drafter", "expert", "expert_rpc", "expert_rpc_output", "expert_url", "expert_api",
        "ctx", "threads", "gpu_layers", "drafter_gpu_layers", "no_memory_check",
    ),
    "Prompt": ("file", "prompts", "system", "system_file", "raw", "think"),
    "Drafting": ("rule", "every", "draft_tokens", "chain_rule", "chain_k", "lookup", "test", "budget",
        "confidence_temperature"),
    "Answer": (
        "max_tokens", "temperature", "top_k", "top_p", "min_p", "repeat_penalty", "repeat_last_n", "seed", "stop",
        "ignore_eos",
    ),
    "Output": ("view", "side_by_side", "why", "trace", "force", "as_json", "no_live", "quiet"),
    "Other": ("version", "install_completion", "show_completion", "help"),
}  # fmt: skip
"""Options by the names of their parameters; one that stands nowhere here is in OWN, above the others."""
OWN = "Options"
FEW = 9
"""A command of so few options needs no groups."""
WIDEST, NARROWEST = 110, 30
COLUMN = 28
"""Cells of an option's names; longer ones get a line of their own."""


class GroupedCommand(TyperCommand):
    """A command whose help is in groups, with examples."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """What must be given stands bare, without Typer's braces; what may be left out in brackets."""
        return [re.sub(r"[{}]", "", piece) for piece in super().collect_usage_pieces(ctx)]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.width = width()
        super().format_help(ctx, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        write_parameters(self.get_params(ctx), ctx, formatter)
        write_examples(EXAMPLES.get(self.name or "", ()), formatter)


class GroupedGroup(TyperGroup):
    """The program: commands in groups, then its options."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.width = width()
        super().format_help(ctx, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        self.format_commands(ctx, formatter)
        write_parameters(self.get_params(ctx), ctx, formatter)
        write_examples(EXAMPLES[""], formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        panels: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            panel = getattr(command, "rich_help_panel", None)
            text = command.get_short_help_str(1000)
            panels.setdefault(panel if isinstance(panel, str) else "Commands", []).append((name, text))
        column = max(len(name) for rows in panels.values() for name, _ in rows)
        for panel, rows in panels.items():
            with formatter.section(panel):
                formatter.write_dl([(f"{name:<{column}}", text) for name, text in rows])


def width() -> int:
    """Cells of a line."""
    return max(NARROWEST, min(shutil.get_terminal_size().columns, WIDEST) - 1)


def write_parameters(parameters: Iterable[Any], ctx: Any, formatter: Any) -> None:
    """Arguments, and options in their groups."""
    place = {name: group for group, names in GROUPS.items() for name in names}
    found: dict[str, list[tuple[str, str]]] = {group: [] for group in (OWN, *GROUPS)}
    arguments = []
    for parameter in parameters:
        record = parameter.get_help_record(ctx)
        if record is None:
            continue
        row = (TYPE.sub("", record[0]), one_bracket(record[1]))
        if parameter.param_type_name == "argument":
            arguments.append(row)
        else:
            found[place.get(parameter.name, OWN)].append(row)
    if sum(map(len, found.values())) <= FEW:
        found = {OWN: [row for rows in found.values() for row in rows]}
    every = [first for rows in (arguments, *found.values()) for first, _ in rows]
    column = max((len(first) for first in every if len(first) <= COLUMN), default=0)
    for title, rows in (("Arguments", arguments), *found.items()):
        if rows:
            with formatter.section(title):
                formatter.write_dl([(f"{first:<{column}}", text) for first, text in rows], col_max=column)


TYPE = re.compile(r" <[^<>]*>(?=\.*$)")
"""What Typer puts behind a name: the type in Python, which says nothing more."""
FACTS = re.compile(r"(?:\((?P<ours>default: [^()]*)\))?\.?\s+\[(?P<typers>[^\[\]]*)\]$")


def one_bracket(text: str) -> str:
    """A help with Typer's facts, `[default: 5; x>=1]`, as ours stand: in one bracket, before the full stop."""
    told = FACTS.sub(lambda found: f"{' ' * (not found['ours'])}({'; '.join(filter(None, found.groups()))}).", text)
    return told.replace("x>=", "at least ")


def write_examples(examples: Iterable[tuple[str, str]], formatter: Any) -> None:
    """What to type, whole, under a line that says what it does."""
    lines = [line for does, command in examples for line in (f"  # {does}", f"  {command}")]
    if lines:
        formatter.write_paragraph()
        formatter.write_heading("Examples")
        formatter.write("".join(line + "\n" for line in lines))
