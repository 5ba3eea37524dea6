"""What a GGUF header says of a model: whether it writes text, its trained context, how large its cache is."""

import hashlib
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import CannotPair
from .gguf import Header

DEFAULT_CONTEXT = 4096


def require_language_model(header: Header, path: Path | str) -> None:
    """Raises CannotPair where a whole, readable GGUF is no model that writes text."""
    kind = header.architecture
    what = ""
    if not kind:
        what = "names no architecture"
    elif header.metadata.get("general.type", "model") != "model":
        what = f"is of type {header.metadata['general.type']!r}"
    elif "tokenizer.ggml.tokens" not in header.metadata:
        what = f"({kind}) has no vocabulary"
    elif f"{kind}.pooling_type" in header.metadata or "bert" in kind or kind in {"t5", "t5encoder", "clip"}:
        what = f"({kind}) makes embeddings or needs an encoder"
    if what:
        raise CannotPair(
            f"{path} {what}: it is no language model that writes text", "give a GGUF of a chat or text model"
        )


def trained_context(header: Header) -> int:
    """Tokens the model was trained to see; the default context where the header does not say."""
    return header.get(f"{header.architecture}.context_length", int, DEFAULT_CONTEXT)


def template(header: Header) -> str:
    """The chat template; empty where there is none."""
    return header.get("tokenizer.chat_template", str, "")


def template_hash(header: Header) -> str | None:
    """Its SHA-256, as in the manifest; None where there is no template."""
    found = template(header)
    return hashlib.sha256(found.encode()).hexdigest() if found else None


@dataclass(frozen=True, slots=True)
class AttentionShape:
    """The figures that memory depends on. `kv_heads` has one number for each layer."""

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
        every = number("full_attention_interval")
        if every > 1:  # a hybrid: only every n-th layer has a cache, the others a state
            kv_heads = [n if (i + 1) % every == 0 else 0 for i, n in enumerate(kv_heads)]
        if not number("attention.head_count"):  # no attention anywhere
            kv_heads = [0] * len(kv_heads)
        feed = number("feed_forward_length")
        return cls(layers, width, feed, heads, tuple(kv_heads), key, value, _state(number, width))


def _state(number: Callable[..., int], width: int) -> int:
    """Elements that one recurrent layer keeps (llama.cpp: n_embd_r and n_embd_s)."""
    if size := number("wkv.head_size"):
        return width * size + width * number("token_shift_count", 2)
    if seen := number("shortconv.l_cache"):
        return width * (seen - 1)
    inner, each = number("ssm.inner_size"), number("ssm.state_size")
    return inner * each + max(0, number("ssm.conv_kernel") - 1) * (inner + 2 * number("ssm.group_count") * each)
