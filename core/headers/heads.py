"""Draft heads, from their headers alone: which of the expert's states one reads, whether it fits, and what it costs.

The lists of architectures are those of the llama.cpp that we are tested with: asked for a state that its graph does
not have, it ends the process.
"""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import CannotPair
from .architecture import require_language_model, vocabulary_size
from .gguf import Header
from .head_kind import HeadKind, guessing_layers, kind_of, own_layers
from .weights import EMBEDDING, is_split, number, share_of_experts

EAGLE3 = "eagle3"
STATES = 3  # layers whose states an EAGLE-3 head reads
LAYER_INPUTS = frozenset(
    {
        "bailingmoe3", "deepseek4", "gemma4", "gpt-oss", "hunyuan-dense", "hunyuan_vl", "lfm2", "lfm2moe", "llama",
        "mimo2", "minimax-01", "minimax-m2", "muse-glimmer", "nanbeige", "nemotron_h", "nemotron_h_moe", "qwen3",
        "qwen35", "qwen35moe", "qwen3moe", "qwen3next", "qwen4exp",
    }
)  # fmt: skip
"""Experts whose graphs hand out the input of each layer (llama.cpp: t_layer_inp)."""
LAST_STATES = frozenset(
    {
        "bailingmoe3", "cohere2moe", "deepseek2", "deepseek32", "deepseek4", "gemma4", "glm-dsa", "glm4moe",
        "glm5-next", "gpt-oss", "hy_v3", "mimo2", "mistral4", "nemotron_h", "nemotron_h_moe", "qwen35", "qwen35moe",
        "qwen3next", "step35",
    }
)  # fmt: skip
"""Experts whose graphs hand out the state behind the last layer (llama.cpp: t_h_nextn)."""
MTP_GRAPHS = frozenset(
    {
        "bailingmoe3", "cohere2moe", "deepseek2", "deepseek32", "deepseek4", "glm-dsa", "glm4moe", "hy_v3", "mimo2",
        "mistral4", "nemotron_h_moe", "qwen35", "qwen35moe", "qwen3next", "step35",
    }
)  # fmt: skip
"""Architectures whose MTP layers have a graph (llama.cpp: LLM_GRAPH_TYPE_DECODER_MTP)."""
CHAINED = frozenset({"hy_v3", "mimo2", "step35"})
"""Of those, where a model may have several such layers, one a drafted token."""
SHARES_CACHE = "gemma4"  # the expert of an assistant
OUTPUT, VOCABULARY = "output.weight", "d2t"  # tensors: the output layer, the tokens of a smaller vocabulary

NEEDED = {
    HeadKind.EAGLE3: (
        "fc.weight", "output_norm.weight", "blk.0.attn_norm.weight", "blk.0.attn_norm_2.weight", "blk.0.attn_q.weight",
        "blk.0.attn_k.weight", "blk.0.attn_v.weight", "blk.0.attn_output.weight", "blk.0.ffn_norm.weight",
        "blk.0.ffn_gate.weight", "blk.0.ffn_up.weight", "blk.0.ffn_down.weight",
    ),
    HeadKind.MTP: (".nextn.eh_proj.weight", ".nextn.enorm.weight", ".nextn.hnorm.weight"),
    HeadKind.ASSISTANT: (
        "token_embd.weight", "output_norm.weight", "nextn.pre_projection.weight", "nextn.post_projection.weight",
        "blk.0.attn_q.weight", "blk.0.attn_output.weight", "blk.0.ffn_down.weight",
    ),
}  # fmt: skip
"""Tensors without which llama.cpp loads no such head; of MTP their endings, in each layer."""


@dataclass(frozen=True, slots=True)
class HeadFacts:
    """A head as `check` and `show` tell of it. `reads`: the expert's layers whose input it reads, () where it reads the
    state behind the last; `width` of one such state; `borrows`: what it takes from the expert; `proposes`: tokens that
    it can propose."""

    kind: HeadKind
    told: str
    """In a line."""
    reads: tuple[int, ...]
    width: int
    layers: int
    borrows: tuple[str, ...]
    proposes: int

    @classmethod
    def of(cls, header: Header) -> "HeadFacts | None":
        """None for a model."""
        kind = kind_of(header)
        if kind is None:
            return None
        drafted = next((each.shape[0] for each in header.tensors if each.name == VOCABULARY and each.shape), 0)
        reads = target_layers(header) if kind is HeadKind.EAGLE3 else ()
        layers = number(header, "block_count") if kind is HeadKind.EAGLE3 else guessing_layers(header)
        width, proposes = state_width(header), drafted or vocabulary_size(header)
        return cls(kind, _told(kind, layers, reads, width), reads, width, layers, tuple(borrowed(header)), proposes)


def _told(kind: HeadKind, layers: int, reads: Sequence[int], width: int) -> str:
    names = {HeadKind.EAGLE3: "an EAGLE-3 head", HeadKind.MTP: "an MTP head", HeadKind.ASSISTANT: "an assistant"}
    what = f"{names[kind]} of {layers} layer{'s' * (layers != 1)}"
    if kind is HeadKind.ASSISTANT:
        what += " that shares its expert's cache"
    where = f"s at layers {_listed(reads)}" if len(reads) > 1 else " behind the last layer"
    return f"{what}, on the state{where} of an expert that is {width:,} wide"


def require_model(header: Header, path: Path | str) -> None:
    """Raises CannotPair and UsageError where a file is neither a language model nor a head that can draft for one."""
    if kind_of(header) is None:
        require_language_model(header, path)


def require_writers(first: Header, drafter: Header) -> None:
    """Raises CannotPair where one of a chain's drafters is a head: it writes nothing without the expert."""
    if kind_of(drafter) is not None:
        raise CannotPair(f"{drafter.file} is a head: nothing drafts for it", "give one drafter")
    if kind_of(first) is not None:
        raise CannotPair(
            f"{first.file} is a head on the expert's states: it drafts for the expert alone", "give one drafter"
        )


def target_layers(header: Header) -> tuple[int, ...]:
    """The expert's layers whose input an EAGLE-3 head reads; the number of its layers is the state behind the last."""
    found = header.metadata.get(f"{EAGLE3}.target_layers")
    return tuple(int(each) for each in found) if isinstance(found, array) else ()


def state_width(header: Header) -> int:
    """Numbers of one state that a head reads, or of one that a model hands out."""
    kind = kind_of(header)
    if kind is HeadKind.EAGLE3:
        return number(header, "target_hidden_size")
    if kind is HeadKind.ASSISTANT:
        return number(header, "embedding_length_out")
    return number(header, "embedding_length") * (number(header, "hyper_connection.count") or 1)


def require_fits(head: Header, expert: Header) -> None:
    """Raises CannotPair where a head was not made for this expert, lacks tensors, or the expert hands out no states
    that it could read."""
    if what := misfit(head, expert):
        raise CannotPair(
            f"the head {_name(head)} cannot read the states of {_name(expert)}: {what}",
            "a head goes with the one expert that it was made for",
        )


def require_inside(expert: Header) -> None:
    """Raises CannotPair where a model's file holds no head that can draft for it."""
    if not guessing_layers(expert):
        raise CannotPair(
            f"{_name(expert)} holds no head: it has no layers that guess further tokens (nextn_predict_layers)",
            "name the file of a head that was made for it, or of a small model",
        )
    if what := _layers_run(expert):
        raise CannotPair(f"the head in {_name(expert)} cannot draft: {what}", "name the file of another drafter")


def misfit(head: Header, expert: Header) -> str:
    """Why a head cannot draft for an expert; "" where it can."""
    kind = kind_of(head)
    found = "" if kind is None else MISFITS[kind](head, expert)
    if found or kind is None:
        return found
    mine, theirs = vocabulary_size(head), vocabulary_size(expert)
    if mine != theirs:
        return f"its vocabulary has {mine:,} tokens, and the expert's {theirs:,}"
    missing = missing_tensors(head)
    return f"its file lacks {', '.join(missing)}" if missing else ""


def missing_tensors(head: Header) -> list[str]:
    """Of those that a head needs, what its file does not have; of a split file nothing is known."""
    kind, there = kind_of(head), {tensor.name for tensor in head.tensors}
    if kind is None or is_split(head):
        return []
    if kind is not HeadKind.MTP:
        return [name for name in NEEDED[kind] if name not in there]
    layers = guessing_layers(head)
    return [f"*{end}" for end in NEEDED[kind] if sum(name.endswith(end) for name in there) < layers]


def _eagle3_misfit(head: Header, expert: Header) -> str:
    layers, count = target_layers(head), own_layers(expert)
    width, own = (number(each, "embedding_length") for each in (expert, head))
    if expert.architecture not in LAYER_INPUTS:
        return f"an expert of architecture {expert.architecture!r} hands out none"
    if len(layers) != STATES:
        return f"it names {len(layers)} layers of the expert, not {STATES}"
    if what := _other_states(head, width):
        return what
    if not all(0 <= each <= count for each in layers):
        return f"it reads the layers {_listed(layers)}, and the expert has {count}"
    if count in layers and expert.architecture not in LAST_STATES:
        return f"an expert of architecture {expert.architecture!r} does not hand out the one behind its last layer"
    if number(head, "block_count") != 1:
        return f"it has {number(head, 'block_count')} layers, not 1"
    if borrowed(head) and own != width:
        return f"it has no {' and no '.join(borrowed(head))} of its own, and is {own} wide, the expert {width}"
    return ""


def _mtp_misfit(head: Header, expert: Header) -> str:
    mine, theirs = own_layers(head), own_layers(expert)
    if head.architecture != expert.architecture:
        return f"it is of architecture {head.architecture!r}, the expert of {expert.architecture!r}"
    if what := _other_states(head, state_width(expert)):
        return what
    if mine and mine != theirs:
        return f"it was made for a model of {mine} layers, and the expert has {theirs}"
    return _layers_run(head)


def _layers_run(header: Header) -> str:
    """Why llama.cpp cannot run the layers that guess; "" where it can."""
    name, layers = header.architecture, guessing_layers(header)
    if name not in MTP_GRAPHS:
        return f"llama.cpp runs no MTP layers of architecture {name!r}"
    if layers > 1 and name not in CHAINED:
        return f"it has {layers} MTP layers, and of architecture {name!r} llama.cpp runs one"
    return ""


def _assistant_misfit(head: Header, expert: Header) -> str:
    if expert.architecture != SHARES_CACHE:
        return f"it reads the cache of a Gemma 4, and the expert is of architecture {expert.architecture!r}"
    if what := _other_states(head, state_width(expert)):
        return what
    for key in ("attention.key_length", "attention.key_length_swa"):
        mine, theirs = number(head, key), number(expert, key)
        if mine and theirs and mine != theirs:
            return f"it reads keys of {mine} numbers in the expert's cache, and those have {theirs}"
    return ""


def _other_states(head: Header, width: int) -> str:
    wanted = state_width(head)
    return "" if wanted == width else f"it reads states of {wanted} numbers, and those of the expert have {width}"


MISFITS: dict[HeadKind, Callable[[Header, Header], str]] = {
    HeadKind.EAGLE3: _eagle3_misfit,
    HeadKind.MTP: _mtp_misfit,
    HeadKind.ASSISTANT: _assistant_misfit,
}


def borrowed(head: Header) -> list[str]:
    """What a head takes from its expert."""
    if kind_of(head) is HeadKind.ASSISTANT:
        return ["embeddings", "cache"]
    there = {tensor.name for tensor in head.tensors}
    embeds = EMBEDDING in there or any(map(_is_embedding, there))
    if kind_of(head) is HeadKind.MTP and EMBEDDING in there:
        return []  # its output layer may be its embeddings
    has = {"embeddings": embeds, "output layer": any(map(_is_output, there))}
    return [what for what, own in has.items() if not own]


def head_step_bytes(head: Header, expert: Header) -> float | None:
    """Bytes that a head reads for one token: its layers, and an output layer, which may be the expert's. None where a
    header does not say."""
    if not head.tensors or is_split(expert) or any(each.bytes is None for each in (*head.tensors, *expert.tensors)):
        return None
    sizes = {each.name: share_of_experts(head, each) * (each.bytes or 0) for each in head.tensors}
    own = sum(size for name, size in sizes.items() if not _is_embedding(name) and name != VOCABULARY)
    if any(map(_is_output, sizes)):
        return own
    if EMBEDDING in sizes and kind_of(head) is not HeadKind.EAGLE3:  # the output layer as well
        return own + sizes[EMBEDDING]
    tables = {each.name: each.bytes or 0 for each in expert.tensors}
    return own + tables.get(OUTPUT, tables.get(EMBEDDING, 0))


def _is_output(name: str) -> bool:
    return name == OUTPUT or name.endswith(".nextn.shared_head_head.weight")


def _is_embedding(name: str) -> bool:
    return name == EMBEDDING or name.endswith(".nextn.embed_tokens.weight")


def _listed(layers: Sequence[int]) -> str:
    return f"{', '.join(map(str, layers[:-1]))} and {layers[-1]}"


def _name(header: Header) -> str:
    return Path(header.file).name
