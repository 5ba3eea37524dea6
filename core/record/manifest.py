"""What a figure was measured on: versions, machine, files, settings. Knows facts of this process; measures nothing."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..conversation.template import fingerprint
from ..files.local import hash_file
from ..runtime.llama import devices
from ..runtime.pair import LoadedPair

SCHEMA = 1


def cpu_name() -> str:
    """The processor as the system names it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine_of(pair: LoadedPair) -> str:
    """What a speed was measured on, in a line: processor, threads, GPUs in use, and the build."""
    gpus = [device.name for device in devices()] if pair.settings.gpu_layers else []
    parts = [cpu_name(), f"{pair.expert.threads} threads", *gpus, f"llama-cpp-python {version('llama-cpp-python')}"]
    return ", ".join(parts)


def manifest(pair: LoadedPair, command: str) -> dict[str, Any]:
    """The public manifest (README, "--json")."""
    settings = pair.settings
    models = {
        role: {
            "file": path.name,
            "sha256": hash_file(path),
            "quant": header.file_type,
            "parameters": header.parameters,
        }
        for role, (path, header) in pair.files.items()
    }
    return {
        "speccas": version("speccas"),
        "llama_cpp_python": version("llama-cpp-python"),
        "system": platform.platform(),
        "cpu": cpu_name(),
        "threads": pair.expert.threads,
        "pair": pair.pair.name,
        **models,
        "vocabulary": str(pair.vocabulary.verdict),
        "template_sha256": fingerprint(pair.template) if pair.template else None,
        "k": settings.draft_tokens,
        "lookup": settings.lookup,
        "temperature": settings.temperature,
        "top_k": settings.top_k,
        "top_p": settings.top_p,
        "min_p": settings.min_p,
        "seed": settings.seed,
        "ctx": pair.context,
        "command": command,
    }
