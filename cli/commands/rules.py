"""`speccas rules`: what each rule keeps, what its alpha's ends mean, and what it has to look at."""

from typing import Any

READS = {"": "p", "q": "q, while drafting", "p": "p", "qp": "q and p"}


def rules() -> None:
    """Explain the deferral rules and the ancestors they are measured against."""
    from rich.text import Text

    from speccas.core.decoding.baselines import ANCESTORS
    from speccas.core.decoding.rules import RULES

    from ..view.theme import make_console

    console = make_console()

    def line(label: str, text: str) -> None:
        console.print(Text.assemble((f"  {label:<8}", "dim"), text))

    console.print(
        Text("A rule keeps the drafted token v where its inequality holds; any other one gets the exact test.")
    )
    console.print(
        Text("q: drafter, p: expert, both at temperature 1; larger alpha: fewer deferrals. Only `exact` is lossless.")
    )
    for name, kind in RULES.items():
        rule: Any = kind
        heading = Text(f"\n{name}", style="bold")
        if rule.default is not None:
            heading.append(f":{rule.default:g}")
        console.print(heading.append(f"   [{rule.paper}]", style="dim"))
        line("keeps", rule.formula)
        line("alpha", rule.ends)
        line("reads", READS[rule.reads])
    console.print(Text("\nAncestors, typed the same way:"))
    for each in ANCESTORS.values():
        heading = Text(f"\n{each.name}", style="bold")
        if each.default is not None:
            heading.append(f":{each.default:g}")
        console.print(heading.append(f"   [{each.paper}]", style="dim"))
        line("is", each.formula)
        line("alpha", each.ends)
