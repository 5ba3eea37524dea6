"""What this machine and this build of llama.cpp can do, and what is wrong."""

import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..calibration.elsewhere import ElsewhereReport
from ..errors import NoWorker, SpeccasError, Unavailable
from ..files.cache import PART, cache_dir, read_lock
from ..files.network import constants, faults
from ..machine.memory import GPUS, gpus, memory, usable_cores
from .curve import CurveReport

REBUILD = "CMAKE_ARGS=\"{flags}\" pip install --force-reinstall --no-cache-dir 'llama-cpp-python>=0.3.36,<0.4'"
FEATURES = ("AVX2", "AVX512", "NEON", "METAL", "CUDA", "HIP", "VULKAN", "OPENMP", "REPACK")
LOW_DISK = 5e9
LOW_MEMORY = 2e9


class Repair(StrEnum):
    """What is to be done, where that takes a command: the command line says how it is typed."""

    FREE_DISK = "free disk"
    PULL_OR_REMOVE = "pull or remove"
    PULL = "pull"
    THREADS = "threads"
    WORKER = "start a worker"
    """Where this address is."""
    REBUILD = "rebuild llama.cpp"
    """With these flags of CMake."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """One thing that is wrong, and what to do: `hint`, or a remedy with its subject."""

    what: str
    hint: str = ""
    remedy: Repair | None = None
    subject: str = ""


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """This machine; `gpus` are those that the system knows of."""

    system: str
    processor: str
    python: str
    cores_usable: int
    memory_bytes: int
    memory_free_bytes: int
    gpus: list[str]


@dataclass(frozen=True, slots=True)
class BuildFacts:
    """This build of llama.cpp; `gpus` are those that it uses."""

    loads: bool
    info: str
    features: dict[str, bool]
    threads: int
    gpus: list[dict[str, Any]]
    rebuild: str | None
    rpc: str | None = None
    """Version of the protocol that it speaks with workers; None where it was built without."""


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """A worker that was tried: what it is, or what is wrong with it."""

    address: str
    version: str | None = None
    free: int = 0
    total: int = 0
    devices: int = 0
    trip: float | None = None
    """Seconds of a round trip, the least of several."""
    error: str | None = None


@dataclass(frozen=True, slots=True)
class CacheFacts:
    """The cache of downloaded models, and the hub."""

    folder: str
    bytes: int
    disk_free_bytes: int
    models: int
    unfinished: int
    offline: bool
    endpoint: str


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """The document of `doctor --json`. `build` None: llama-cpp-python does not load. `curve` where it was measured."""

    versions: dict[str, str | None]
    machine: MachineFacts
    build: BuildFacts | None
    cache: CacheFacts
    wrong: tuple[Wrong, ...]
    curve: CurveReport | None = None
    workers: tuple[WorkerReport, ...] = ()
    elsewhere: ElsewhereReport | None = None
    """Whether drafting pays over these workers, where the curve was measured through them."""
    schema: int = field(default=1)

    def as_json(self) -> dict[str, Any]:
        return {
            "schema": self.schema,
            "versions": self.versions,
            "machine": asdict(self.machine),
            "llama_cpp": {"loads": False} if self.build is None else asdict(self.build),
            "cache": asdict(self.cache),
            "wrong": [{"what": each.what, "hint": each.hint} for each in self.wrong],
            "curve": None if self.curve is None else self.curve.as_json(),
            "workers": [asdict(each) for each in self.workers],
            "elsewhere": None if self.elsewhere is None else self.elsewhere.as_json(),
        }


def examine() -> DoctorReport:
    """Look at this machine, the build and the cache. Asks no network."""
    ram = memory()
    build, build_wrong = build_facts()
    cache, cache_wrong = cache_facts()
    low = [Wrong(f"only {ram.available / 1e9:.1f} GB of memory are free", "close other programs")]
    return DoctorReport(
        versions={name: _version(name) for name in ("speccas", "llama-cpp-python", "huggingface-hub")},
        machine=MachineFacts(
            system=platform.platform(),
            processor=platform.machine(),
            python=platform.python_version(),
            cores_usable=usable_cores(),
            memory_bytes=ram.total,
            memory_free_bytes=ram.available,
            gpus=gpus(),
        ),
        build=build,
        cache=cache,
        wrong=(*(low if ram.available < LOW_MEMORY else ()), *build_wrong, *cache_wrong),
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def build_facts() -> tuple[BuildFacts | None, list[Wrong]]:
    """What llama.cpp says of itself, and what is wrong with that."""
    try:
        from ..runtime.llama import devices, physical_cores, system_info
        from ..runtime.rpc.library import has_rpc, version
        from ..runtime.rpc.wire import written

        info, seen, cores = system_info(), devices(), physical_cores()
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        return None, [Wrong(f"llama-cpp-python does not load: {error}", remedy=Repair.REBUILD)]
    features = {name: f"{name} = 1" in info.upper() or f"{name} :" in info.upper() for name in FEATURES}
    wrong, rebuild = [], None
    for gpu in gpus():
        title, flags = GPUS[gpu]
        if not seen and rebuild is None:
            rebuild = REBUILD.format(flags=flags)
            unused = f"this machine has {title}, and this build of llama.cpp does not use it"
            wrong.append(Wrong(unused, remedy=Repair.REBUILD, subject=flags))
    if platform.machine().lower() in ("x86_64", "amd64") and not features["AVX2"] and not seen:
        slow = "this build of llama.cpp does without AVX2: several times slower"
        wrong.append(Wrong(slow, remedy=Repair.REBUILD))
    if not features["OPENMP"] and platform.system() == "Linux":
        without = "this build of llama.cpp does without OpenMP"
        wrong.append(Wrong(without, remedy=Repair.REBUILD, subject="-DGGML_OPENMP=on"))
    used = [{"name": each.name, "free": each.free, "total": each.total} for each in seen]
    rpc = written(version()) if has_rpc() else None
    return BuildFacts(True, info.strip(), features, cores, used, rebuild, rpc), wrong


def try_workers(addresses: Sequence[str]) -> tuple[tuple[WorkerReport, ...], list[Wrong]]:
    """Try each, whatever became of the others, and say what is wrong. Raises NoRpc."""
    from ..runtime.rpc.library import require_rpc, version
    from ..runtime.rpc.wire import find_worker, written

    require_rpc()
    found, wrong = [], []
    for address in addresses:
        try:
            each = find_worker(address, version())
        except NoWorker as error:
            found.append(WorkerReport(address, error=error.message))
            wrong.append(Wrong(error.message, remedy=Repair.WORKER, subject=address))
        except Unavailable as error:
            found.append(WorkerReport(address, error=error.message))
            wrong.append(Wrong(error.message, error.hint))
        else:
            spoken = written(each.version)
            found.append(WorkerReport(address, spoken, each.free, each.total, each.devices, each.trip))
    return tuple(found), wrong


def cache_facts() -> tuple[CacheFacts, list[Wrong]]:
    """The cache of models, and what is wrong with it. Raises SpeccasError where the disk cannot be asked."""
    hub, folder = constants(), cache_dir()
    existing = folder
    while not existing.exists():
        existing = existing.parent
    free, parts = _free(existing), list(folder.glob(f"models--*/blobs/*{PART}"))
    stored = [*folder.glob("models--*/blobs/*"), *folder.glob("models--*/snapshots/**/*")]  # there without links
    facts = CacheFacts(
        folder=str(folder),
        bytes=sum(path.stat().st_size for path in stored if path.is_file() and not path.is_symlink()),
        disk_free_bytes=free,
        models=len(read_lock()),
        unfinished=len(parts),
        offline=bool(hub.is_offline_mode()),
        endpoint=hub.ENDPOINT,
    )
    return facts, list(_cache_wrong(folder, existing, free, len(parts)))


def _cache_wrong(folder: Path, existing: Path, free: int, parts: int) -> Iterator[Wrong]:
    if not os.access(existing, os.W_OK):
        yield Wrong(f"the cache {folder} cannot be written", "set HF_HOME to a folder of your own")
    if free < LOW_DISK:
        yield Wrong(f"only {free / 1e9:.1f} GB are free where {folder} is", remedy=Repair.FREE_DISK)
    if parts:
        yield Wrong(f"downloads begun and not finished: {parts}", remedy=Repair.PULL_OR_REMOVE)
    for name, fault in faults(os.environ):
        yield Wrong(f"{name} {fault}: nothing can be pulled", f"correct {name}, or unset it")
    for key, entry in read_lock().items():
        if not entry.complete:
            yield Wrong(f"files of {key} are gone or cut short", remedy=Repair.PULL, subject=key)


def _free(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free
    except OSError as error:
        raise SpeccasError(f"{folder}: {error.strerror}", "set HF_HOME") from None
