"""What training reads: waves in the drafter's tokens, each position with the expert's state and what it is worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .conversations import Part
from .data import Wave
from .texts import WORTHS, WaveTexts


@dataclass(frozen=True)
class Lessons:
    """`rows` texts of n drafter tokens, and the m positions to learn at.

    ids (rows, n) int64; at (m,) flat positions in them; states (m, width) the expert's, bfloat16 as uint16;
    worth (m,); follows (m,) the expert token that came next, greedy (m,) whether it is the expert's most likely.
    """

    ids: NDArray[np.int64]
    at: NDArray[np.int64]
    states: NDArray[np.uint16]
    worth: NDArray[np.float32]
    follows: NDArray[np.int64]
    greedy: NDArray[np.bool_]


class Texts(WaveTexts):
    """Texts for a small drafter. Each is cut at as many drafter tokens as the expert wrote."""

    def __init__(
        self,
        folder: Path,
        numbers: Sequence[int],
        spelled: Sequence[Sequence[int]] = (),
        most: int | None = None,
    ) -> None:
        """`spelled`: the drafter's tokens for each token of the expert; may be set later."""
        super().__init__(folder, numbers, most)
        self.spelled = spelled

    def lessons(self, which: Sequence[int]) -> Lessons:
        """The texts `which` as one batch."""
        length = max(self.waves[self.places[text][0]].ids.shape[1] for text in which)
        ids = np.zeros((len(which), length), np.int64)
        at: list[NDArray[np.int64]] = []
        states: list[NDArray[np.uint16]] = []
        worth: list[NDArray[np.float32]] = []
        follows: list[NDArray[np.int64]] = []
        greedy: list[NDArray[np.bool_]] = []
        for row, text in enumerate(which):
            number, place = self.places[text]
            found, last, kept = self._text(self.waves[number], place)
            ids[row, : len(found)] = found
            wave = self.waves[number]
            parts = wave.parts[place, 1:][kept]
            at.append(last[kept] + row * length)
            states.append(wave.hidden[place, :-1][kept])
            worth.append(WORTHS[parts])
            follows.append(wave.ids[place, 1:][kept].astype(np.int64))
            greedy.append(parts == Part.ANSWER)
        joined = np.concatenate
        return Lessons(ids, joined(at), joined(states), joined(worth), joined(follows), joined(greedy))

    def _text(self, wave: Wave, row: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Drafter ids, where each expert token but the last ends in them, and which of those are lessons."""
        pieces = [self.spelled[token] for token in wave.ids[row].tolist()]
        ids = np.fromiter((piece for spelled in pieces for piece in spelled), np.int64)[: wave.ids.shape[1]]
        ends = np.cumsum([len(spelled) for spelled in pieces])[:-1] - 1
        worth = WORTHS[wave.parts[row, 1:]]
        return ids, ends, (worth > 0) & (ends < len(ids))
