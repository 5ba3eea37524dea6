"""Draft heads, from their headers alone: what kind one is, which of the expert's states it reads, whether it fits.

The lists of architectures are those of the llama.cpp that we are tested with: asked for a state that its graph does
not have, it ends the process.
"""

from array import array
from pathlib import Path

from ..errors import CannotPair
from .architecture import require_language_model
from .gguf import Header, StringArray
from .weights import number

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


def is_eagle3(header: Header) -> bool:
    """Whether a file is an EAGLE-3 head."""
    return header.architecture == EAGLE3


def require_model(header: Header, path: Path | str) -> None:
    """Raises CannotPair and UsageError where a file is neither a language model nor a head that can draft for one."""
    if not is_eagle3(header):
        require_language_model(header, path)


def target_layers(header: Header) -> tuple[int, ...]:
    """The expert's layers whose input an EAGLE-3 head reads; the number of its layers is the state behind the last."""
    found = header.metadata.get(f"{EAGLE3}.target_layers")
    return tuple(int(each) for each in found) if isinstance(found, array) else ()


def require_fits(head: Header, expert: Header) -> None:
    """Raises CannotPair where an EAGLE-3 head was not made for this expert, or the expert hands out no such states."""
    layers, count = target_layers(head), number(expert, "block_count") - number(expert, "nextn_predict_layers")
    width, wanted = number(expert, "embedding_length"), number(head, "target_hidden_size")
    own = number(head, "embedding_length")
    mine, theirs = (len(each.get("tokenizer.ggml.tokens", StringArray, None) or ()) for each in (head, expert))
    what = ""
    if expert.architecture not in LAYER_INPUTS:
        what = f"an expert of architecture {expert.architecture!r} hands out none"
    elif len(layers) != STATES:
        what = f"it names {len(layers)} layers of the expert, not {STATES}"
    elif wanted != width:
        what = f"it reads states of {wanted} numbers, and those of the expert have {width}"
    elif not all(0 <= each <= count for each in layers):
        what = f"it reads the layers {_listed(layers)}, and the expert has {count}"
    elif count in layers and expert.architecture not in LAST_STATES:
        what = f"an expert of architecture {expert.architecture!r} does not hand out the one behind its last layer"
    elif number(head, "block_count") != 1:
        what = f"it has {number(head, 'block_count')} layers, not 1"
    elif mine != theirs:
        what = f"its vocabulary has {mine:,} tokens, and the expert's {theirs:,}"
    elif borrowed(head) and own != width:
        what = f"it has no {' and no '.join(borrowed(head))} of its own, and is {own} wide, the expert {width}"
    if what:
        raise CannotPair(
            f"the head {_name(head)} cannot read the states of {_name(expert)}: {what}",
            "a head goes with the one expert that it was made for",
        )


def borrowed(head: Header) -> list[str]:
    """What an EAGLE-3 head takes from its expert."""
    there = {tensor.name for tensor in head.tensors}
    tables = {"token_embd.weight": "embeddings", "output.weight": "output layer"}
    return [what for name, what in tables.items() if name not in there]


def _listed(layers: tuple[int, ...]) -> str:
    return f"{', '.join(map(str, layers[:-1]))} and {layers[-1]}"


def _name(header: Header) -> str:
    return Path(header.file).name
