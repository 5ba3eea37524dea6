"""What this machine and this build of llama.cpp can do, and what is wrong. Knows where to look; shows nothing."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..errors import SpeccasError
from ..files.cache import PART, cache_dir, read_lock
from ..machine.memory import GPUS, gpus, memory, usable_cores

REBUILD = "CMAKE_ARGS=\"{flags}\" pip install --force-reinstall --no-cache-dir 'llama-cpp-python>=0.3.36,<0.4'"
FEATURES = ("AVX2", "AVX512", "NEON", "METAL", "CUDA", "HIP", "VULKAN", "OPENMP", "REPACK")
LOW_DISK = 5e9
LOW_MEMORY = 2e9


def examine() -> dict[str, Any]:
    """The report for `--json`. `wrong` holds a line (and what to do) for each thing that is wrong."""
    wrong: list[dict[str, str]] = []

    def found_wrong(what: str, hint: str) -> None:
        wrong.append({"what": what, "hint": hint})

    ram = memory()
    if ram.available < LOW_MEMORY:
        found_wrong(f"only {ram.available / 1e9:.1f} GB of memory are free", "close other programs")
    report: dict[str, Any] = {
        "schema": 1,
        "versions": {name: _version(name) for name in ("speccas", "llama-cpp-python", "huggingface-hub")},
        "machine": {
            "system": platform.platform(),
            "processor": platform.machine(),
            "python": platform.python_version(),
            "cores_usable": usable_cores(),
            "memory_bytes": ram.total,
            "memory_free_bytes": ram.available,
            "gpus": gpus(),
        },
        "llama_cpp": _build(found_wrong),
        "cache": _cache(found_wrong),
        "wrong": wrong,
    }
    return report


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _build(found_wrong: Any) -> dict[str, Any]:
    try:
        from ..runtime.llama import devices, physical_cores, system_info

        info = system_info()
        seen = devices()
        cores = physical_cores()
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        found_wrong(f"llama-cpp-python does not load: {error}", REBUILD.format(flags=""))
        return {"loads": False}
    features = {name: f"{name} = 1" in info.upper() or f"{name} :" in info.upper() for name in FEATURES}
    rebuild = None
    for gpu in gpus():
        title, flags = GPUS[gpu]
        if not seen and rebuild is None:
            rebuild = REBUILD.format(flags=flags)
            found_wrong(f"this machine has {title}, and this build of llama.cpp does not use it", rebuild)
    if platform.machine().lower() in ("x86_64", "amd64") and not features["AVX2"] and not seen:
        found_wrong("this build of llama.cpp does without AVX2: several times slower", REBUILD.format(flags=""))
    if not features["OPENMP"] and platform.system() == "Linux":
        found_wrong("this build of llama.cpp does without OpenMP", REBUILD.format(flags="-DGGML_OPENMP=on"))
    return {
        "loads": True,
        "info": info.strip(),
        "features": features,
        "threads": cores,
        "gpus": [{"name": each.name, "free": each.free, "total": each.total} for each in seen],
        "rebuild": rebuild,
    }


def _cache(found_wrong: Any) -> dict[str, Any]:
    from huggingface_hub import constants

    folder = cache_dir()
    existing = folder
    while not existing.exists():
        existing = existing.parent
    if not os.access(existing, os.W_OK):
        found_wrong(f"the cache {folder} cannot be written", "set HF_HOME to a folder of your own")
    free = _free(existing)
    if free < LOW_DISK:
        found_wrong(f"only {free / 1e9:.1f} GB are free where {folder} is", "speccas rm, or set HF_HOME")
    parts = list(folder.glob(f"models--*/blobs/*{PART}"))
    if parts:
        found_wrong(f"downloads begun and not finished: {len(parts)}", "pull them again, or `speccas rm` them")
    lock = read_lock()
    for key, entry in lock.items():
        if not entry.complete:
            found_wrong(f"files of {key} are gone or cut short", f"speccas pull {key}")
    offline = bool(constants.is_offline_mode())
    blobs = (path for path in folder.glob("models--*/blobs/*") if path.is_file() and not path.is_symlink())
    return {
        "folder": str(folder),
        "bytes": sum(path.stat().st_size for path in blobs),
        "disk_free_bytes": free,
        "models": len(lock),
        "unfinished": len(parts),
        "offline": offline,
        "endpoint": constants.ENDPOINT,
    }


def _free(folder: Path) -> int:
    import shutil

    try:
        return shutil.disk_usage(folder).free
    except OSError as error:
        raise SpeccasError(f"{folder}: {error.strerror}", "set HF_HOME") from None
