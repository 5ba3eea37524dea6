"""The directory of a run: its manifest, its samples and its report.

manifest.json is written before the first answer; a run goes on only where everything that matters is the same.
"""

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..atomic import atomic_write, read_json
from ..errors import IntegrityError, UsageError
from .answers import shown
from .frontier import StatedMachine, frontier_document
from .protocol import ORDER, WARM_UP, Bench, Conditions, PlannedArm, differing
from .report import Report
from .report_files import REPORT_FILES, write
from .samples import Sample, SampleFile
from .sandbox import network_is_cut
from .suites import Item, Suite
from .summary import summarise


def bench_facts(
    conditions: Conditions,
    suite: Suite,
    items: Sequence[Item],
    planned: Sequence[PlannedArm],
    repeats: int,
    ks: Sequence[Any],
    allow_code: bool,
) -> dict[str, Any]:
    """What a bench adds to the manifest."""
    length = conditions.length
    facts: dict[str, Any] = {
        "prompts": suite.name,
        "prompts_sha256": suite.sha256,
        "count": len(suite.items),
        "played": len(items),
        "later_turns": suite.later_turns,
        "arms": [each.name if each.k is None else f"{each.name} k={each.k}" for each in planned],
        "k": list(ks),
        "repeats": repeats,
        "max_tokens": length.max_tokens,
        "ignore_eos": length.ignore_eos,
        "stop": list(length.stop),
        "system": conditions.system,
        "raw": conditions.raw,
        "order": ORDER,
        "seed_of_repeat": "seed + repeat",
        "warm_up": f"one answer of each arm, at most {WARM_UP} tokens, discarded",
        "caches": "cleared and the prompt read anew for each prompt and repeat; cut back to the prompt between arms",
        "allow_code": allow_code,
        "unchecked_code": 0 if allow_code else sum(bool(item.test) for item in items),
        "python": platform.python_version(),
        "scipy": version("scipy"),
        "notes": [],
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "load_average": [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None,
    }
    if allow_code:
        facts["code_network"] = "cut off" if network_is_cut() else "open"
    return facts


class OtherRun(UsageError):
    """The directory holds samples that were made in another way; the message names what differs."""


def check_manifest(directory: Path, about: Mapping[str, Any], facts: Mapping[str, Any], resume: bool) -> dict[str, Any]:
    """The manifest of this run, written down; that of the run before where it goes on. `about`: what every manifest
    says; `facts`: what this kind of run adds. Raises OtherRun where the
    directory holds samples of another one, and IntegrityError."""
    own: dict[str, Any] = json.loads(json.dumps({**about, "bench": facts}))
    file = directory / "manifest.json"
    if resume and file.exists():
        try:
            before = dict(json.loads(file.read_bytes()))
        except (ValueError, TypeError) as error:
            raise IntegrityError(f"{file} is no manifest: {error}") from None
        if found := differing(before, own):
            raise OtherRun(f"{directory} holds another run: {'; '.join(found[:4])}")
        return before
    atomic_write(file, json.dumps(own, ensure_ascii=False, indent=1) + "\n")
    return own


def strangers(directory: Path) -> list[str]:
    """Files that a run would write here and that no run has written: the directory has no manifest of one."""
    manifest = directory / "manifest.json"
    own = isinstance(read_json(manifest).get("bench"), dict)
    return [] if own else [name for name in ("manifest.json", *REPORT_FILES) if (directory / name).exists()]


def build(
    directory: Path,
    facts: dict[str, Any],
    file: SampleFile,
    run: Bench,
    complete: bool,
    machine: StatedMachine | None = None,
) -> Report:
    """Report of what the samples hold by now, written to the directory; with a `machine` the frontier too."""
    file.complete()
    report = report_of(facts, file.samples, run.skipped, complete)
    if machine is not None:
        report = replace(report, frontier=frontier_document(file.samples, machine))
    write(report, directory, shown(file.samples, {item.id: item.prompt for item in run.items}))
    return report


def report_of(facts: dict[str, Any], samples: Sequence[Sample], skipped: dict[str, str], complete: bool) -> Report:
    """The report that these samples make."""
    memory = [sample.peak_memory_bytes for sample in samples if sample.peak_memory_bytes is not None]
    load = samples[0].load_seconds if samples else 0.0
    return Report(facts, summarise(samples), skipped, complete, max(memory, default=None), load)
