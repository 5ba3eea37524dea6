"""How many bytes of weights a model reads to write one token, as its header says.

At a token a step a model is at the limit of the memory, so these bytes say what a step costs on any machine.
"""

import math
import re

from .gguf import Header, Tensor

EMBEDDING = "token_embd.weight"
LOOKED_UP = {"per_layer_token_embd.weight", "position_embd.weight"}
"""Tables of which a step reads a row."""
EXPERTS = "_exps."
"""In the names of tensors that hold every expert of a layer."""
_BLOCK = re.compile(r"blk\.(\d+)\.")


def step_bytes(header: Header, file_bytes: int) -> float | None:
    """Bytes read for one token: not the embedding table, of which a token reads a row, unless the output uses it too;
    of a mixture of experts the active ones; no layers that only guess further tokens. `file_bytes` are those of all
    parts: a split model's first part stands for the others. None where the header names no tensor of a known size."""
    sizes = [tensor.bytes for tensor in header.tensors if tensor.bytes is not None]
    total = sum(sizes)
    if not total or len(sizes) != len(header.tensors):
        return None
    tied = not any(tensor.name == "output.weight" for tensor in header.tensors) and not is_split(header)
    read = sum(share_read(header, tensor, tied) * (tensor.bytes or 0) for tensor in header.tensors)
    return read * file_bytes / total if is_split(header) else read


def active_share(header: Header) -> float:
    """The share of a model's parameters that a token uses: 1 but for a mixture of experts, of whose experts it uses a
    few. Of a split model as its first part has it."""
    total = header.parameters
    used = sum(math.prod(tensor.shape) * share_of_experts(header, tensor) for tensor in header.tensors)
    return used / total if total else 1.0


def share_read(header: Header, tensor: Tensor, tied: bool) -> float:
    """The share of a tensor that a step reads."""
    if tensor.name in LOOKED_UP or (tensor.name == EMBEDDING and not tied):
        return 0.0
    layers, extra = (number(header, name) for name in ("block_count", "nextn_predict_layers"))
    block = _BLOCK.match(tensor.name)
    if block and extra and int(block[1]) >= layers - extra:
        return 0.0
    return share_of_experts(header, tensor)


def share_of_experts(header: Header, tensor: Tensor) -> float:
    """The share of a tensor that a token reads of it where it holds every expert of a layer; else all of it."""
    used, count = number(header, "expert_used_count"), number(header, "expert_count")
    return min(1.0, used / count) if EXPERTS in tensor.name and used and count else 1.0


def is_split(header: Header) -> bool:
    return number(header, "split.count", prefixed=False) > 1


def number(header: Header, key: str, prefixed: bool = True) -> int:
    """A whole number of the metadata; 0 where there is none."""
    value = header.metadata.get(f"{header.architecture}.{key}" if prefixed else key, 0)
    return value if isinstance(value, int) else 0
