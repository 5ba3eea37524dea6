"""Whether two models can work together, as a document: their headers, and how they went together where that was
measured."""

from dataclasses import asdict, dataclass
from typing import Any

from ..bench.overlap import Overlap
from ..calibration.dear import DearCall
from ..files.inspect import Inspected, inspect, inspect_drafter
from ..files.source import Source
from ..headers.check import PairCheck, judge
from ..machine.build import require_known


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """One of the two files."""

    file: str
    bytes: int
    parameters: int


@dataclass(frozen=True, slots=True)
class CheckDocument:
    """The document of `check --json`. `measured` None: nothing was loaded."""

    drafter: CheckedFile
    expert: CheckedFile
    check: PairCheck
    measured: Overlap | None = None
    dear: DearCall | None = None
    """Where the pair was measured, and a call of four tokens is dear."""
    schema: int = 1

    def as_json(self) -> dict[str, Any]:
        measured = None if self.measured is None else {**asdict(self.measured), "verdict": self.measured.verdict}
        dear = None if self.dear is None else asdict(self.dear)
        files = {"drafter": asdict(self.drafter), "expert": asdict(self.expert)}
        return {"schema": self.schema, **files, **self.check.as_json(), "measured": measured, "dear": dear}


def check_files(drafter: Source, expert: Source, pull: str) -> CheckDocument:
    """Read both headers and judge them. Raises every error of `inspect_drafter`, and CannotPair where one is no
    language model (or head), or none that llama.cpp knows; that the two do not fit is part of the document."""
    large = inspect(expert, pull)
    small = inspect_drafter(drafter, large, pull)
    for each in (small, large):
        require_known(each.header, each.file)
    found = judge(small.header, large.header, (small.bytes, large.bytes))
    return CheckDocument(_file(small), _file(large), found)


def _file(each: Inspected) -> CheckedFile:
    return CheckedFile(each.file, each.bytes, each.header.parameters)
