"""What training reads: waves in the drafter's tokens, each position with the expert's state and what it is worth."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .conversations import Part
from .data import Wave, load_wave

WORTH = {Part.GIVEN: 0.0, Part.QUESTION: 0.25, Part.ANSWER: 1.0, Part.SAMPLED: 1.0}
"""Weight of the expert's distribution by whose the next token is: questions are drawn at temperature 1, and users write
them; what a user gets to read are answers."""


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


class Texts:
    """The texts of some waves, read once. A text is cut at `length` drafter tokens."""

    def __init__(self, folder: Path, numbers: Sequence[int], spelled: Sequence[Sequence[int]] = ()) -> None:
        """`spelled`: the drafter's tokens for each token of the expert; may be set later."""
        self.spelled = spelled
        self._waves = [load_wave(folder, number) for number in numbers]
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

    def lessons(self, which: Sequence[int]) -> Lessons:
        """The texts `which` as one batch."""
        length = max(self._waves[self._places[text][0]].ids.shape[1] for text in which)
        ids = np.zeros((len(which), length), np.int64)
        at: list[NDArray[np.int64]] = []
        states: list[NDArray[np.uint16]] = []
        worth: list[NDArray[np.float32]] = []
        follows: list[NDArray[np.int64]] = []
        greedy: list[NDArray[np.bool_]] = []
        for row, text in enumerate(which):
            number, place = self._places[text]
            found, last, kept = self._text(self._waves[number], place)
            ids[row, : len(found)] = found
            wave = self._waves[number]
            parts = wave.parts[place, 1:][kept]
            at.append(last[kept] + row * length)
            states.append(wave.hidden[place, :-1][kept])
            worth.append(np.array([WORTH[Part(part)] for part in range(len(Part))], np.float32)[parts])
            follows.append(wave.ids[place, 1:][kept].astype(np.int64))
            greedy.append(parts == Part.ANSWER)
        joined = np.concatenate
        return Lessons(ids, joined(at), joined(states), joined(worth), joined(follows), joined(greedy))

    def _text(self, wave: Wave, row: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Drafter ids, where each expert token but the last ends in them, and which of those are lessons."""
        pieces = [self.spelled[token] for token in wave.ids[row].tolist()]
        ids = np.fromiter((piece for spelled in pieces for piece in spelled), np.int64)[: wave.ids.shape[1]]
        ends = np.cumsum([len(spelled) for spelled in pieces])[:-1] - 1
        worth = np.array([WORTH[Part(part)] > 0 for part in range(len(Part))])[wave.parts[row, 1:]]
        return ids, ends, worth & (ends < len(ids))


def order(texts: int, batch: int, seed: int, skip: int = 0) -> Iterator[list[int]]:
    """Batches of texts without end, each text once in a round through them; `skip` batches are left out."""
    number = 0
    for turn in range(1 << 30):
        places = np.random.default_rng([seed, turn]).permutation(texts)
        for start in range(0, max(1, texts - batch + 1), batch):
            if number >= skip:
                yield places[start : start + batch].tolist()
            number += 1
