"""`speccas show`: what a pair's or a model's headers say, whether the two fit, and what memory they take."""

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from ..values import completing
from ..view.safe import json_text, one_line

NAMES = {"first": "first drafter"}
"""Roles in words, where they are not words themselves."""


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


def profile_rows(document: dict[str, Any]) -> list[tuple[str, str]]:
    """What a pair's profile says."""
    rows = [
        ("licence", f"{document['licence']}{' (gated)' if document['gated'] else ''}"),
        ("profile", document["origin"]),
    ]
    return [*rows, *[("note", "not run by us: names and sizes are from files of others")] * document["untried"]]


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


def model_rows(model: dict[str, Any]) -> list[tuple[str, object]]:
    """What a header says, and where its file is."""
    heads = {"head": model["head"], "head inside": model["head_inside"]}
    return [
        ("name", model["name"]),
        ("where", model["path"] or f"{model['source']} (not downloaded)"),
        *([("file", model["fitted"])] if model["fitted"] else []),
        ("size", f"{model['bytes'] / 1e9:.2f} GB, {model['quant']}, {model['parameters'] / 1e6:,.0f}M parameters"),
        (
            "shape",
            f"{model['architecture']}, {model['layers']} layers, {model['embedding']} wide, {model['heads']} heads "
            f"({model['kv_heads']} in the cache), trained for {model['context']:,} tokens",
        ),
        *((label, head["told"]) for label, head in heads.items() if head is not None),
        *(("head beside", name) for name in model["heads_beside"]),
        ("vocabulary", f"{model['tokens']:,} tokens, {model['tokenizer']}"),
        ("template", model["template_sha256"] or "no chat template"),
        ("sha256", model["sha256"]),
        ("licence", model["licence"]),
        *(("note", remark) for remark in model["remarks"]),
    ]


def together_rows(vocabulary: dict[str, Any], first: dict[str, Any] | None) -> list[tuple[str, str]]:
    """How the models go together; `first`: how a chain's first drafter goes with the expert."""
    alike = "the expert's is used; the drafter's differs" if vocabulary["template"] else "the same in both"
    return [
        *([] if first is None else [("first", f"{first['verdict']}: {first['reason']}")]),
        ("vocabulary", f"{vocabulary['verdict']}: {vocabulary['reason']}"),
        ("ratio", f"{vocabulary['ratio']:.1f}"),
        ("template", alike if vocabulary["chat_template"] else "no chat template in the expert's file"),
    ]


def memory_rows(memory: dict[str, Any]) -> list[tuple[str, str]]:
    """What the pair takes, and whether this machine has it."""
    gb = {key: value / 1e9 for key, value in memory.items() if isinstance(value, int)}
    fits = "it fits" if memory["fits"] else "it does not fit"
    return [
        (
            "memory",
            f"{gb['bytes']:.2f} GB at a context of {memory['context']:,}: files {gb['weights']:.2f}, caches "
            f"{gb['cache']:.2f}, buffers {gb['compute']:.2f}, vocabularies {gb['tables']:.2f}, "
            f"the process {gb['process']:.2f}",
        ),
        ("here", f"{fits}: {gb['free']:.2f} GB are free; largest context {memory['largest_context']:,}"),
    ]


def _print(document: dict[str, Any]) -> None:
    from rich.text import Text

    from ..view.flow import hanging
    from ..view.theme import make_console

    console = make_console()

    def say(text: str, style: str = "") -> None:
        console.print(Text(one_line(text), style=style), soft_wrap=True)

    def table(rows: Iterable[tuple[str, object]]) -> None:
        for label, value in rows:
            text = one_line("-" if value in (None, "") else str(value))
            for line in hanging(f"  {label:<12}", text, console.width if console.is_terminal else None):
                say(line)

    say(f"{document['name']}" + (f": {document['title']}" if document.get("title") else ""), "bold")
    if "licence" in document:
        table(profile_rows(document))
    table(made_rows(document.get("optimized")))
    for role, model in document["models"].items():
        say(f"{NAMES.get(role, role)}: {model['file']}", "bold")
        table(model_rows(model))
    if (vocabulary := document["vocabulary"]) is not None:
        say("together", "bold")
        table(together_rows(vocabulary, document["first_vocabulary"]))
    if (memory := document["memory"]) is not None:
        table(memory_rows(memory))
