"""The drafter in torch: what it loses against the expert, and one step of learning."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed

from .divergence import compared, floats, slopes
from .lessons import Lessons
from .network import NetworkShape, Weights, read, rope


@dataclass(frozen=True)
class Score:
    """Of positions in answers at temperature 0: KL divergence in nats over the kept tokens, share of equal argmax."""

    loss: float
    agreement: float
    positions: int


@dataclass(frozen=True)
class Gradient:
    """Sums over lessons: of worth times divergence in nats, of worth, and the first one's slopes by weight."""

    loss: float
    worth: float
    slopes: Weights


class Student:
    """The drafter while it learns. Master weights in float32, products in `kind`."""

    def __init__(
        self,
        weights: Weights,
        shape: NetworkShape,
        expert_rows: torch.Tensor,
        kept: Sequence[int],
        device: str,
        kind: torch.dtype,
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

    def learn(self, lessons: Lessons, greedy: float = 0.0) -> "Gradient":
        """How the divergence from the expert changes with the weights; with `greedy` above 0, from a mixture of its
        distribution and, in that share, of its most likely kept token alone: what counts where it answers greedily."""
        states = self.hidden(lessons)
        worth = torch.from_numpy(lessons.worth).to(self.device)
        table = self.used()["token_embd.weight"].detach().to(self.kind)
        expert = self.expert_states(lessons)
        loss, (slope,), slope_table = slopes(expert, self.rows, [states], [worth], table, greedy)
        found = dict(zip(self.weights, torch.autograd.grad(states, list(self.weights.values()), slope), strict=True))
        found["token_embd.weight"] = found["token_embd.weight"] + slope_table
        return Gradient(loss, float(worth.sum()), found)

    def expert_states(self, lessons: Lessons) -> torch.Tensor:
        """The expert's last hidden states, a row a lesson: kept as bfloat16, here of the training's type."""
        return floats(lessons.states).to(self.device, self.kind)

    def score(self, lessons: Lessons) -> Score:
        """How near the drafter is to the expert in answers at temperature 0."""
        wanted = [self.place.get(token, -1) for token in lessons.follows[lessons.greedy].tolist()]
        here = torch.from_numpy(lessons.greedy).to(self.device)
        with torch.no_grad():
            states, expert = self.hidden(lessons)[here], self.expert_states(lessons)[here]
            loss, best = compared(expert, self.rows, states, self.used()["token_embd.weight"].to(self.kind))
        count = max(1, len(best))
        return Score(loss / count, int((best == np.array(wanted)).sum()) / count, len(best))


def is_matrix(name: str) -> bool:
    """Whether a tensor is a layer's matrix: those are what Q4_0 rounds and Muon turns."""
    return name.startswith("blk.") and "norm" not in name


def through(weight: torch.Tensor) -> torch.Tensor:
    """`weight` rounded as Q4_0 rounds it (blocks of 32), with the gradient passing straight through."""
    with torch.no_grad():
        blocks = weight.reshape(-1, 32)
        low, high = blocks.amin(-1, keepdim=True), blocks.amax(-1, keepdim=True)
        scale = torch.where(-low >= high, low, high) / -8
        levels = torch.where(scale == 0, 8, blocks * (1 / scale) + 8.5).floor().clamp(0, 15)
        rounded = ((levels - 8) * scale.half().float()).reshape(weight.shape)
    return weight + (rounded - weight).detach()


class Optimiser:
    """Muon for the layers' matrices, AdamW for the rest."""

    def __init__(self, weights: Weights, rate: float, muon_rate: float) -> None:
        self.weights = weights
        matrices = [w for name, w in weights.items() if is_matrix(name)]
        others = [w for name, w in weights.items() if not is_matrix(name)]
        muon = torch.optim.Muon(matrices, lr=muon_rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
        adam = torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), weight_decay=0.0)
        self.parts: list[tuple[Any, float]] = [(muon, muon_rate), (adam, rate)]

    def step(self, gradient: Gradient, share: float) -> float:
        """Changes the weights by `gradient` at `share` of the rates; returns the mean divergence."""
        for name, weight in self.weights.items():
            weight.grad = gradient.slopes[name] / gradient.worth
        for optimiser, rate in self.parts:
            for group in optimiser.param_groups:
                group["lr"] = rate * share
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        return gradient.loss / gradient.worth

    def state(self) -> list[Any]:
        return [optimiser.state_dict() for optimiser, _ in self.parts]

    def load(self, state: list[Any]) -> None:
        for (optimiser, _), part in zip(self.parts, state, strict=True):
            optimiser.load_state_dict(part)


class Peers:
    """Processes that train one drafter together: now and then each takes the mean of all their weights."""

    def __init__(self, number: int, count: int, port: int) -> None:
        """Waits for the others, on this machine's `port`."""
        self.count = count
        if count > 1:
            where = f"tcp://127.0.0.1:{port}"
            torch.distributed.init_process_group("gloo", init_method=where, rank=number, world_size=count)

    def mix(self, weights: Weights) -> None:
        if self.count > 1:
            for weight in weights.values():
                torch.distributed.all_reduce(weight.data)
                weight.data /= self.count

    def part(self) -> None:
        if self.count > 1:
            torch.distributed.barrier()
            torch.distributed.destroy_process_group()
