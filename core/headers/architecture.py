"""What a GGUF header says of a model: whether it writes text, its trained context, how large its cache is."""

import hashlib
import re
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import CannotPair, UsageError
from .gguf import Header, StringArray
from .head_kind import ARCHITECTURES, HeadKind, guessing_layers, kind_of
from .weights import number

DEFAULT_CONTEXT = 4096


HEADS = frozenset({"dflash", "dspark", "eagle", "eagle2", *ARCHITECTURES, "hydra", "medusa", "mtp"})
"""Architectures that read another model's hidden states: without that model they write nothing. Which of them can
draft: `head_kind`."""
OTHERS = {
    "clip": "reads images for another model",
    "pockettts": "speaks",
    "qwen3tts": "speaks",
    "t5": "needs an encoder",
    "t5encoder": "makes embeddings",
    "wavtokenizer-dec": "speaks",
    "whisper": "hears",
}
"""What else a GGUF file may hold, and what that does."""
DIFFUSION = frozenset({"dream", "llada", "llada-moe", "rnd1"})
EMBEDDINGS = re.compile(r"bert|[-_]embed(?:ding)?$")


def require_language_model(header: Header, path: Path | str) -> None:
    """Raises CannotPair where a whole, readable GGUF is no model that writes text, UsageError where it is a later part
    of one that is split over files."""
    kind = header.architecture
    what = ""
    part, parts = (number(header, f"split.{key}", prefixed=False) for key in ("no", "count"))
    if 0 < part < parts:
        raise UsageError(f"{path} is part {part + 1} of a model split over {parts} files", "give the first of them")
    if not kind:
        what = "names no architecture"
    elif header.metadata.get("general.type", "model") != "model":
        what = f"is of type {header.metadata['general.type']!r}"
    elif kind_of(header) is not None:
        what = f"({kind}) is a head: it reads the hidden states of the model it was made for"
    elif kind in HEADS:
        what = f"({kind}) is a head of a kind that does not run here: EAGLE-3, MTP and Gemma 4's assistant do"
    elif kind in OTHERS:
        what = f"({kind}) {OTHERS[kind]}"
    elif kind in DIFFUSION or header.metadata.get(f"{kind}.attention.causal") is False:
        what = f"({kind}) does not write one token after another"
    elif f"{kind}.pooling_type" in header.metadata or EMBEDDINGS.search(kind):
        what = f"({kind}) makes embeddings"
    elif "tokenizer.ggml.tokens" not in header.metadata:
        what = f"({kind}) has no vocabulary"
    if what:
        raise CannotPair(
            f"{path} {what}: it is no language model that writes text", "give a GGUF of a chat or text model"
        )


def trained_context(header: Header) -> int:
    """Tokens the model was trained to see; the default context where the header does not say."""
    return header.get(f"{header.architecture}.context_length", int, DEFAULT_CONTEXT)


def vocabulary_size(header: Header) -> int:
    """Tokens that the model knows; 0 where the header has no vocabulary."""
    return len(header.get("tokenizer.ggml.tokens", StringArray, None) or ())


def template(header: Header) -> str:
    """The chat template; empty where there is none."""
    return header.get("tokenizer.chat_template", str, "")


def template_hash(header: Header) -> str | None:
    """Its SHA-256, as in the manifest; None where there is no template."""
    found = template(header)
    return hashlib.sha256(found.encode()).hexdigest() if found else None


@dataclass(frozen=True, slots=True)
class AttentionShape:
    """The figures that memory depends on. `kv_heads` has one number for each layer. Of a model without the layers that
    guess further tokens; of a head those alone."""

    layers: int
    embedding: int
    feed_forward: int
    heads: int
    kv_heads: tuple[int, ...]
    key_length: int
    value_length: int
    state: int
    """Elements of a recurrent layer's state, F32, 0 where there is none."""

    @property
    def recurrent_layers(self) -> int:
        """Layers that have a state: those without a cache, or all where each has both."""
        return sum(1 for heads in self.kv_heads if not heads) or self.layers

    @classmethod
    def of(cls, header: Header) -> "AttentionShape":
        def number(key: str, default: int = 0) -> int:
            value = header.metadata.get(f"{header.architecture}.{key}", default)
            if isinstance(value, array):
                return int(max(value, default=default))
            return int(value) if isinstance(value, int | float) else default

        layers = number("block_count")
        heads = number("attention.head_count", 1) or 1
        per_layer = header.metadata.get(f"{header.architecture}.attention.head_count_kv", heads)
        kv_heads = (
            [int(each) for each in per_layer]
            if isinstance(per_layer, array)
            else [number("attention.head_count_kv", heads)] * min(layers, 1 << 16)
        )
        width = number("embedding_length")
        key, value = (number(f"attention.{kind}_length", width // heads) for kind in ("key", "value"))
        if latent := number("attention.kv_lora_rank"):  # one compressed row a token in place of all heads
            kv_heads, key, value = [1] * len(kv_heads), latent + number("rope.dimension_count"), 0
        every, guessing = number("full_attention_interval"), guessing_layers(header)
        feed, state = number("feed_forward_length"), _state(number, width)
        kind = kind_of(header)
        if kind is HeadKind.MTP:  # attention, whatever the layers of the model are
            layers, kv_heads, state = guessing, kv_heads[-guessing:], 0
        elif every > 1:  # a hybrid: only every n-th layer has a cache, the others a state
            kv_heads = [n if (i + 1) % every == 0 else 0 for i, n in enumerate(kv_heads)]
        if kind is HeadKind.ASSISTANT or not number("attention.head_count"):  # it reads the expert's, or has none
            kv_heads = [0] * len(kv_heads)
        if kind is None:
            layers, kv_heads = layers - guessing, kv_heads[: max(0, len(kv_heads) - guessing)]
        return cls(layers, width, feed, heads, tuple(kv_heads), key, value, state)


def _state(number: Callable[..., int], width: int) -> int:
    """Elements that one recurrent layer keeps (llama.cpp: n_embd_r and n_embd_s)."""
    if size := number("wkv.head_size"):
        return width * size + width * number("token_shift_count", 2)
    if seen := number("shortconv.l_cache"):
        return width * (seen - 1)
    inner, each = number("ssm.inner_size"), number("ssm.state_size")
    return inner * each + max(0, number("ssm.conv_kernel") - 1) * (inner + 2 * number("ssm.group_count") * each)
