"""`speccas doctor`: what this machine and build can do, and a line for each thing that is wrong."""

from typing import Annotated, Any

import typer

from .safe import json_text, one_line


def doctor(as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False) -> None:
    """Look at this machine, the build of llama.cpp and the cache. Asks no network."""
    from speccas.core.models.doctor import examine

    report = examine()
    if as_json:
        print(json_text(report))
    else:
        _print(report)


def _print(report: dict[str, Any]) -> None:
    from rich.text import Text

    from .flow import hanging
    from .theme import make_console

    console = make_console()

    def row(label: str, value: object, style: str = "") -> None:
        width = console.width if console.is_terminal else None
        for line in hanging(f"{label:<11}", one_line(str(value)), width):
            console.print(Text(line, style=style), soft_wrap=True)

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
    row("cache", f"{cache['folder']}: {cache['bytes'] / 1e9:.2f} GB, {cache['disk_free_bytes'] / 1e9:.1f} GB free")
    row("hub", f"{cache['endpoint']}{' (offline)' if cache['offline'] else ''}")
    for each in report["wrong"]:
        row("wrong", each["what"], "yellow")
        row("", each["hint"])
    if not report["wrong"]:
        row("wrong", "nothing")
