"""Whether two models can work together, as a document: their headers, and how they went together where that was
measured."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..bench.overlap import Overlap
from ..calibration.dear import DearCall
from ..files.inspect import Inspected, inspect, inspect_drafter
from ..files.source import Source
from ..headers.architecture import DEFAULT_CONTEXT, trained_context
from ..headers.check import PairCheck, judge
from ..machine.build import require_known
from ..machine.fit import CPU_CHUNK, SAFETY, Footprint, need
from ..runtime.room import rows
from ..runtime.rpc.wire import find_workers, written


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """One of the two files."""

    file: str
    bytes: int
    parameters: int


@dataclass(frozen=True, slots=True)
class WorkerRoom:
    """Bytes that the workers have free together, and that the expert takes of them at a context of so many tokens.
    `devices`: by address, what each told."""

    context: int
    free: int
    needed: int
    devices: Mapping[str, str]

    @property
    def fits(self) -> bool:
        return self.needed * SAFETY <= self.free


@dataclass(frozen=True, slots=True)
class CheckDocument:
    """The document of `check --json`. `measured` None: nothing was loaded."""

    drafter: CheckedFile
    expert: CheckedFile
    check: PairCheck
    measured: Overlap | None = None
    dear: DearCall | None = None
    """Where the pair was measured, and a call of four tokens is dear."""
    workers: WorkerRoom | None = None
    """Where workers were named."""
    schema: int = 1

    def as_json(self) -> dict[str, Any]:
        measured = None if self.measured is None else {**asdict(self.measured), "verdict": self.measured.verdict}
        dear = None if self.dear is None else asdict(self.dear)
        files = {"drafter": asdict(self.drafter), "expert": asdict(self.expert)}
        told = {"schema": self.schema, **files, **self.check.as_json(), "measured": measured, "dear": dear}
        workers = None if self.workers is None else {**asdict(self.workers), "fits": self.workers.fits}
        return {**told, "workers": workers}


def check_files(drafter: Source, expert: Source, pull: str) -> CheckDocument:
    """Read both headers and judge them. Raises every error of `inspect_drafter`, and CannotPair where one is no
    language model (or head), or none that llama.cpp knows; that the two do not fit is part of the document."""
    large = inspect(expert, pull)
    small = inspect_drafter(drafter, large, pull)
    for each in (small, large):
        require_known(each.header, each.file)
    found = judge(small.header, large.header, (small.bytes, large.bytes))
    return CheckDocument(_file(small), _file(large), found)


def worker_room(expert: Source, pull: str, addresses: Sequence[str]) -> WorkerRoom:
    """Ask workers what they have, for an expert at the context that it would be loaded with. Raises Unavailable."""
    from ..runtime.rpc.library import require_rpc, version

    require_rpc()
    found = find_workers(addresses, version())
    large = inspect(expert, pull)
    context = min(trained_context(large.header), DEFAULT_CONTEXT)
    model = Footprint(large.header, large.bytes, rows("expert"), CPU_CHUNK, mapped=True, gpu_layers=-1, elsewhere=True)
    devices = {each.address: f"RPC {written(each.version)}, {each.free / 1e9:.1f} GB free" for each in found}
    return WorkerRoom(context, sum(each.free for each in found), need(model, context).away, devices)


def _file(each: Inspected) -> CheckedFile:
    return CheckedFile(each.file, each.bytes, each.header.parameters)
