"""What training a head reads: waves whose states were kept, and what each place in them is worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .conversations import Part
from .data import load_states, load_wave, states_path, waves
from .lessons import WORTH


@dataclass(frozen=True)
class HeadLessons:
    """`rows` texts, n pairs of each, from their first.

    tokens (rows, n) int64, of the pairs; states (rows, n, layers times width) behind the token before; expert
    (rows, n, width) its final states behind the pair's token, all bfloat16 as uint16; follows (rows, n) the token that
    came next; worth (rows, n) float32; greedy (rows, n), whether it is the expert's most likely.
    """

    tokens: NDArray[np.int64]
    states: NDArray[np.uint16]
    expert: NDArray[np.uint16]
    follows: NDArray[np.int64]
    worth: NDArray[np.float32]
    greedy: NDArray[np.bool_]


def waves_with_states(folder: Path) -> list[int]:
    """Numbers of the waves that a head can learn from."""
    return [number for number in waves(folder) if states_path(folder, number).exists()]


class HeadTexts:
    """The texts of some waves. Their states are read from disk as they are used: they are three times the rest."""

    def __init__(self, folder: Path, numbers: Sequence[int]) -> None:
        self._waves = [load_wave(folder, number) for number in numbers]
        self._states = [load_states(folder, number) for number in numbers]
        self._places = [(w, row) for w, wave in enumerate(self._waves) for row in range(len(wave.ids))]

    def __len__(self) -> int:
        return len(self._places)

    @property
    def tokens(self) -> int:
        return sum(wave.ids.size for wave in self._waves)

    def counts(self, size: int) -> NDArray[np.int64]:
        """How often each token of the expert was written, `size` of them."""
        total = np.zeros(size, np.int64)
        for wave in self._waves:
            total += np.bincount(wave.ids.ravel(), minlength=size)
        return total

    def lessons(self, which: Sequence[int]) -> HeadLessons:
        """The texts `which` as one batch."""
        found = [self._places[text] for text in which]
        ids = np.stack([self._waves[w].ids[row] for w, row in found]).astype(np.int64)
        parts = np.stack([self._waves[w].parts[row] for w, row in found])[:, 2:]
        states = np.stack([self._states[w][row, :-2] for w, row in found])
        expert = np.stack([self._waves[w].hidden[row, 1:-1] for w, row in found])
        worth = np.array([WORTH[Part(part)] for part in range(len(Part))], np.float32)[parts]
        return HeadLessons(ids[:, 1:-1], states, expert, ids[:, 2:], worth, parts == Part.ANSWER)
