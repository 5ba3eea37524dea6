"""`speccas rules`: which rule for what; then what each keeps, what its alpha's ends mean, and what it looks at."""

from typing import TYPE_CHECKING, Annotated

import typer

from ..values import completing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from speccas.core.decoding.arms import Baseline
    from speccas.core.decoding.deferral import Rule

READS = {(False, False): "p", (True, False): "q, while drafting", (False, True): "p", (True, True): "q and p"}
"""By whether the decision needs q, and whether it needs p."""
TERMS = (
    "A rule keeps the drafted token v where its inequality holds; any other one gets the exact test.",
    "q: drafter, p: expert, both at temperature 1; larger alpha: fewer deferrals. Only `exact` is always lossless.",
)
LABEL = 11
"""Cells of a label."""


def rules(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="All about one rule.", autocompletion=completing("rules")),
    ] = None,
) -> None:
    """Say which rule to use for what, and explain each, and the ancestors they are measured against."""
    from rich.text import Text

    from ..view.flow import hanging
    from ..view.theme import make_console

    console = make_console()
    for label, text in advice() if name is None else about(name):
        if not label:
            console.print(Text(text, style="bold" if text.endswith(":") else ""))
            continue
        width = console.width if console.is_terminal else None
        for line in hanging(f"  {label:<{LABEL}}", text, width):
            console.print(Text(line), soft_wrap=True)


def advice() -> "Iterator[tuple[str, str]]":
    """Everything, as (label, text): what to use when, then the formulas. Without a label: a heading or a sentence."""
    from speccas.core.decoding.arms import BASELINES
    from speccas.core.decoding.rules import RULES

    from ..choosing import FIRST

    yield "", "Which one:"
    yield from FIRST
    yield "", "`speccas tune` finds the rule, its alpha and -k that are fastest for a pair on this machine."
    yield "", ""
    yield from (("", sentence) for sentence in TERMS)
    for name, kind in RULES.items():
        yield "", ""
        yield from formulas(name, kind)
    yield "", ""
    yield "", "Ancestors, typed the same way:"
    for each in BASELINES.values():
        yield "", ""
        yield from formulas(each.name, each)


def about(name: str) -> "Iterator[tuple[str, str]]":
    """One rule, all that is known of it. Raises UnknownRule with the nearest name."""
    import inspect

    from speccas.core.decoding.arms import BASELINES, parse_arm
    from speccas.core.decoding.rules import RULES, lossless_where

    from ..choosing import ADVICE

    method = parse_arm(name).method
    kind: type[Rule] | Baseline = RULES[method] if method in RULES else BASELINES[method]
    yield from formulas(method, kind)
    if isinstance(kind, type):
        dial = kind.dial
        if dial is not None:
            yield "range", f"{'whole numbers, ' * dial.whole}{dial.range}; {dial.default:g} unless given"
        yield "writes", kind.samples
        yield "lossless", lossless_where(kind)
        yield "in short", f"{ADVICE[method]}. {' '.join((inspect.getdoc(kind) or '').split())}"
    else:
        yield "in short", ADVICE[method]
    shown = method if kind.dial is None else f"{method}:{kind.dial.default:g}"
    yield "type", f'speccas compare "..." --rule {shown}'


def formulas(name: str, kind: "type[Rule] | Baseline") -> "Iterator[tuple[str, str]]":
    """Its name, default and source, then its inequality, its ends and what it reads."""
    shown = name if kind.dial is None else f"{name}:{kind.dial.default:g}"
    yield "", f"{shown} [{kind.paper}]:"
    yield ("keeps" if isinstance(kind, type) else "is"), kind.formula
    yield "alpha", kind.ends
    if isinstance(kind, type):
        yield "reads", READS[kind.reads_q, kind.reads_p]
