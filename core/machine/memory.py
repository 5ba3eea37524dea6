"""This machine: memory, cores, and which GPUs the system knows of."""

import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil

from .container import cpu_quota, memory_limits


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of main memory; `available` is what can be had without swapping."""

    total: int
    available: int


def memory() -> Memory:
    """Main memory, no more than the container that this runs in may use."""
    found = psutil.virtual_memory()
    total, available = int(found.total), int(found.available)
    for limit, used in memory_limits():
        total, available = min(total, limit), min(available, max(0, limit - used))
    return Memory(total, available)


def resident() -> int:
    """Bytes of memory that this process has now."""
    return int(psutil.Process().memory_info().rss)


GPUS = {
    "cuda": ("an NVIDIA GPU", "-DGGML_CUDA=on"),
    "metal": ("an Apple GPU", "-DGGML_METAL=on"),
    "hip": ("an AMD GPU", "-DGGML_HIP=on"),
}


def gpus() -> list[str]:
    """Keys of GPUS that this machine seems to have, whatever llama.cpp was built for."""
    found = []
    if Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi"):
        found.append("cuda")
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        found.append("metal")
    if Path("/dev/kfd").exists():
        found.append("hip")
    return found


def usable_cores() -> int:
    """Logical cores that this process may use: those it may run on, within the quota of its container."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return cores if quota is None else max(1, min(cores, int(quota)))
