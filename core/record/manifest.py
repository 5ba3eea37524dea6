"""What a figure was measured on: versions, machine, files, sampling. Knows facts of this process; measures nothing."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..conversation.template import fingerprint
from ..decoding.sampling import Sampling
from ..files.local import hash_file
from ..runtime.llama import devices
from ..runtime.pair import Pair

SCHEMA = 1


def cpu_name() -> str:
    """The processor as the system names it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine_of(pair: Pair) -> str:
    """What a speed was measured on, in a line: processor, threads, GPUs in use, and the build."""
    gpus = [device.name for device in devices()] if pair.options.gpu_layers else []
    parts = [cpu_name(), f"{pair.expert.threads} threads", *gpus, f"llama-cpp-python {version('llama-cpp-python')}"]
    return ", ".join(parts)


def manifest(pair: Pair, k: int | str, lookup: str, sampling: Sampling, command: str) -> dict[str, Any]:
    """The public manifest (docs/json.md). `k` and `lookup` as they were asked for."""
    models = {
        role: {
            "file": file.path.name,
            "sha256": hash_file(file.path),
            "quant": file.header.file_type,
            "parameters": file.header.parameters,
        }
        for role, file in pair.files.items()
    }
    return {
        "speccas": version("speccas"),
        "llama_cpp_python": version("llama-cpp-python"),
        "system": platform.platform(),
        "cpu": cpu_name(),
        "threads": pair.expert.threads,
        "pair": pair.name,
        **models,
        "vocabulary": str(pair.vocabulary.relation),
        "template_sha256": fingerprint(pair.template) if pair.template else None,
        "k": k,
        "lookup": lookup,
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "seed": sampling.seed,
        "ctx": pair.context,
        "command": command,
    }
