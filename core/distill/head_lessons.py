"""What training a head reads: waves whose states were kept, and what each place in them is worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .conversations import Part
from .data import load_states, states_path, waves
from .texts import WORTHS, WaveTexts

STATES = 3
"""Layers of the expert that a head reads."""


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


def state_layers(layers: int) -> tuple[int, ...]:
    """Which layers' input a head reads unless told: those that llama.cpp's converter takes."""
    return min(2, layers - 1), layers // 2, max(0, layers - 3)


class HeadTexts(WaveTexts):
    """Texts for a head. Their states are read from disk as they are used: they are three times the rest."""

    def __init__(self, folder: Path, numbers: Sequence[int], most: int | None = None) -> None:
        super().__init__(folder, numbers, most)
        self._states = [load_states(folder, number) for number in self.numbers]

    def lessons(self, which: Sequence[int]) -> HeadLessons:
        """The texts `which` as one batch."""
        found = [self.places[text] for text in which]
        ids = np.stack([self.waves[w].ids[row] for w, row in found]).astype(np.int64)
        parts = np.stack([self.waves[w].parts[row] for w, row in found])[:, 2:]
        states = np.stack([self._states[w][row, :-2] for w, row in found])
        expert = np.stack([self.waves[w].hidden[row, 1:-1] for w, row in found])
        return HeadLessons(ids[:, 1:-1], states, expert, ids[:, 2:], WORTHS[parts], parts == Part.ANSWER)
