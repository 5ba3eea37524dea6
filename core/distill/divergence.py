"""How far a drafter's distributions are from the expert's, and how that changes with the states that they come from.

Imported only by the steps that need torch.

Both are over the kept tokens: the expert's final states times its own rows of these, the drafter's times its `table`.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

CHUNK = 1024  # positions whose distributions are in memory at a time


def floats(kept: NDArray[np.uint16]) -> torch.Tensor:
    """bfloat16 numbers, as they are kept."""
    return torch.from_numpy(np.ascontiguousarray(kept).view(np.int16)).view(torch.bfloat16)


def chunks(count: int) -> Iterator[slice]:
    for start in range(0, count, CHUNK):
        yield slice(start, start + CHUNK)


def logs(states: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Log probabilities (m, kept) float32. Products have the type of `rows`."""
    return torch.log_softmax(F.linear(states.to(rows.dtype), rows).float(), -1)


def leaning(wanted: torch.Tensor, greedy: float) -> torch.Tensor:
    """Distributions mixed, in that share, with their most likely token alone."""
    if not greedy:
        return wanted
    best = wanted.argmax(-1, keepdim=True)
    return (wanted * (1 - greedy)).scatter_add_(-1, best, wanted.new_full(best.shape, greedy))


def slopes(
    expert: torch.Tensor,
    rows: torch.Tensor,
    steps: Sequence[torch.Tensor],
    worths: Sequence[torch.Tensor],
    table: torch.Tensor,
    greedy: float,
) -> tuple[float, list[torch.Tensor], torch.Tensor]:
    """Of the states `steps`, (m, width) for each step of a draft, with `worths` (m,): the sum of worth times divergence
    in nats, and its slopes by each of them and by the table, float32. `expert` (m, width); with `greedy` above 0 the
    slopes are those against the expert's distribution leaning so far."""
    loss = 0.0
    found = [torch.zeros_like(each, dtype=torch.float32) for each in steps]
    of_table = torch.zeros_like(table, dtype=torch.float32)
    with torch.no_grad():
        for part in chunks(len(expert)):
            p = logs(expert[part], rows)
            wanted = p.exp()
            mixed = leaning(wanted, greedy)
            for each, slope, worth in zip(steps, found, worths, strict=True):
                states = each[part].to(table.dtype)
                q = logs(states, table)
                loss += float(((wanted * (p - q)).sum(-1) * worth[part]).sum())
                error = ((q.exp_() - mixed) * worth[part, None]).to(table.dtype)
                slope[part] = (error @ table).float()
                of_table += (error.T @ states).float()
    return loss, found, of_table


def compared(
    expert: torch.Tensor, rows: torch.Tensor, states: torch.Tensor, table: torch.Tensor
) -> tuple[float, NDArray[np.int64]]:
    """The sum of the divergence in nats, and the row of the table that each state makes the most likely, (m,)."""
    loss, best = 0.0, [np.zeros(0, np.int64)]
    for part in chunks(len(expert)):
        p, q = logs(expert[part], rows), logs(states[part], table)
        loss += float((p.exp() * (p - q)).sum())
        best.append(q.argmax(-1).cpu().numpy())
    return loss, np.concatenate(best)


def likeliest(states: torch.Tensor, table: torch.Tensor) -> NDArray[np.int64]:
    """The row of the table that each state makes the most likely, (m,)."""
    best = [logs(states[part], table).argmax(-1).cpu().numpy() for part in chunks(len(states))]
    return np.concatenate([np.zeros(0, np.int64), *best])
