"""A run of training, whatever learns: what it depends on, and what it begins with."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..headers.gguf import Header
from .data import remember
from .texts import WaveTexts
from .weights import Array, read_weights


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What a run depends on, beside the data. `vocabulary` tokens can be drafted; `batch` is the texts that a process
    reads in a step, `greedy` the share of the expert's most likely token in what is learnt; `waves` 0 takes all there
    are."""

    vocabulary: int = 12288
    batch: int = 32
    rate: float = 6e-4
    muon_rate: float = 2e-3
    waves: int = 0
    seed: int = 0
    bfloat16: bool = True
    greedy: float = 0.0


def begin(expert: Path, folder: Path, settings: RunSettings) -> tuple[Header, dict[str, Array]]:
    """Begins a run in its folder, or goes on there: the expert's header and weights. UsageError where it was begun with
    other settings."""
    folder.mkdir(parents=True, exist_ok=True)
    remember(folder / "settings.json", {"expert": expert.name, **asdict(settings)})
    return read_weights(expert)


def vocabulary_path(folder: Path) -> Path:
    return folder / "vocabulary.json"


def kept_tokens(folder: Path, choose: Callable[[], Sequence[int]]) -> list[int]:
    """The expert's tokens that are drafted, ascending: as remembered, or chosen and remembered."""
    path = vocabulary_path(folder)
    if not path.exists():
        path.write_text(json.dumps(list(choose())) + "\n")
    found: list[int] = json.loads(path.read_text())
    return found


def coverage(kept: Sequence[int], counts: NDArray[np.int64], texts: WaveTexts, test: WaveTexts) -> str:
    """One line: how much is there to learn from, and how much of it can be drafted."""
    share = counts[kept].sum() / max(1, counts.sum())
    return f"{len(kept):,} tokens cover {share:.1%}; {texts.tokens:,} tokens to learn from, {test.tokens:,} held out"
