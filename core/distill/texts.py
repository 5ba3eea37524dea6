"""The texts of waves, whatever learns from them: what each token is worth, which are held out, and in which order."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from .conversations import Part
from .data import Wave, is_held_out, load_wave

WORTH = {Part.GIVEN: 0.0, Part.QUESTION: 0.25, Part.ANSWER: 1.0, Part.SAMPLED: 1.0}
"""Weight of the expert's distribution by whose the next token is: questions are drawn at temperature 1, and users write
them; what a user gets to read are answers."""
WORTHS = np.array([WORTH[part] for part in Part], np.float32)
"""The same, by number."""


class WaveTexts:
    """The texts of some waves in order, read once."""

    def __init__(self, folder: Path, numbers: Sequence[int], most: int | None = None) -> None:
        """Of no more waves than `most` texts are in."""
        self.numbers: list[int] = []
        self.waves: list[Wave] = []
        self.places: list[tuple[int, int]] = []
        """Of each text: which of the waves, and its row there."""
        for number in numbers:
            if most is not None and len(self.places) >= most:
                break
            wave = load_wave(folder, number)
            self.places += [(len(self.waves), row) for row in range(len(wave.ids))]
            self.waves.append(wave)
            self.numbers.append(number)

    def __len__(self) -> int:
        return len(self.places)

    @property
    def tokens(self) -> int:
        return sum(wave.ids.size for wave in self.waves)

    def counts(self, size: int) -> NDArray[np.int64]:
        """How often each token of the expert was written, `size` of them."""
        total = np.zeros(size, np.int64)
        for wave in self.waves:
            total += np.bincount(wave.ids.ravel(), minlength=size)
        return total


def split_waves(numbers: Sequence[int], named: str) -> tuple[list[int], list[int]]:
    """Which of these waves are learnt from, and which are held out. UsageError where either are none of `named`."""
    held_out = [number for number in numbers if is_held_out(number)]
    seen = [number for number in numbers if not is_held_out(number)]
    if not seen or not held_out:
        raise UsageError(f"there are no {named} to learn from and to test on", "run the step `data` first")
    return seen, held_out


def order(texts: int, batch: int, seed: int, skip: int = 0) -> Iterator[list[int]]:
    """Batches of texts without end, each text once in a round through them; `skip` batches are left out."""
    number = 0
    for turn in range(1 << 30):
        places = np.random.default_rng([seed, turn]).permutation(texts)
        for start in range(0, max(1, texts - batch + 1), batch):
            if number >= skip:
                yield places[start : start + batch].tolist()
            number += 1
