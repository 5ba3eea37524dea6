"""Mixtures of experts, as a header tells them: what a call of several tokens costs on a CPU.

There llama.cpp multiplies the experts' matrices by a token at a time (`MUL_MAT_ID`), and each token has its own few.
"""

from dataclasses import dataclass

from .gguf import Header
from .weights import number


@dataclass(frozen=True, slots=True)
class Mixture:
    """Of `count` experts in a layer a token uses `used`, 0 where the header does not say."""

    count: int
    used: int

    @classmethod
    def of(cls, header: Header) -> "Mixture | None":
        """None where the model is dense."""
        count = number(header, "expert_count")
        return cls(count, number(header, "expert_used_count")) if count > 1 else None

    @property
    def told(self) -> str:
        """`a mixture of 128 experts, 8 a token`."""
        return f"a mixture of {self.count} experts" + (f", {self.used} a token" if self.used else "")


def never_batches(header: Header, what: str) -> list[str]:
    """The line for a model that reads several tokens in one call no cheaper than one by one where it runs on a CPU,
    whatever its types; none for a dense one. `what`: how the line begins, "the expert"."""
    found = Mixture.of(header)
    if found is None:
        return []
    return [
        f"{what} ({header.architecture}) is {found.told}: on a CPU a call of several tokens costs nearly as much as "
        "one after another, since each token reads experts of its own, so drafts win little there"
    ]
