"""`speccas rules`: what each rule keeps, what its alpha's ends mean, and what it has to look at."""

READS = {(False, False): "p", (True, False): "q, while drafting", (False, True): "p", (True, True): "q and p"}
"""By whether the decision needs q, and whether it needs p."""


def rules() -> None:
    """Explain the deferral rules and the ancestors they are measured against."""
    from rich.text import Text

    from speccas.core.decoding.arms import BASELINES
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
    for name, rule in RULES.items():
        heading = Text(f"\n{name}", style="bold")
        if rule.dial is not None:
            heading.append(f":{rule.dial.default:g}")
        console.print(heading.append(f"   [{rule.paper}]", style="dim"))
        line("keeps", rule.formula)
        line("alpha", rule.ends)
        line("reads", READS[rule.reads_q, rule.reads_p])
    console.print(Text("\nAncestors, typed the same way:"))
    for each in BASELINES.values():
        heading = Text(f"\n{each.name}", style="bold")
        if each.dial is not None:
            heading.append(f":{each.dial.default:g}")
        console.print(heading.append(f"   [{each.paper}]", style="dim"))
        line("is", each.formula)
        line("alpha", each.ends)
