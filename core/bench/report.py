"""The report of a run: everything it found, and what it was in lines of text."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..record.exactness import exactness, held_back
from .frontier import FrontierDocument
from .summary import FORMULAS, ArmSummary

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Report:
    """All that a run found."""

    manifest: Mapping[str, Any]
    arms: Sequence[ArmSummary]
    skipped: Mapping[str, str]
    complete: bool
    peak_memory_bytes: int | None
    load_seconds: float
    frontier: FrontierDocument | None = None
    """Of a run that was to find it."""

    def as_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "manifest": self.manifest,
            "complete": self.complete,
            "skipped": self.skipped,
            "peak_memory_bytes": self.peak_memory_bytes,
            "load_seconds": self.load_seconds,
            "formulas": FORMULAS,
            "arms": [arm.as_json() for arm in self.arms],
            "frontier": None if self.frontier is None else asdict(self.frontier),
        }

    @property
    def groups(self) -> list[str]:
        return list(dict.fromkeys(group for arm in self.arms for group in arm.groups))


def counted(count: int, what: str) -> str:
    return f"{count} {what}" + "s" * (count != 1)


def head(report: Report) -> list[str]:
    """What the run was, in lines."""
    m, bench = report.manifest, report.manifest["bench"]
    memory = report.peak_memory_bytes
    lines = [
        f"pair {m['pair']}: drafter {m['drafter']['file']}, expert {m['expert']['file']}; {m['cpu']}, "
        f"{counted(m['threads'], 'thread')}; llama-cpp-python {m['llama_cpp_python']}",
        f"{bench['played']} of {bench['count']} prompts of {bench['prompts']}, {counted(bench['repeats'], 'repeat')}, "
        f"k {', '.join(map(str, bench['k']))}, at most {bench['max_tokens']} tokens "
        f"({'end of answer ignored' if bench['ignore_eos'] else 'answers end where they end'}), "
        f"temperature {m['temperature']:g}; order: {bench['order']}",
        f"loading both models {report.load_seconds:.1f} s, not in any figure; peak memory of the process "
        f"{'not known' if memory is None else f'{memory / 2**20:.0f} MiB'} (all arms share it)",
    ]
    lines += filter(None, (exactness(m), held_back(m)))
    if bench.get("later_turns"):
        lines.append(
            f"{bench['later_turns']} later turns of conversations were not asked: their prompts would differ by arm"
        )
    return lines


def warnings(report: Report) -> list[str]:
    found = [] if report.complete else ["This run is not complete: --resume goes on."]
    found += [f"not played: prompt {name}: {why}" for name, why in report.skipped.items()]
    bench = report.manifest["bench"]
    if bench.get("unchecked_code"):
        found.append(
            f"{counted(bench['unchecked_code'], 'prompt')} for code not scored: code runs only with --allow-code"
        )
    found += bench.get("notes", [])
    return found
