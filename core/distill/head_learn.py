"""A head in torch while it learns: what it loses against the expert, and how many of its drafts would be accepted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from .divergence import compared, floats, likeliest, slopes
from .head_lessons import HeadLessons
from .head_network import draft
from .learn import Gradient
from .network import NetworkShape, Weights, norm, rope

LATER = 0.8  # what a place is worth at a step of a draft, against the step before (EAGLE-3, section 3.2)
DRAFTED = 4  # tokens a draft, where acceptance is counted


@dataclass(frozen=True)
class HeadScore:
    """Of places in answers at temperature 0: KL divergence in nats over the kept tokens and share of equal argmax, at
    the first step of a draft; `acceptance`, accepted over judged of drafts of four along these answers."""

    loss: float
    agreement: float
    acceptance: float
    positions: int


class HeadStudent:
    """The head while it learns. Master weights in float32, products in `kind`."""

    def __init__(
        self,
        weights: Weights,
        shape: NetworkShape,
        embedding: torch.Tensor,
        expert_rows: torch.Tensor,
        kept: Sequence[int],
        steps: int,
        device: str,
        kind: torch.dtype,
    ) -> None:
        """`embedding` (vocabulary, width) is the expert's, which a head borrows; `expert_rows` (kept, width) are of its
        output layer. `steps` of each draft are learnt from."""
        self.shape, self.kind, self.device, self.steps = shape, kind, torch.device(device), steps
        self.weights = {name: w.detach().clone().to(self.device).requires_grad_() for name, w in weights.items()}
        self.embedding = embedding.to(self.device, kind)
        self.rows = expert_rows.to(self.device, kind)
        self.place = np.full(len(embedding), -1, np.int64)
        self.place[list(kept)] = np.arange(len(kept))
        self.angles = rope(shape, 8192, self.device)

    def drafts(self, lessons: HeadLessons, steps: int) -> list[torch.Tensor]:
        """Normed states of each step, (rows, n, width): times the output layer's rows they are logits."""
        tokens = torch.from_numpy(lessons.tokens).to(self.device)
        embedded = F.embedding(tokens, self.embedding)
        states = floats(lessons.states).to(self.device)
        found = draft(self.weights, self.shape, embedded, states, steps, self.angles, self.kind)
        return [norm(each, self.weights["output_norm.weight"], self.shape.epsilon) for each in found]

    def learn(self, lessons: HeadLessons, greedy: float = 0.0) -> Gradient:
        """How the divergence from the expert changes with the weights, over all steps; with `greedy` above 0, from a
        mixture of its distribution and, in that share, of its most likely kept token alone."""
        found = self.drafts(lessons, self.steps)
        worth = torch.from_numpy(lessons.worth).to(self.device)
        at = (worth > 0).nonzero(as_tuple=True)
        expert = floats(lessons.expert).to(self.device)[at].to(self.kind)
        table = self.weights["output.weight"].detach().to(self.kind)
        picked = [each[at] for each in found]
        worths = [worth[at] * (at[1] >= step) * LATER**step for step in range(self.steps)]
        loss, by_state, by_table = slopes(expert, self.rows, picked, worths, table, greedy)
        others = {name: w for name, w in self.weights.items() if name != "output.weight"}
        gradient = dict(zip(others, torch.autograd.grad(picked, list(others.values()), by_state), strict=True))
        gradient["output.weight"] = by_table
        return Gradient(loss, float(sum(each.sum() for each in worths)), gradient)

    def score(self, lessons: HeadLessons) -> HeadScore:
        """How near the head is to the expert in answers at temperature 0."""
        here = torch.from_numpy(lessons.greedy).to(self.device)
        wanted = self.place[lessons.follows]
        matches = np.zeros((DRAFTED, *wanted.shape), bool)
        with torch.no_grad():
            table = self.weights["output.weight"].to(self.kind)
            expert = floats(lessons.expert).to(self.device)[here].to(self.kind)
            first, *later = (states[here] for states in self.drafts(lessons, DRAFTED))
            loss, best = compared(expert, self.rows, first, table)
            for step, tokens in enumerate([best, *(likeliest(states, table) for states in later)]):
                matches[step][lessons.greedy] = tokens == wanted[lessons.greedy]
        count = int(lessons.greedy.sum())
        accepted, judged = walked(matches, lessons.greedy)
        share = float(matches[0].sum()) / max(1, count)
        return HeadScore(loss / max(1, count), share, accepted / max(1, judged), count)


def walked(matches: NDArray[np.bool_], greedy: NDArray[np.bool_]) -> tuple[int, int]:
    """Tokens accepted and judged, where drafts are made along answers as a run makes them: a round begins behind the
    token that ended the one before.

    `matches` (steps, rows, n): whether step j of a draft gives the token behind pair p; `greedy` (rows, n): where the
    answers are.
    """
    accepted = judged = 0
    steps, rows, n = matches.shape
    for row in range(rows):
        at = 0
        while at < n:
            if not greedy[row, at]:
                at += 1
                continue
            kept = 0
            while kept < steps and at + kept < n and greedy[row, at + kept]:
                judged += 1
                if not matches[kept, row, at + kept]:
                    break
                accepted += 1
                kept += 1
            at += kept + 1  # the expert's own token ends the round
    return accepted, judged
