"""A model of which a profile names one file for a CPU and another for a GPU: which of the two is taken here."""

from dataclasses import dataclass

from ..machine.processor import CPU, GPU, PROCESSORS, processor
from .cache import find
from .source import Source


@dataclass(frozen=True, slots=True)
class FittedSource:
    """Both files, which processor's was taken, and which this machine has."""

    cpu: Source
    gpu: Source
    taken: str
    machine: str

    @classmethod
    def of(cls, cpu: Source, gpu: Source, wanted: str | None = None) -> "FittedSource":
        """What is wanted; else what fits this machine, but for a file that is here where that one is not: a GPU that
        comes or goes must not make a download worthless."""
        machine = processor()
        if wanted is not None:
            return cls(cpu, gpu, wanted, machine)
        other = CPU if machine == GPU else GPU
        here = {kind: find(source) is not None for kind, source in ((CPU, cpu), (GPU, gpu))}
        return cls(cpu, gpu, other if here[other] and not here[machine] else machine, machine)

    @property
    def source(self) -> Source:
        return self.cpu if self.taken == CPU else self.gpu

    @property
    def told(self) -> str:
        """`Q4_0 for a CPU (for a GPU: Q4_K_M)`."""
        mine, other = (self.cpu, self.gpu) if self.taken == CPU else (self.gpu, self.cpu)
        rest = PROCESSORS[GPU if self.taken == CPU else CPU]
        return f"{named_file(mine)} for {PROCESSORS[self.taken]} (for {rest}: {named_file(other)})"


def named_file(source: Source) -> str:
    """The quant, the file, or the repository, whichever tells it from its sibling first."""
    return source.quant or source.file or source.hf
