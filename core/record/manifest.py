"""What a figure was measured on: versions, machine, files, sampling; and the document of a run."""

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from ..conversation.template import fingerprint
from ..decoding.sampling import Sampling
from ..files.hashes import remembered_hash
from ..machine.processor import cpu_name
from ..runtime.backend import ModelFile
from ..runtime.llama import devices
from ..runtime.pair import Pair
from .exactness import OptimizedFacts
from .metrics import Figures

SCHEMA = 1


def machine_of(pair: Pair) -> str:
    """What a speed was measured on, in a line: processor, threads, GPUs in use, and the build."""
    gpus = [device.name for device in devices()] if pair.options.gpu_layers else []
    workers = len(pair.files["expert"].workers)
    away = [f"the expert on {workers} worker{'s' * (workers > 1)}"] if workers else []
    build = f"llama-cpp-python {version('llama-cpp-python')}"
    parts = [cpu_name(), f"{pair.expert.threads} threads", *gpus, *away, build]
    return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The file of one model."""

    file: str
    sha256: str | None
    """None where the model is no file of this machine."""
    quant: str
    """Empty where a server runs the model."""
    parameters: int
    """0 where a server runs it: it does not say."""
    server: str | None = None
    """Its kind and its address, where a server runs the model."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The public manifest, field for field (docs/json.md). `k` and `lookup` as they were asked for."""

    speccas: str
    llama_cpp_python: str
    system: str
    cpu: str
    threads: int
    pair: str
    drafter: ModelFacts
    expert: ModelFacts
    first: ModelFacts | None
    """A chain's first drafter."""
    chain_rule: str | None
    """Of a chain, by which its drafter judges what the first one drafts."""
    chain_k: int | None
    vocabulary: str
    """How the two vocabularies relate."""
    template_sha256: str | None
    k: int | str
    lookup: str
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repeat_penalty: float
    """Not 1: every q, p and ln p of the run is of what the penalty leaves."""
    repeat_last_n: int
    seed: int
    test: str
    """How chance decides above temperature 0."""
    budget: float | None
    """Nats that a rule may cost in an answer; None is no limit."""
    confidence_temperature: float
    """At which rules read q; 1 is as the drafter says it."""
    think: str
    ctx: int
    command: str
    optimized: OptimizedFacts | None = None
    """Of a pair whose files were made here."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class RunDocument:
    """What `run` and `compare` print as JSON: the manifest, and the figures of each arm in order."""

    manifest: Manifest
    arms: Sequence[Figures]
    drift: float | None = None
    """Seconds of the expert alone behind the arms over before them, for the same tokens; None where it was measured
    once or not at all."""

    def as_json(self) -> dict[str, Any]:
        arms = [arm.as_json() for arm in self.arms]
        return {"schema": SCHEMA, "manifest": self.manifest.as_json(), "arms": arms, "drift": self.drift}


def model_facts(file: ModelFile) -> ModelFacts:
    """What the manifest says of a model. Raises OSError where its file cannot be read."""
    return ModelFacts(
        file=file.path.name,
        sha256=remembered_hash(file.path) if file.path.is_file() else None,
        quant=file.header.file_type,
        parameters=file.header.parameters,
        server=None if file.server is None else str(file.server),
    )


def sampled(sampling: Sampling) -> dict[str, Any]:
    """What a manifest says of how tokens are drawn, by its fields."""
    return {
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "repeat_penalty": sampling.penalty.repeat,
        "repeat_last_n": sampling.penalty.last_n,
        "seed": sampling.seed,
        "test": sampling.test,
        "budget": sampling.budget,
        "confidence_temperature": sampling.confidence,
    }


def manifest(pair: Pair, k: int | str, lookup: str, sampling: Sampling, command: str, think: str = "auto") -> Manifest:
    """What a run with this pair is measured on. Raises OSError where a file can no longer be read."""
    return Manifest(
        speccas=version("speccas"),
        llama_cpp_python=version("llama-cpp-python"),
        system=platform.platform(),
        cpu=cpu_name(),
        threads=pair.expert.threads,
        pair=pair.name,
        drafter=model_facts(pair.files["drafter"]),
        expert=model_facts(pair.files["expert"]),
        first=model_facts(pair.files["first"]) if pair.chain else None,
        chain_rule=pair.chain.inner.name if pair.chain else None,
        chain_k=pair.chain.inner.k if pair.chain else None,
        vocabulary=str(pair.vocabulary.relation),
        template_sha256=fingerprint(pair.template) if pair.template else None,
        k=k,
        lookup=lookup,
        **sampled(sampling),
        think=think,
        ctx=pair.context,
        command=command,
        optimized=OptimizedFacts.of_profile(pair.profile),
    )
