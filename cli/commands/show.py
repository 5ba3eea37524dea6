"""`speccas show`: what a pair's or a model's headers say, whether the two fit, and what memory they take."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..view.safe import json_text, one_line

if TYPE_CHECKING:
    from speccas.core.files.inspect import Inspected


def show(
    name: Annotated[str, typer.Argument(metavar="PAIR|FILE|hf:OWNER/REPO[:QUANT]", help="What to show.")],
    ctx: Annotated[str | None, typer.Option(metavar="N", help="Context to count memory for, or auto.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Show both headers, the chat template's hash, how the vocabularies relate, and the memory at a context. Of files
    on the hub only the headers are read."""
    from speccas.core.files.inspect import inspect
    from speccas.core.files.profiles import find_profile, named
    from speccas.core.headers.architecture import require_language_model
    from speccas.core.headers.check import judge

    from ..checks import context
    from .check import as_document

    asked = None if ctx is None else context("--ctx", ctx)
    label, sources = named(name)
    models = {role: inspect(source, label) for role, source in sources.items()}
    document: dict[str, Any] = {
        "schema": 1,
        "name": label,
        "models": {role: _model(each) for role, each in models.items()},
        "vocabulary": None,
        "memory": None,
    }
    if len(models) == 2:
        pair = find_profile(label)
        document |= {"title": pair.title, "licence": pair.licence, "gated": pair.gated, "origin": pair.origin}
        small, large = models["drafter"], models["expert"]
        document["vocabulary"] = as_document(judge(small.header, large.header, (small.bytes, large.bytes)))
        document["memory"] = _memory(models, asked)
    else:
        for each in models.values():
            require_language_model(each.header, each.file)
    if as_json:
        print(json_text(document))
    else:
        _print(document)


def _model(each: "Inspected") -> dict[str, Any]:
    from speccas.core.headers.architecture import Shape, template_hash, trained_context
    from speccas.core.headers.gguf import StringArray

    header, shape = each.header, Shape.of(each.header)
    return {
        "source": str(each.source),
        "path": None if each.path is None else str(each.path),
        "file": each.file,
        "bytes": each.bytes,
        "sha256": each.sha256 or None,
        "name": header.name,
        "architecture": header.architecture,
        "quant": header.file_type,
        "parameters": header.parameters,
        "layers": shape.layers,
        "embedding": shape.embedding,
        "heads": shape.heads,
        "kv_heads": max(shape.kv_heads, default=0),
        "context": trained_context(header),
        "tokenizer": header.metadata.get("tokenizer.ggml.pre") or header.metadata.get("tokenizer.ggml.model"),
        "tokens": len(header.get("tokenizer.ggml.tokens", StringArray, None) or ()),
        "template_sha256": template_hash(header),
        "licence": each.licence or None,
    }


def _memory(models: "dict[str, Inspected]", asked: int | None) -> dict[str, Any]:
    from speccas.core.headers.architecture import DEFAULT_CONTEXT, trained_context
    from speccas.core.headers.vocabulary import Tokens, compare
    from speccas.core.machine.fit import estimate, largest_context
    from speccas.core.runtime.backend import LoadOptions, ModelFile
    from speccas.core.runtime.backends import backend_of
    from speccas.core.runtime.room import differing, footprints, room

    vocabulary = compare(*(Tokens.of(models[role].header) for role in ("drafter", "expert")))
    files = {
        role: (backend_of(each.source), ModelFile(each.path or Path(each.file), each.header, each.bytes))
        for role, each in models.items()
    }
    loaded, free, apart = footprints(files, vocabulary, LoadOptions()), room(files), differing(vocabulary)
    trained = min(trained_context(each.header) for each in models.values())
    largest = largest_context(loaded, free, trained, apart)
    context = largest if asked == 0 else asked or min(trained, DEFAULT_CONTEXT)
    found = estimate(loaded, context, apart)
    parts = ("weights", "cache", "compute", "tables")
    return {
        "context": context,
        "bytes": found.total,
        **{part: sum(getattr(need, part) for need in found.models) for part in parts},
        "process": found.process,
        "gpu": found.gpu,
        "free": free.memory,
        "gpu_free": free.gpu,
        "fits": found.fits(free),
        "largest_context": largest,
    }


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
    for role, model in document["models"].items():
        say(f"{role}: {model['file']}", "bold")
        row("name", model["name"])
        row("where", model["path"] or f"{model['source']} (not downloaded)")
        row("size", f"{model['bytes'] / 1e9:.2f} GB, {model['quant']}, {model['parameters'] / 1e6:,.0f}M parameters")
        row(
            "shape",
            f"{model['architecture']}, {model['layers']} layers, {model['embedding']} wide, {model['heads']} heads "
            f"({model['kv_heads']} in the cache), trained for {model['context']:,} tokens",
        )
        row("vocabulary", f"{model['tokens']:,} tokens, {model['tokenizer']}")
        row("template", model["template_sha256"])
        row("sha256", model["sha256"])
        row("licence", model["licence"])
    if (vocabulary := document["vocabulary"]) is not None:
        say("together", "bold")
        row("vocabulary", f"{vocabulary['verdict']}: {vocabulary['reason']}")
        row("ratio", f"{vocabulary['ratio']:.1f}")
        row("template", "the expert's is used; the drafter's differs" if vocabulary["template"] else "the same in both")
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
