"""`speccas check`: whether two models can work together, from their headers alone."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from ..settings import CHECKS
from ..values import completing
from ..view.safe import json_text, one_line

if TYPE_CHECKING:
    from speccas.core.bench.overlap import Overlap
    from speccas.core.headers.check import PairCheck
    from speccas.core.inventory.check import WorkerRoom

    from ..better_files import FilesAdvice

SHORT = 64  # characters of both sides of a difference that stand in one line


def check(
    drafter: Annotated[
        str,
        typer.Argument(
            metavar="DRAFTER",
            help="A GGUF file, hf:owner/repo[:QUANT], head (in the expert's file), or a pair.",
            autocompletion=completing("pairs and models"),
        ),
    ],
    expert: Annotated[
        str | None,
        typer.Argument(
            metavar="EXPERT", help="A GGUF file, or hf:owner/repo[:QUANT].", autocompletion=completing("models")
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    measured: Annotated[
        bool,
        typer.Option("--measure", help="Load both files and measure how often the drafter says what the expert does."),
    ] = False,
    threads: Annotated[
        str | None, typer.Option(metavar="N", help="Threads for --measure (default: physical cores).")
    ] = None,
    expert_rpc: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT[,HOST:PORT]",
            help="Ask the workers that listen there whether they have room for the expert; --measure uses them.",
        ),
    ] = None,
) -> None:
    """Say whether two models can work together, and what tells them apart. Of files on the hub only the headers are
    read. Exit code 7 where they cannot be paired, or one is no language model."""
    from speccas.core.errors import CannotPair, UsageError
    from speccas.core.files.profiles import named
    from speccas.core.files.source import HEAD, parse_drafter, parse_source
    from speccas.core.inventory.check import check_files, worker_room

    if threads is not None and not measured:
        raise UsageError("--threads goes with --measure", "write speccas check --measure, or leave it out")
    if expert is None:
        name, sources = ("", {}) if drafter == HEAD else named(drafter)
        if len(sources) != 2:
            raise UsageError("the expert is missing", "give DRAFTER EXPERT, or the name of a pair")
    else:
        name, sources = "", {"drafter": parse_drafter(drafter), "expert": parse_source(expert)}
    found = check_files(sources["drafter"], sources["expert"], name)
    workers = CHECKS["expert_rpc"]("--expert-rpc", expert_rpc or "")
    if workers:
        found = replace(found, workers=worker_room(sources["expert"], name, workers.split(",")))
    small, large = found.drafter.file, found.expert.file
    better = None
    if measured and found.check.works:
        overlap, better = _measure(name, drafter, expert, threads, workers)
        found = replace(found, measured=overlap, dear=None if better is None else better.dear)
    if as_json:
        print(json_text(found.as_json()))
    else:
        show(found.check, small, large, found.measured, better, found.workers)
    if not found.check.works:
        raise CannotPair(f"{small} and {large} cannot be paired: {found.check.reason}", "take another drafter")
    if found.measured is not None:
        from speccas.core.bench.overlap import require_overlap

        require_overlap(found.measured, small, large)


PROMPTS, TOKENS = 12, 16  # of `--measure`: two prompts of each group, and how much of each answer


def _measure(
    name: str, drafter: str, expert: str | None, threads: str | None, workers: str
) -> "tuple[Overlap, FilesAdvice | None]":
    """Load the pair that was named and measure it, and what a call of four tokens of the expert costs."""
    from speccas.core.bench.overlap import NoPromptFits, measure, spread_over
    from speccas.core.bench.suites import load_suite
    from speccas.core.calibration.dear import dear_of, measure_four
    from speccas.core.calibration.planner import Planner, curves_file

    from ..better_files import files_advice
    from ..hints import hinted
    from ..play import opened
    from ..settings import Settings
    from ..view.progress import Waiting
    from ..view.theme import make_console

    count = CHECKS["threads"]("threads", threads) if threads is not None else None
    if expert is None:
        chosen = Settings(threads=count, pair=name)
    else:
        chosen = Settings(threads=count, drafter=(drafter,), expert=expert)
    if workers:
        chosen = replace(chosen, expert_rpc=workers, sources={"expert_rpc": "flag"})
    items = spread_over(load_suite("builtin").items, PROMPTS)
    with (
        hinted({NoPromptFits: "use a larger --ctx"}),
        opened(chosen) as pair,
        Waiting(make_console(stderr=True)) as waiting,
    ):
        overlap = measure(pair, items, TOKENS, lambda done, of: waiting.tell("measuring", done / of))
        planner = Planner(pair, curves_file())
        planner.note_agreement(overlap.agreement, overlap.positions)
        planner.save()  # where `-k auto` begins from
        return overlap, files_advice(pair, dear_of(pair, measure_four(pair)))


def show(
    found: "PairCheck",
    drafter: str,
    expert: str,
    overlap: "Overlap | None" = None,
    better: "FilesAdvice | None" = None,
    workers: "WorkerRoom | None" = None,
) -> None:
    from rich.text import Text

    from speccas.core.headers.vocabulary import show as token_text

    from ..view.flow import hanging
    from ..view.theme import STYLES, make_console

    console = make_console()

    def say(text: str, status: str = "", label: str = "") -> None:
        for line in hanging(label, one_line(text), console.width if console.is_terminal else None):
            console.print(Text(line, style=STYLES[status]), soft_wrap=True)

    say(found.verdict, "heading" if found.works else "error")
    say(found.reason)
    say(drafter, label="drafter  ")
    say(f"{expert}, {found.ratio:.1f} times as large", label="expert   ")
    if found.head is not None:
        say(f"it can propose {found.single:.1%} of the expert's tokens", label="head     ")
    else:
        spelt = "of the expert's tokens are one token of the drafter; it spells the others"
        say(f"{found.share:.1%} of the drafter's tokens are tokens of the expert", label="shared   ")
        say(f"{found.single:.1%} {spelt}", label=" " * 9)
    for label, text, status in room_lines(workers):
        say(text, status, label)
    if overlap is not None:
        where = f"{overlap.positions} tokens of the expert's greedy answers to {overlap.prompts} built-in prompts"
        say(f"on {where}:", label="measured ")
        for text in (
            f"{overlap.mass:.1%} of the drafter's probability is on tokens of the expert",
            f"{overlap.agreement:.0%} of first drafted tokens would be accepted by `exact` at temperature 0",
            f"{overlap.acceptance:.0%} at temperature 1",
            overlap.verdict,
        ):
            say(text, label=" " * 9)
    if better is not None:
        say(better.sentence, "warning", " " * 9)
    if found.tokens:
        say("first differing tokens: id, drafter, expert", "heading")
        wide = max(len(token_text(token.drafter)) for token in found.tokens)
        for token in found.tokens:
            say(f"{token_text(token.drafter):<{wide}}  {token_text(token.expert)}", label=f"  {token.id:>7}  ")
    compared = (("tokenizer", found.tokenizer), ("template", found.template)) if found.head is None else ()
    for title, differences in compared:
        absent = title == "template" and not found.chat_template
        alike = "no chat template" if absent else "the same"
        say(f"{title}: {'they differ; drafter | expert' if differences else alike}", "heading")
        for each in differences:
            if len(each.drafter) + len(each.expert) < SHORT:
                say(f"{each.drafter} | {each.expert}", label=f"  {each.name}: ")
            else:  # two lines of a template, where a blank may be what differs
                say(f"  {each.name}:")
                say(repr(each.drafter), label="    drafter  ")
                say(repr(each.expert), label="    expert   ")
    for remark in found.remarks:
        say(remark, "warning", "note: ")


def room_lines(workers: "WorkerRoom | None") -> list[tuple[str, str, str]]:
    """Label, text and status of what was asked of workers."""
    if workers is None:
        return []
    room = "it fits" if workers.fits else "that is too little"
    needed = f"the expert takes {workers.needed / 1e9:.2f} GB there at a context of {workers.context} tokens: {room}"
    told = [("worker   ", f"{address}: {text}", "") for address, text in workers.devices.items()]
    return [*told, (" " * 9, needed, "" if workers.fits else "warning")]
