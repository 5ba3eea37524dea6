"""What other settings of a llama.cpp context would cost: `python scripts/context_cost.py MODEL.gguf [DEPTH ...]`.

Prints seconds by tokens in a call as ratios to the context that speccas makes, interleaved, medians; asserts nothing.
"""

import sys
from pathlib import Path
from statistics import median

import llama_cpp.llama_cpp as api
import numpy as np

from speccas.core.headers.gguf import read_header
from speccas.core.runtime.backend import ModelFile
from speccas.core.runtime.llama import LlamaBackend, LlamaContext

SIZES = (1, 2, 4, 8, 16, 128)
ROUNDS = 4
OFF, ON = 0, 1  # llama.h: enum llama_flash_attn_type
TYPES = {"f32": 0, "q4_0": 2, "q8_0": 8, "bf16": 30}  # ggml.h: enum ggml_type
CHANGES: dict[str, dict[str, int]] = {
    "as speccas does": {},
    "flash attention off": {"flash_attn_type": OFF},
    **{f"cache as {name}": {"type_k": t, "type_v": t, "flash_attn_type": ON} for name, t in TYPES.items()},
    "keys as q8_0": {"type_k": TYPES["q8_0"], "flash_attn_type": ON},
    "one thread": {"n_threads": 1, "n_threads_batch": 1},
}


def changed(path: Path, depth: int, change: dict[str, int]) -> LlamaContext:
    """A model whose context differs in these fields."""
    make = api.llama_init_from_model

    def with_change(model: object, params: object) -> object:
        for name, value in change.items():
            assert hasattr(params, name), name
            setattr(params, name, value)
        return make(model, params)

    api.llama_init_from_model = with_change
    try:
        return LlamaBackend().load(ModelFile(path, read_header(path), 0)).context(max(4096, depth + 128), 17)
    finally:
        api.llama_init_from_model = make


def main(path: Path, depths: list[int]) -> None:
    random = np.random.default_rng(0)
    for depth in depths:
        models = {name: changed(path, depth, change) for name, change in CHANGES.items()}
        text = [int(token) for token in random.integers(1000, 9000, depth + 128)]
        seen: dict[tuple[str, int], list[float]] = {(name, n): [] for name in models for n in SIZES}
        for model in models.values():
            model.extend(text[:depth], rows=0)
        for number in range(ROUNDS + 1):
            for n in SIZES:
                for name, model in models.items():
                    for _ in range(2):
                        before = model.seconds
                        model.extend(text[depth : depth + n], rows=n if n <= model.max_rows else 0)
                        if number:  # the first is a warm-up
                            seen[name, n].append(model.seconds - before)
                        model.truncate(depth)
        own = {n: seen["as speccas does", n] for n in SIZES}
        print(f"\n{path.name}, {depth} tokens before; ms, and ratios to them, by tokens in a call: {SIZES}")
        print("as speccas does".ljust(20), *(f"{1e3 * median(own[n]):8.2f}" for n in SIZES))
        for name in list(CHANGES)[1:]:
            ratios = (median(a / b for a, b in zip(seen[name, n], own[n], strict=True)) for n in SIZES)
            print(name.ljust(20), *(f"{ratio:8.2f}" for ratio in ratios))
        for model in models.values():
            model.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(each) for each in sys.argv[2:]] or [128, 1536])
