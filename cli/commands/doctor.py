"""`speccas doctor`: what this machine and build can do, and a line for each thing that is wrong."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speccas.core.errors import UsageError

from ..options import read_settings
from ..settings import CHECKS
from ..values import completing
from ..view.safe import json_text, one_line

if TYPE_CHECKING:
    from speccas.core.inventory.doctor import DoctorReport, Wrong

    from ..settings import Settings


def doctor(
    curve: Annotated[
        bool, typer.Option("--curve", help="Load a pair and measure what reading 1 to 16 tokens in one call costs.")
    ] = False,
    pair: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="With --curve: a pair (default: tiny).", autocompletion=completing("pairs")),
    ] = None,
    drafter: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="With --curve or --expert-url: the drafter, a GGUF file or hf:owner/repo.",
            autocompletion=completing("models"),
        ),
    ] = None,
    expert: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="With --curve: the expert, a GGUF file or hf:owner/repo.",
            autocompletion=completing("models"),
        ),
    ] = None,
    threads: Annotated[str | None, typer.Option(metavar="N", help="With --curve: threads for both models.")] = None,
    gpu_layers: Annotated[
        str | None, typer.Option(metavar="N", help="With --curve: the expert's layers on the GPU (default: all).")
    ] = None,
    drafter_gpu_layers: Annotated[
        str | None, typer.Option(metavar="N", help="With --curve: the drafter's layers on the GPU (default: all).")
    ] = None,
    expert_rpc: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT[,HOST:PORT]",
            help="Try the workers that listen there; with --curve the expert is on them, and a table says where "
            "drafting pays.",
        ),
    ] = None,
    expert_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Try the server that runs an expert there, with --expert-api and a --drafter of the same vocabulary: "
            "what it tells, and where drafting pays.",
        ),
    ] = None,
    expert_api: Annotated[
        str | None, typer.Option(metavar="KIND", help="Of which kind that server is: sglang or vllm.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Look at this machine, the build of llama.cpp and the cache. Asks no network.

    --curve also loads a pair and measures which number of threads serves it best and what verifying costs: what drafts
    can win at most, how often they must be accepted to pay, and whether the expert's file type reads several tokens at
    once badly. -k auto uses it from then on. Measure with nothing else running.
    """
    if expert_url is not None or expert_api is not None:
        examine_expert({"drafter": drafter, "expert_url": expert_url, "expert_api": expert_api}, curve, as_json)
        return
    flags = {
        "pair": pair, "drafter": drafter, "expert": expert, "threads": threads, "gpu_layers": gpu_layers,
        "drafter_gpu_layers": drafter_gpu_layers,
    }  # fmt: skip
    given = {name: value for name, value in flags.items() if value is not None}
    if given and not curve:
        name = next(iter(given)).replace("_", "-")
        raise UsageError(f"--{name} goes with --curve", "write speccas doctor --curve, or leave it out")
    typed = CHECKS["expert_rpc"]("--expert-rpc", expert_rpc or "")
    settings = read_settings({**given, **({"expert_rpc": typed} if typed else {})}, {}) if curve else None

    from speccas.core.inventory.doctor import examine

    report = with_workers(examine(), typed)
    if settings is not None and not any(each.error for each in report.workers):
        report = with_curve(report, settings)
    document = replace(report, wrong=tuple(replace(each, hint=hint_for(each)) for each in report.wrong)).as_json()
    if as_json:
        print(json_text(document))
    else:
        _print(document)


def with_workers(report: "DoctorReport", typed: str) -> "DoctorReport":
    """The report with the workers of these addresses, tried. Raises NoRpc."""
    from speccas.core.inventory.doctor import try_workers

    found, wrong = try_workers(typed.split(",")) if typed else ((), [])
    return replace(report, workers=found, wrong=(*report.wrong, *wrong))


def examine_expert(given: dict[str, Any], curve: bool, as_json: bool) -> None:
    """Try an expert's server, and say what was found."""
    from ..served import examine_server, server_rows
    from ..view.theme import make_console

    if curve:
        raise UsageError("--curve measures the expert's own file, and --expert-url has none", "leave --curve out")
    settings = read_settings({name: value for name, value in given.items() if value is not None}, {})
    found = examine_server(settings)
    if as_json:
        print(json_text({"schema": 1, "server": found}))
        return
    console = make_console()
    for label, value in server_rows(found):
        console.print(f"{label:<11}{one_line(value)}", soft_wrap=True, markup=False, highlight=False)


def with_curve(report: "DoctorReport", settings: "Settings") -> "DoctorReport":
    """The report with the curve of a pair, and what is wrong with that."""
    from speccas.core.calibration.calibrate import UNSTEADY
    from speccas.core.calibration.planner import Planner, curves_file
    from speccas.core.calibration.trips import elsewhere_of
    from speccas.core.inventory.curve import measure_curve
    from speccas.core.inventory.doctor import Repair, Wrong

    from ..better_files import files_advice, scaling_line
    from ..play import asked_of, opened, read

    with opened(settings) as pair:
        read(pair, asked_of(pair, settings, "What does it cost to read several words at once?", detail=False).prompt)
        found = measure_curve(pair)
        better = files_advice(pair, found.dear)
        away = elsewhere_of(pair, found.curve.costs, Planner(pair, curves_file()).known_acceptance())
    wrong = []
    if not found.curve.steady:
        wrong.append(Wrong(UNSTEADY.format(found.curve.spread), "measure again with nothing else running"))
    if line := scaling_line(found.curve.costs, *found.files["expert"], better):
        wrong.append(Wrong(line, better.hint if better else ""))
    if found.fastest != found.threads and found.curve.steady:
        faster = f"{found.fastest} threads are faster than {found.threads} with this pair"
        wrong.append(Wrong(faster, remedy=Repair.THREADS, subject=str(found.fastest)))
    return replace(report, curve=found, elsewhere=away, wrong=(*report.wrong, *wrong))


def hint_for(wrong: "Wrong") -> str:
    """What to type about something that is wrong."""
    from speccas.core.inventory.doctor import Repair

    from ..hints import worker_hint
    from ..installed import package_line

    if wrong.remedy is Repair.REBUILD:
        built = package_line("llama-cpp-python>=0.3.36,<0.4", "--force-reinstall --no-cache-dir ")
        return f'CMAKE_ARGS="{wrong.subject}" {built}' if wrong.subject else built
    texts = {
        Repair.FREE_DISK: "speccas rm, or set HF_HOME",
        Repair.PULL_OR_REMOVE: "pull them again, or `speccas rm` them",
        Repair.PULL: f"speccas pull {wrong.subject}",
        Repair.WORKER: worker_hint(wrong.subject) if wrong.remedy is Repair.WORKER else "",
        Repair.THREADS: f"use --threads {wrong.subject}, write threads: {wrong.subject} in config.yaml, "
        "or run speccas tune",
    }
    return wrong.hint if wrong.remedy is None else texts[wrong.remedy]


def _print(report: dict[str, Any]) -> None:
    from rich.text import Text

    from ..hints import rpc_hint
    from ..view.elsewhere import elsewhere_lines
    from ..view.flow import hanging
    from ..view.theme import STYLES, make_console

    console = make_console()

    def row(label: str, value: object, status: str = "") -> None:
        width = console.width if console.is_terminal else None
        for line in hanging(f"{label:<11}", one_line(str(value)), width):
            console.print(Text(line, style=STYLES[status]), soft_wrap=True)

    machine, build, cache = report["machine"], report["llama_cpp"], report["cache"]
    row("versions", ", ".join(f"{name} {number or 'missing'}" for name, number in report["versions"].items()))
    row("machine", f"{machine['system']}, Python {machine['python']}")
    row("cores", f"{machine['cores_usable']} usable, {build.get('threads', '?')} threads by default")
    row("memory", f"{machine['memory_bytes'] / 1e9:.1f} GB, {machine['memory_free_bytes'] / 1e9:.1f} GB free")
    if build["loads"]:
        row("llama.cpp", ", ".join(name for name, has in build["features"].items() if has) or build["info"])
        for gpu in build["gpus"]:
            row("GPU", f"{gpu['name']}: {gpu['total'] / 1e9:.1f} GB, {gpu['free'] / 1e9:.1f} GB free")
        if not build["gpus"]:
            row("GPU", "none used")
        row(
            "RPC", f"version {build['rpc']}" if build["rpc"] else f"none; for an expert on other machines: {rpc_hint()}"
        )
    row("cache", f"{cache['folder']}: {cache['bytes'] / 1e9:.2f} GB, {cache['disk_free_bytes'] / 1e9:.1f} GB free")
    row("hub", f"{cache['endpoint']}{' (offline)' if cache['offline'] else ''}")
    for label, value in (*worker_rows(report["workers"]), *curve_rows(report["curve"])):
        row(label, value)
    for number, line in enumerate(elsewhere_lines(report["elsewhere"]) if report["elsewhere"] else ()):
        row("" if number else "elsewhere", line)
    for each in report["wrong"]:
        row("wrong", each["what"], "warning")
        if each["hint"]:
            row("", each["hint"])
    if not report["wrong"]:
        row("wrong", "nothing")


def curve_rows(curve: dict[str, Any] | None) -> list[tuple[str, str]]:
    """The curve in three rows: its costs, what they allow, and what a draft needs."""
    if curve is None:
        return []
    expert, one = curve["expert"], curve["seconds"]["1"]
    costs = ", ".join(f"{n}: {value:.1f}" for n, value in curve["relative"].items() if n != "1")
    paying = [f"-k {k} from {chance:.0%}" for k, chance in curve["needed"].items() if chance is not None]
    most = curve["ceiling"]
    tries = ", ".join(f"{count}: {1e3 * seconds:.1f} ms" for count, seconds in curve["threads_tried"].items())
    return [
        ("threads", f"a token and a round of four with {tries}"),
        ("verifying", f"{expert['file']} ({expert['quant']}), {curve['threads']} threads: {1e3 * one:.1f} ms a token; "
                      f"n tokens in one call, relative: {costs}"),
        ("", f"{curve['drafter']['file']}: {curve['drafter_step'] / one:.2f} of that a draft token"),
        ("", f"the most a draft can win: {most['times']:.2f}x, with {most['rows']} tokens in one call"),
        ("", f"acceptance that pays: {', '.join(paying) or 'none, at any draft length'}"),
    ]  # fmt: skip


def worker_rows(workers: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """A row for each worker that was tried."""
    return [
        ("worker", each["error"] or f"{each['address']}: RPC {each['version']}, {each['total'] / 1e9:.1f} GB, "
         f"{each['free'] / 1e9:.1f} GB free, a round trip takes {1e3 * each['trip']:.2f} ms")
        for each in workers
    ]  # fmt: skip
