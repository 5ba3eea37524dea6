"""What a model's file may be made into, and why not: told from its header alone, before anything is made.

The names of tensors that stay as they are follow llama.cpp (src/llama-quant.cpp, `tensor_allows_quantization`).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import CannotPair, UsageError
from ..headers.gguf import TENSOR_TYPES, Header, Tensor
from ..headers.mixture import Mixture
from ..headers.weights import is_split, number


@dataclass(frozen=True, slots=True)
class FileCandidate:
    """One kind of tensor for a whole file, its output layer and its embeddings too."""

    name: str
    ftype: int
    """llama.h: enum llama_ftype; what the file will say of itself."""
    type: int
    """ggml.h: enum ggml_type of every tensor that is quantised."""

    @property
    def block(self) -> int:
        """Elements of a row that share a scale: a row must be a multiple of it."""
        return TENSOR_TYPES[self.type][1]

    @property
    def bits(self) -> float:
        """A weight's, its share of the scales included."""
        _, block, size = TENSOR_TYPES[self.type]
        return 8 * size / block


CANDIDATES = {
    each.name: each
    for each in (
        FileCandidate("Q4_0", ftype=2, type=2),
        FileCandidate("IQ4_NL", ftype=25, type=20),
        FileCandidate("Q4_K", ftype=14, type=12),  # Q4_K_S; nothing but Q4_K where it is pure
    )
}
"""By name: the types of four bits that llama.cpp lays out anew for calls of several tokens (ggml-cpu/repack.cpp)."""

FOUR_BITS = 6.5
"""Bits a weight, below which a file is one of four bits: a Q4_K_M of 0.5B comes to 6.2 by its head and its odd rows."""


PLAIN = {
    "ffn_gate_inp.weight", "ffn_gate_tid2eid.weight", "altup", "laurel", "per_layer_model_proj", "ssm_conv1d",
    "shortconv.conv.weight", "indexer.k_proj.weight", "indexer.q_proj.weight", "time_mix_first.weight",
    "time_mix_w0.weight", "time_mix_w1.weight", "time_mix_w2.weight", "time_mix_v0.weight", "time_mix_v1.weight",
    "time_mix_v2.weight", "time_mix_a0.weight", "time_mix_a1.weight", "time_mix_a2.weight", "time_mix_g1.weight",
    "time_mix_g2.weight", "time_mix_decay_w1.weight", "time_mix_decay_w2.weight", "time_mix_lerp_fused.weight",
    "attn_rel_b.weight", "position_embd", "token_types", "rel_pos", "patch_embd",
}  # fmt: skip
"""Parts of names of matrices that llama.cpp leaves alone."""


def matrices(header: Header) -> tuple[Tensor, ...]:
    """The tensors that quantising changes."""
    return tuple(tensor for tensor in header.tensors if is_matrix(tensor))


def is_matrix(tensor: Tensor) -> bool:
    wide = len([size for size in tensor.shape[1:] if size > 1]) > 0
    named = tensor.name.endswith("weight") and not tensor.name.endswith("_norm.weight")
    return wide and named and not any(part in tensor.name for part in PLAIN)


def mean_bits(header: Header) -> float:
    """Bits a weight, over the matrices. Raises UsageError where the file has none of a known type."""
    found = matrices(header)
    weights, size = sum(math.prod(each.shape) for each in found), sum(each.bytes or 0 for each in found)
    if not weights or any(each.bytes is None for each in found):
        raise UsageError(f"{header.file} cannot be made smaller: it has tensors of a type that is not known")
    return 8 * size / weights


def four_bits(header: Header) -> bool:
    """Whether the source is itself a file of four bits or fewer: made anew it loses twice."""
    return mean_bits(header) < FOUR_BITS


def quantised_bytes(header: Header, candidate: FileCandidate) -> int:
    """About how large the file will be: what is no matrix stays as it is."""
    made = matrices(header)
    kept = header.file_bytes - sum(tensor.bytes or 0 for tensor in made)
    return kept + sum(math.ceil(math.prod(tensor.shape) * candidate.bits / 8) for tensor in made)


def possible(header: Header) -> tuple[list[FileCandidate], dict[str, str]]:
    """The candidates that this file can be made into, and of every other one why it is left out, by name.

    Raises CannotPair (a mixture of experts) and UsageError (one of several parts; no candidate is left, and one is not
    left out for being there already)."""
    require_whole(header)
    kept, left = [], {}
    for candidate in CANDIDATES.values():
        reasons = list(against(header, candidate))
        if reasons:
            left[candidate.name] = reasons[0]
        else:
            kept.append(candidate)
    if not kept and ALREADY not in left.values():
        told = "; ".join(f"{name}: {reason}" for name, reason in left.items())
        raise UsageError(f"nothing can be made of {header.file}: {told}", "give a file of more bits, such as Q8_0")
    return kept, left


ALREADY = "already best: every matrix is of that type"


def against(header: Header, candidate: FileCandidate) -> Iterator[str]:
    """Why a file is not made into a candidate."""
    found, bits = matrices(header), mean_bits(header)
    if all(tensor.type == candidate.type for tensor in found):
        yield ALREADY
    if candidate.bits > bits + 1e-9:
        yield f"its {candidate.bits:.1f} bits a weight are more than the {bits:.1f} of the source"
    odd = next((each for each in found if each.shape[0] % candidate.block), None)
    if odd is not None:
        yield f"the rows of {odd.name} are {odd.shape[0]:,} long, no multiple of {candidate.block}"


def require_whole(header: Header) -> None:
    """Raises as `possible`."""
    if is_split(header):
        parts = number(header, "split.count", prefixed=False)
        raise UsageError(
            f"{header.file} is one of {parts} parts: only a whole file is taken",
            "join them with llama-gguf-split of llama.cpp",
        )
    if mixture := Mixture.of(header):
        raise CannotPair(
            f"{header.file} is {mixture.told}: on a CPU its calls of several tokens cost as much as single ones, "
            "whatever its type"
        )
