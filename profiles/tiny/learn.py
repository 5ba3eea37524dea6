"""The drafter in torch: where it begins, what it loses against the expert, and one step of learning.

Knows networks and lessons; not files, waves or schedules.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from .lessons import Lessons
from .network import Shape, Weights, read, rope, to_network

CHUNK = 1024  # positions whose distributions are in memory at a time


def beginning(
    arrays: Mapping[str, NDArray[np.float32]], layers: Sequence[int], kept: Sequence[int], head: int
) -> Weights:
    """The expert's layers `layers`, its embedding rows of the tokens `kept`, and its last norm."""
    chosen = {"token_embd.weight": arrays["token_embd.weight"][list(kept)], "output_norm.weight": arrays["output_norm.weight"]}
    for place, layer in enumerate(layers):
        start = f"blk.{layer}."
        chosen |= {f"blk.{place}.{name[len(start) :]}": a for name, a in arrays.items() if name.startswith(start)}
    return to_network(chosen, head)


@dataclass(frozen=True)
class Score:
    """Of positions in answers at temperature 0: KL divergence in nats over the kept tokens, share of equal argmax."""

    loss: float
    agreement: float
    positions: int


class Drafter:
    """The drafter while it learns. Master weights in float32, products in `kind`."""

    def __init__(
        self, weights: Weights, shape: Shape, expert_rows: torch.Tensor, kept: Sequence[int], device: str, kind: torch.dtype
    ) -> None:
        """`expert_rows` (kept, width): the expert's own output rows, which give its distribution."""
        self.shape, self.kind, self.device = shape, kind, torch.device(device)
        self.weights = {name: w.detach().clone().to(self.device).requires_grad_() for name, w in weights.items()}
        self.rows = expert_rows.to(self.device, kind)
        self.place = {token: i for i, token in enumerate(kept)}
        self.angles = rope(shape, 8192, self.device)
        self.quantise = False

    def used(self) -> Weights:
        """The weights as they are computed with: rounded to the levels of Q4_0 when `quantise`."""
        if not self.quantise:
            return self.weights
        return {name: through(w) if is_matrix(name) else w for name, w in self.weights.items()}

    def hidden(self, lessons: Lessons) -> torch.Tensor:
        ids = torch.from_numpy(lessons.ids).to(self.device)
        states = read(self.used(), self.shape, ids, self.angles, self.kind)
        return states.reshape(-1, self.shape.width)[torch.from_numpy(lessons.at).to(self.device)]

    def learn(self, lessons: Lessons) -> float:
        """Adds the gradient of the mean divergence from the expert to the weights; returns that mean, in nats."""
        states = self.hidden(lessons)
        expert = self._expert(lessons)
        worth = torch.from_numpy(lessons.worth).to(self.device)
        worth = worth / worth.sum()
        rows = self.weights["token_embd.weight"]
        table = rows.detach().to(self.kind)
        total = 0.0
        slope = torch.empty_like(states)
        slope_rows = torch.zeros_like(rows)
        with torch.no_grad():
            for start in range(0, len(states), CHUNK):
                part = slice(start, start + CHUNK)
                mine = states[part].to(self.kind)
                p = torch.log_softmax(F.linear(expert[part], self.rows).float(), -1)
                q = torch.log_softmax(F.linear(mine, table).float(), -1)
                total += float(((p.exp() * (p - q)).sum(-1) * worth[part]).sum())
                error = ((q.exp() - p.exp()) * worth[part, None]).to(self.kind)
                slope[part] = (error @ table).float()
                slope_rows += (error.T @ mine).float()
        states.backward(slope)
        rows.grad = slope_rows if rows.grad is None else rows.grad + slope_rows
        return total

    def _expert(self, lessons: Lessons) -> torch.Tensor:
        return torch.from_numpy(lessons.states.view(np.int16)).view(torch.bfloat16).to(self.device, self.kind)

    @torch.no_grad()
    def score(self, lessons: Lessons) -> Score:
        states, expert = self.hidden(lessons), self._expert(lessons)
        here = torch.from_numpy(lessons.greedy).to(self.device)
        states, expert = states[here], expert[here]
        follows = [self.place.get(token, -1) for token in lessons.follows[lessons.greedy].tolist()]
        wanted = torch.tensor(follows, device=self.device)
        table = self.used()["token_embd.weight"].to(self.kind)
        loss, agreed = 0.0, 0
        for start in range(0, len(states), CHUNK):
            part = slice(start, start + CHUNK)
            p = torch.log_softmax(F.linear(expert[part], self.rows).float(), -1)
            q = torch.log_softmax(F.linear(states[part].to(self.kind), table).float(), -1)
            loss += float((p.exp() * (p - q)).sum())
            agreed += int((q.argmax(-1) == wanted[part]).sum())
        return Score(loss / max(1, len(states)), agreed / max(1, len(states)), len(states))


def is_matrix(name: str) -> bool:
    """Whether a tensor is a layer's matrix: those are what Q4_0 rounds and Muon turns."""
    return name.startswith("blk.") and not name.endswith("norm.weight")


def through(weight: torch.Tensor) -> torch.Tensor:
    """`weight` rounded as Q4_0 rounds it (blocks of 32), with the gradient passing straight through."""
    with torch.no_grad():
        blocks = weight.reshape(-1, 32)
        low, high = blocks.amin(-1, keepdim=True), blocks.amax(-1, keepdim=True)
        scale = torch.where(-low >= high, low, high) / -8
        scale = scale.half().float()
        levels = torch.where(scale == 0, 0, blocks / scale + 8.5).floor().clamp(0, 15)
        rounded = ((levels - 8) * scale).reshape(weight.shape)
    return weight + (rounded - weight).detach()


class Optimiser:
    """Muon for the layers' matrices, AdamW for the rest. Rates are multiplied by `step`'s share."""

    def __init__(self, weights: Weights, rate: float, muon_rate: float) -> None:
        matrices = [w for name, w in weights.items() if is_matrix(name)]
        others = [w for name, w in weights.items() if not is_matrix(name)]
        self.muon = torch.optim.Muon(matrices, lr=muon_rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
        self.adam = torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), weight_decay=0.0)
        self.rates = (muon_rate, rate)

    def step(self, share: float) -> None:
        for each, rate in zip((self.muon, self.adam), self.rates, strict=True):
            for group in each.param_groups:
                group["lr"] = rate * share
            each.step()
            each.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Any]:
        return {"muon": self.muon.state_dict(), "adam": self.adam.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        self.muon.load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])
