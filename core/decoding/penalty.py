"""The repetition penalty: tokens that stand among the last ones of the text come again less easily.

llama.cpp's definition (llama_sampler_penalties_apply, after Keskar et al., arXiv 1909.05858): a logit above 0 is
divided by the penalty and any other is multiplied by it, once however often its token stands there. It comes before
temperature, filters and decisions, and holds for q and p alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Penalty:
    """How much repeated tokens are held back, and how far back they count."""

    repeat: float = 1.0
    """Above 0. 1 is off; below 1 what was written comes again more easily."""
    last_n: int = 64
    """How many tokens count, those of the prompt too; 0 is off, -1 all of them."""

    @property
    def on(self) -> bool:
        """Whether it changes anything."""
        return self.repeat != 1.0 and self.last_n != 0

    def window(self, ids: Sequence[int]) -> NDArray[np.int32]:
        """Those of `ids`, prompt and all behind it, that count for the token behind them; as often as they stand."""
        return np.array(ids[-self.last_n :] if self.last_n > 0 else ids if self.last_n else (), dtype=np.int32)

    def of(self, logits: NDArray[np.float32], entries: NDArray[np.int32]) -> NDArray[np.float32]:
        """A copy of a row of logits (n,) with these entries held back, some of which may stand there twice."""
        held, found = logits.copy(), logits[entries]
        held[entries] = np.where(found > 0, found / self.repeat, found * self.repeat)
        return held


NO_PENALTY = Penalty()
