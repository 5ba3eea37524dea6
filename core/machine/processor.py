"""The processor of this machine, and whether models run on a GPU here or on it; told without loading llama.cpp."""

import importlib.util
import platform
from pathlib import Path

CPU, GPU = "cpu", "gpu"
PROCESSORS = {CPU: "a CPU", GPU: "a GPU"}
"""By the key of a profile, as it is told."""
ASKED_BY_SYSTEM = ("cuda", "metal", "hip")
OTHERS = ("vulkan", "sycl")
"""What llama.cpp is built for only where there is a GPU of the kind, and the system says nothing of."""


def processor() -> str:
    """GPU where llama.cpp was built for one that this machine has."""
    from .memory import gpus  # psutil: only where two files are named

    built = {kind for kind in (*ASKED_BY_SYSTEM, *OTHERS) if any(libraries(kind))}
    return GPU if built & {*gpus(), *OTHERS} else CPU


def libraries(kind: str) -> list[Path]:
    """The files of llama.cpp's backend of this kind in the installed package."""
    return package_files(f"*ggml-{kind}*")


def package_files(pattern: str) -> list[Path]:
    """Libraries of the installed llama.cpp by their names."""
    try:
        spec = importlib.util.find_spec("llama_cpp")  # finds it without running any of it
    except (ImportError, ValueError):
        return []
    roots = [Path(root) for root in (spec.submodule_search_locations or ())] if spec else []
    return [path for root in roots for path in root.glob(f"lib/{pattern}")]


def cpu_name() -> str:
    """The processor as the system names it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
