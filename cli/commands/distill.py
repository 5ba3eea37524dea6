"""`speccas distill`: a drafter for an expert, an EAGLE-3 head or a small model, that learns from what it writes."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speccas.core.errors import NotInstalled, UsageError

from ..values import completing
from ..view.safe import json_text

if TYPE_CHECKING:
    from speccas.core.distill.card import DistillDocument
    from speccas.core.distill.recipe import Recipe

KINDS = ("head", "model")


def distill(
    expert: Annotated[
        str,
        typer.Argument(
            metavar="EXPERT",
            help="A GGUF file of the Llama architecture, hf:owner/repo[:QUANT], or a pair, whose expert is meant.",
            autocompletion=completing("pairs and models"),
        ),
    ] = "tiny",
    kind: Annotated[
        str,
        typer.Option(
            metavar="head|model",
            help="head: an EAGLE-3 head, which reads the expert's states; model: a small model.",
            autocompletion=completing(KINDS),
        ),
    ] = "head",
    prompts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What conversations begin with: lines of text, or of JSON with a 'prompt' each (default: patterns of "
            "ours, which the expert finishes).",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file to make (default: EXPERT-head.gguf, -drafter.gguf).")
    ] = None,
    work: Annotated[
        Path, typer.Option(metavar="DIR", help="What is made on the way; the same command goes on there.")
    ] = Path("distill"),
    waves: Annotated[int, typer.Option(metavar="N", help="Files of conversations to write.", min=2)] = 38,
    texts: Annotated[int, typer.Option(metavar="N", help="Conversations in a file.", min=1)] = 192,
    length: Annotated[int, typer.Option(metavar="N", help="Tokens of a conversation.", min=16)] = 256,
    vocabulary: Annotated[
        int, typer.Option(metavar="N", help="Tokens that it can draft, the most used.", min=64)
    ] = 12288,
    steps: Annotated[int, typer.Option(metavar="N", help="Steps of training.", min=1)] = 1000,
    batch: Annotated[int, typer.Option(metavar="N", help="Conversations a step.", min=1)] = 16,
    every: Annotated[int, typer.Option(metavar="N", help="Steps between two scores and checkpoints.", min=1)] = 50,
    seed: Annotated[int, typer.Option(metavar="N", help="Of data and training.", min=0)] = 0,
    device: Annotated[str, typer.Option(metavar="NAME", help="Where torch computes: cpu, cuda or mps.")] = "cpu",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be made; load and write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress.")] = False,
) -> None:
    """Train a drafter for an expert, on what the expert writes: conversations first, then training, then a GGUF file
    that llama.cpp runs too, with a card and its score on conversations that were held out.

    A head is an EAGLE-3 one, which reads the expert's hidden states; a model is small and independent. It takes hours
    on a few cores. Ctrl-C or a kill loses at most what was made since the last file of conversations or checkpoint: the
    same command goes on.
    """
    from speccas.core.distill.recipe import Recipe, distill, require_sound
    from speccas.core.files.local import locate
    from speccas.core.files.profiles import find_profile, is_pair
    from speccas.core.files.source import parse_source

    from ..view.stages import Stages
    from ..view.theme import make_console

    if kind not in KINDS:
        raise UsageError(f"--kind {kind!r} is none of {', '.join(KINDS)}", "write --kind head or --kind model")
    path = locate(find_profile(expert).expert if is_pair(expert) else parse_source(expert))
    ending = "head" if kind == "head" else "drafter"
    place = out or Path(f"{path.stem}-{ending}.gguf")
    recipe = Recipe(kind, path, work, place, requests_in(prompts), waves=waves, vocabulary=vocabulary)
    recipe = replace(recipe, steps=steps, batch=batch, every=every, device=device)
    exact = device == "cpu"  # where bfloat16 is not native it takes four times as long
    recipe = replace(recipe, data=replace(recipe.data, texts=texts, length=length, seed=seed, bfloat16=not exact))
    require_sound(recipe)
    console = make_console()
    if dry_run:
        for line in planned(recipe):
            console.print(line, soft_wrap=True)
        return
    require_torch()
    with Stages(make_console(stderr=True), quiet or as_json) as stages:
        made = distill(recipe, stages.say, stages.tell)
    if as_json:
        print(json_text(made.as_json()))
    else:
        for line in closing_lines(made, path):
            console.print(line, soft_wrap=True)


def requests_in(path: Path | None) -> tuple[str, ...]:
    """The prompts of a file. Raises UsageError, also where one of its lines is none."""
    from ..batch import read_prompts

    found = [] if path is None else read_prompts(path, [])
    wrong = next((each for each in found if each.prompt is None or each.error is not None), None)
    if wrong is not None:
        raise UsageError(f"{path}, line {wrong.line}: {wrong.error}", "mend it, or take it out")
    return tuple(each.prompt for each in found if each.prompt is not None)


def require_torch() -> None:
    """Raises NotInstalled without importing it: that takes seconds."""
    from importlib.util import find_spec

    try:
        there = find_spec("torch") is not None
    except ValueError:  # something else stands there under its name
        there = False
    if not there:
        raise NotInstalled("distill needs torch", extra="distill")


def planned(recipe: "Recipe") -> list[str]:
    made = "an EAGLE-3 head" if recipe.kind == "head" else "a small model"
    begun = f"begun with {len(recipe.requests):,} prompts" if recipe.requests else "begun with requests of its own"
    return [
        f"{made} for {recipe.expert.name}: {recipe.out}",
        f"the expert writes {recipe.tokens:,} tokens in {recipe.waves} files, {begun}",
        f"disk in {recipe.work}: about {recipe.disk() / 1e9:.1f} GB",
        f"training: {recipe.steps:,} steps of {recipe.batch * recipe.data.length:,} tokens",
    ]


def closing_lines(made: "DistillDocument", expert: Path) -> list[str]:
    """What it is worth, and what to type next."""
    best = made.best
    files = f"--drafter {shlex.quote(made.file)} --expert {shlex.quote(str(expert))}"
    share = f", acceptance {best['acceptance']:.2f} of drafts of four" if "acceptance" in best else ""
    return [
        f"{made.file}: {made.bytes / 1e6:.1f} MB; the card is {made.card}",
        f"held out: the expert's likeliest token at {best['agreement']:.2f} of the places{share}",
        f'speccas compare "Name three primary colours." {files}',
    ]
