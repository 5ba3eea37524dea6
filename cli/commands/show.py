"""`speccas show`: what a pair's or a model's headers say, whether the two fit, and what memory they take."""

from typing import Annotated, Any

import typer

from ..values import completing
from ..view.safe import json_text, one_line


def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="PAIR|FILE|hf:OWNER/REPO[:QUANT]",
            help="What to show.",
            autocompletion=completing("pairs and models"),
        ),
    ],
    ctx: Annotated[str | None, typer.Option(metavar="N", help="Context to count memory for, or auto.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Show both headers, the chat template's hash, how the vocabularies relate, and the memory at a context. Of files
    on the hub only the headers are read."""
    from speccas.core.inventory.details import details

    from ..checks import context

    found = details(name, None if ctx is None else context("--ctx", ctx)).as_json()
    if as_json:
        print(json_text(found))
    else:
        _print(found)


def made_rows(made: dict[str, Any] | None) -> list[tuple[str, str]]:
    """What is said of files that were made: of what, for which machine, how, and what their card found."""
    if made is None:
        return []
    here = "this one" if made["here"] else "not this one"
    recipes = "; ".join(f"{role} {recipe or 'as it was'}" for role, recipe in made["recipes"].items())
    rows = [
        ("made of", f"{made['of']} ({recipes})"),
        ("made for", f"{made['processor']} ({here}), {made['build']}"),
        ("loss", f"{max(0.0, made['loss']):.3f} nats a token against its source"),
    ]
    figures, told = made["figures"], []
    if (four := (figures.get("relative") or {}).get("4")) is not None:
        told.append(f"a call of four costs {four:.2f} tokens, a step of the drafter {figures.get('step', 0):.2f}")
    if figures.get("acceptance") is not None:
        told.append(f"{figures['acceptance']:.0%} of drafted tokens are accepted")
    if figures.get("same_argmax") is not None:
        told.append(f"the same best token as its source at {figures['same_argmax']:.1%}")
    rows += [("measured", "; ".join(told))] if told else []
    return [*rows, ("found", made["finding"]), ("card", made["card"])]


def _print(document: dict[str, Any]) -> None:
    from rich.text import Text

    from ..view.flow import hanging
    from ..view.theme import make_console

    console = make_console()

    def say(text: str, style: str = "") -> None:
        console.print(Text(one_line(text), style=style), soft_wrap=True)

    def row(label: str, value: object) -> None:
        text = one_line("-" if value in (None, "") else str(value))
        for line in hanging(f"  {label:<12}", text, console.width if console.is_terminal else None):
            say(line)

    say(f"{document['name']}" + (f": {document['title']}" if document.get("title") else ""), "bold")
    if "licence" in document:
        row("licence", f"{document['licence']}{' (gated)' if document['gated'] else ''}")
        row("profile", document["origin"])
        if document["untried"]:
            row("note", "not run by us: names and sizes are from files of others")
    for label, value in made_rows(document.get("optimized")):
        row(label, value)
    for role, model in document["models"].items():
        say(f"{role}: {model['file']}", "bold")
        row("name", model["name"])
        row("where", model["path"] or f"{model['source']} (not downloaded)")
        if model["fitted"]:
            row("file", model["fitted"])
        row("size", f"{model['bytes'] / 1e9:.2f} GB, {model['quant']}, {model['parameters'] / 1e6:,.0f}M parameters")
        row(
            "shape",
            f"{model['architecture']}, {model['layers']} layers, {model['embedding']} wide, {model['heads']} heads "
            f"({model['kv_heads']} in the cache), trained for {model['context']:,} tokens",
        )
        for label, head in (("head", model["head"]), ("head inside", model["head_inside"])):
            if head is not None:
                row(label, head["told"])
        for name in model["heads_beside"]:
            row("head beside", name)
        row("vocabulary", f"{model['tokens']:,} tokens, {model['tokenizer']}")
        row("template", model["template_sha256"] or "no chat template")
        row("sha256", model["sha256"])
        row("licence", model["licence"])
        for remark in model["remarks"]:
            row("note", remark)
    if (vocabulary := document["vocabulary"]) is not None:
        say("together", "bold")
        row("vocabulary", f"{vocabulary['verdict']}: {vocabulary['reason']}")
        row("ratio", f"{vocabulary['ratio']:.1f}")
        alike = "the expert's is used; the drafter's differs" if vocabulary["template"] else "the same in both"
        row("template", alike if vocabulary["chat_template"] else "no chat template in the expert's file")
    if (memory := document["memory"]) is not None:
        gb = {key: value / 1e9 for key, value in memory.items() if isinstance(value, int)}
        row(
            "memory",
            f"{gb['bytes']:.2f} GB at a context of {memory['context']:,}: files {gb['weights']:.2f}, caches "
            f"{gb['cache']:.2f}, buffers {gb['compute']:.2f}, vocabularies {gb['tables']:.2f}, "
            f"the process {gb['process']:.2f}",
        )
        fits = "it fits" if memory["fits"] else "it does not fit"
        row("here", f"{fits}: {gb['free']:.2f} GB are free; largest context {memory['largest_context']:,}")
