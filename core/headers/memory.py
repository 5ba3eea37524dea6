"""How a model remembers what it read, by its architecture: a cache of every token, a running state, or both.

The lists are those of the llama.cpp that we are tested with; `tests/core/headers/test_memory.py` asks it. A model that
they do not name still runs: the runtime asks llama.cpp about each that it loads.
"""

from dataclasses import dataclass

from .architecture import AttentionShape
from .gguf import Header
from .head_kind import kind_of

SNAPSHOTS = frozenset(
    {
        "bailingmoe3", "deepseek4", "glm5-next", "kimi-k3", "lfm2", "lfm2moe", "nemotron_h", "nemotron_h_moe",
        "qwen35", "qwen35moe", "qwen4exp",
    }
)  # fmt: skip
"""Hybrids of which llama.cpp can take back tokens of the last batch."""
HYBRID = SNAPSHOTS | {
    "falcon-h1", "granitehybrid", "jamba", "kimi-linear", "minimax-01", "plamo2", "qwen3next",
}  # fmt: skip
RECURRENT = frozenset({"arwkv7", "mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7"})


@dataclass(frozen=True, slots=True)
class RunningState:
    """The state of a hybrid or recurrent model."""

    kind: str
    """As it is told: "a hybrid", "recurrent"."""
    snapshots: bool
    """Whether the memory takes back tokens of the last batch, where there is room for snapshots."""
    bytes: int
    """Of one copy; 0 where the header does not say."""

    @classmethod
    def of(cls, header: Header) -> "RunningState | None":
        """None where the model has a cache alone, and takes back anything; so does a head."""
        name = header.architecture
        if name not in HYBRID | RECURRENT or kind_of(header) is not None:
            return None
        kind = "recurrent" if name in RECURRENT else "a hybrid"
        shape = AttentionShape.of(header)
        return cls(kind, name in SNAPSHOTS, 4 * shape.state * shape.recurrent_layers)


def costs_of_going_back(drafter: Header, expert: Header) -> list[str]:
    """A line for each of the two that cannot just take back what was turned down."""
    found = []
    large, small = RunningState.of(expert), RunningState.of(drafter)
    if large is not None and large.snapshots:
        found.append(
            f"the expert ({expert.architecture}) is {large.kind}: its memory takes back a draft and nothing older; "
            f"to go back further, copies of its state{_size(large)} are kept"
        )
    elif large is not None:
        found.append(
            f"the expert ({expert.architecture}) is {large.kind}: its memory takes nothing back, so a draft that is "
            f"not wholly accepted costs a copy of its state{_size(large)} and a second reading: drafts win less"
        )
    if small is not None:
        found.append(
            f"the drafter ({drafter.architecture}) is {small.kind}: its memory takes nothing back, so a round costs "
            f"a copy of its state{_size(small)} and a second reading of what was accepted"
        )
    return found


def _size(state: RunningState) -> str:
    return f" ({max(0.1, state.bytes / 1e6):.1f} MB)" if state.bytes else ""
