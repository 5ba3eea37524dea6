"""How this speccas was installed, and so what to type for another package: what works in one place fails in another."""

import json
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

NAME = "speccas"


@dataclass(frozen=True, slots=True)
class Installation:
    """`tool`: pip, pipx or uv (a tool of uv's). `source`: what pip is given for speccas itself, a folder, a file, an
    address or its name. `extras`: those that uv installed it with."""

    tool: str
    source: str
    editable: bool = False
    extras: tuple[str, ...] = ()


def installation(found: Distribution, prefix: Path) -> Installation:
    """What the files beside a distribution say, in an environment at `prefix`."""
    direct = read(found.read_text("direct_url.json"), json.loads)
    url = str(direct.get("url", ""))
    parts = urlsplit(url)
    kind = str(direct.get("vcs_info", {}).get("vcs", ""))
    address = f"{kind}+{url}" if kind else url
    source = url2pathname(parts.path) if parts.scheme == "file" else f"{NAME} @ {address}" if url else NAME
    editable = bool(direct.get("dir_info", {}).get("editable"))
    receipt = prefix / "uv-receipt.toml"
    if receipt.is_file():
        wanted = read(receipt.read_text(encoding="utf-8"), tomllib.loads).get("tool", {}).get("requirements", [])
        extras = (str(extra) for each in wanted if each.get("name") == NAME for extra in each.get("extras", []))
        return Installation("uv", source, editable, tuple(extras))
    tool = "pipx" if (prefix / "pipx_metadata.json").is_file() else "pip"
    return Installation(tool, source, editable)


def read(text: str | None, parse: Callable[[str], Any]) -> dict[str, Any]:
    try:
        found = parse(text or "")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def extra_line(extra: str) -> str:
    """What installs an extra of speccas where this one is installed."""
    try:
        found = distribution(NAME)
    except PackageNotFoundError:  # run from its sources
        return line_for(Installation("pip", "."), extra, [])
    return line_for(installation(found, Path(sys.prefix)), extra, requirements(found, extra))


def line_for(here: Installation, extra: str, packages: list[str]) -> str:
    """The line for this kind of installation. `packages`: what the extra requires."""
    if here.tool == "pipx":  # its own way to add to an environment; the extra itself would need a reinstall
        return f"pipx inject {NAME} {' '.join(map(shlex.quote, packages))}"
    if here.tool == "uv":  # a tool has the extras of its last install, and no others
        extras = ",".join(dict.fromkeys((*here.extras, extra)))
        return f"uv tool install {'-e ' * here.editable}{quoted(with_extra(here.source, extras))}"
    return f"{pip_install()} {'-e ' * here.editable}{quoted(with_extra(here.source, extra))}"


def with_extra(source: str, extras: str) -> str:
    """`.[bench]`, `speccas[bench]`, `speccas[bench] @ URL`."""
    name, at, url = source.partition(" @ ")
    place = "." if Path(name).is_absolute() and Path(name) == Path.cwd() else name
    return f"{place}[{extras}]{at}{url}"


def quoted(text: str) -> str:
    """In quotes that sh, fish and PowerShell take: a bracket means something in most of them."""
    return f"'{text}'" if "'" not in text else shlex.quote(text)


def package_line(package: str, flags: str = "") -> str:
    """What installs any package where speccas can import it."""
    if (Path(sys.prefix) / "pipx_metadata.json").is_file():
        return f"pipx runpip {NAME} install {flags}{quoted(package)}"
    return f"{pip_install()} {flags}{quoted(package)}"


def pip_install(which: Callable[[str], str | None] = shutil.which) -> str:
    """The pip of this environment: by its short name where that is the one on the path. uv makes environments without
    one."""
    short = which("pip")
    if short is not None and Path(short).parent == Path(sys.executable).parent:
        return "pip install"
    if find_spec("pip") is not None:
        return f"{shlex.quote(sys.executable)} -m pip install"
    return f"uv pip install --python {shlex.quote(sys.executable)}"


def requirements(found: Distribution, extra: str) -> list[str]:
    """What an extra requires, as its metadata says."""
    wanted = f"extra=={extra}"
    pairs = (each.partition(";") for each in found.requires or ())
    return [what.strip() for what, _, when in pairs if wanted in re.sub(r"[\s\"']", "", when)]
