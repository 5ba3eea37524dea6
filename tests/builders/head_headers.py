"""Headers of heads and of experts, whole GGUF files whose weights are zeros: enough to say what fits what."""

from collections.abc import Sequence
from pathlib import Path

from speccas.core.headers.gguf import Header
from speccas.core.headers.head_kind import HeadKind
from speccas.core.headers.heads import NEEDED
from tests.builders.gguf import T_F32, Value, build, entry, parsed, tensor

TOKENS = ["a", "b", "c", "d"]
WIDTH, SIZE = 64, 32  # of a state; bytes of each tensor


def whole(architecture: str, names: Sequence[str] = (), **metadata: Value) -> bytes:
    """A file of that architecture with tensors of these names; two underscores in a key stand for a dot."""
    keys: dict[str, Value] = {
        "general.architecture": architecture,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": TOKENS,
        "tokenizer.ggml.merges": ["a b"],
        f"{architecture}.embedding_length": WIDTH,
        f"{architecture}.attention.head_count": 4,
        f"{architecture}.context_length": 512,
    }
    keys |= {f"{architecture}.{key.replace('__', '.')}": value for key, value in metadata.items() if "tok" not in key}
    keys |= {key.replace("__", "."): value for key, value in metadata.items() if "tok" in key}
    pairs = [entry(key, value) for key, value in keys.items()]
    tensors = [tensor(name, (SIZE // 4,), T_F32, SIZE * i) for i, name in enumerate(names)]
    return build(pairs, tensors, data=SIZE * len(names))


def expert(architecture: str = "qwen35", layers: int = 3, guessing: int = 0, **metadata: Value) -> bytes:
    """A model of so many layers, with `guessing` more that guess further tokens."""
    names = ["token_embd.weight", "output.weight", *(f"blk.{i}.attn_norm.weight" for i in range(layers))]
    names += [f"blk.{layers + i}{end}" for i in range(guessing) for end in NEEDED[HeadKind.MTP]]
    more: dict[str, Value] = {"nextn_predict_layers": guessing} if guessing else {}
    return whole(architecture, names, **{"block_count": layers + guessing, **more, **metadata})


def mtp(
    architecture: str = "qwen35", layers: int = 3, guessing: int = 1, without: str = "", **metadata: Value
) -> bytes:
    """The layers that guess of such a model, alone in a file."""
    names = [f"blk.{layers + i}{end}" for i in range(guessing) for end in NEEDED[HeadKind.MTP] if end != without]
    numbers: dict[str, Value] = {"block_count": layers + guessing, "nextn_predict_layers": guessing}
    return whole(architecture, ["token_embd.weight", *names], **{**numbers, **metadata})


def assistant(without: str = "", **metadata: Value) -> bytes:
    """Gemma 4's assistant of one layer."""
    names = [name for name in NEEDED[HeadKind.ASSISTANT] if name != without]
    own: dict[str, Value] = {"embedding_length": 16, "embedding_length_out": WIDTH}
    return whole("gemma4-assistant", names, **{"block_count": 1, "nextn_predict_layers": 1, **own, **metadata})


def eagle3(without: str = "", **metadata: Value) -> bytes:
    """An EAGLE-3 head for an expert of this width, with embeddings and output layer of the expert."""
    names = [name for name in NEEDED[HeadKind.EAGLE3] if name != without]
    own: dict[str, Value] = {"target_hidden_size": WIDTH, "target_layers": [0, 1, 2], "block_count": 1}
    return whole("eagle3", names, **{**own, **metadata})


def header(data: bytes) -> Header:
    return parsed(data)


def written(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
