"""An EAGLE-3 head in torch (llama.cpp: src/models/eagle3.cpp), drafting.

Imported only by the steps that need torch.

Pair p is the expert's state behind its token p, with token p + 1; what the head makes of it says what token p + 2 is.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from .network import NetworkShape, Weights, inner, norm, parted, turn

BLOCK = "blk.0."


def draft(
    weights: Weights,
    shape: NetworkShape,
    embedded: torch.Tensor,
    states: torch.Tensor,
    steps: int,
    angles: tuple[torch.Tensor, torch.Tensor],
    kind: torch.dtype,
) -> list[torch.Tensor]:
    """The head's own state before the last norm at each of `steps` of a draft, (rows, n, width) float32 each.

    `embedded` (rows, n, width) are the tokens of the pairs 0 to n - 1, `states` (rows, n, 3 times width) the expert's.
    At step j, place p is the j-th pair that the head reads with its own state, of a draft that began at pair p - j:
    before that stand pairs read with the expert's. Places below j mean nothing.
    """
    layer = parts_of(weights)
    e = norm(embedded.float(), layer["attn_norm"], shape.epsilon).to(kind)
    g = fused(layer, shape, states, kind)
    keys: list[torch.Tensor] = []
    values: list[torch.Tensor] = []
    found: list[torch.Tensor] = []
    for step in range(steps):
        if step:
            g = behind(found[-1], 1, 1)
        q, k, v = look(layer, shape, e, g, angles)
        keys.append(k)
        values.append(v)
        seen = attend(q, keys, values).transpose(1, 2).flatten(2)
        x = g + F.linear(seen, layer["attn_output"].to(kind)).float()
        found.append(x + F.linear(inner(layer, shape, x, kind), layer["ffn_down"].to(kind)).float())
    return found


def parts_of(weights: Weights) -> Weights:
    """By short names: `fc`, `attn_q`, `output_norm`."""
    return {name.removeprefix(BLOCK).removesuffix(".weight"): each for name, each in weights.items()}


def fused(layer: Weights, shape: NetworkShape, states: torch.Tensor, kind: torch.dtype) -> torch.Tensor:
    """What the encoder makes of the expert's states: normed first (EAGLE-3.1), for their sizes differ by far."""
    h = norm(states.float(), layer["enc.output_norm"], shape.epsilon).to(kind)
    return F.linear(h, layer["fc"].to(kind)).float()


def look(
    layer: Weights, shape: NetworkShape, e: torch.Tensor, g: torch.Tensor, angles: tuple[torch.Tensor, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries, keys and values, (rows, heads, n, size) each, of tokens `e` that are normed and states `g` that are
    not, (rows, n, width) each. They have the type of `e`."""
    cos, sin = (each[: e.shape[1]].to(e.dtype) for each in angles)
    x = torch.cat([e, norm(g, layer["attn_norm_2"], shape.epsilon).to(e.dtype)], -1)
    q, k, v = (parted(F.linear(x, layer[f"attn_{name}"].to(e.dtype)), shape.head) for name in "qkv")
    return turn(q, cos, sin), turn(k, cos, sin), v


def behind(x: torch.Tensor, places: int, axis: int) -> torch.Tensor:
    """What stood so many places before, along an axis; zeros where nothing did."""
    if not places:
        return x
    n = x.shape[axis]
    empty = torch.zeros_like(x.narrow(axis, 0, min(places, n)))
    return torch.cat([empty, x.narrow(axis, 0, max(0, n - places))], axis)


def attend(q: torch.Tensor, keys: Sequence[torch.Tensor], values: Sequence[torch.Tensor]) -> torch.Tensor:
    """Attention of a draft's last step: over pairs read with the expert's states, before the draft began, and over the
    draft's own. `q` (rows, heads, n, size); `keys` and `values` of each step, with as many or fewer heads."""
    rows, heads, n, size = q.shape
    step, kv = len(keys) - 1, keys[0].shape[1]
    grouped = q.view(rows, kv, heads // kv, n, size)
    scores = (grouped.flatten(2, 3) @ keys[0].transpose(-1, -2)).view(rows, kv, heads // kv, n, n)
    place = torch.arange(n, device=q.device)
    hidden = place[None, :] > place[:, None] - step
    parts = [scores.masked_fill(hidden, float("-inf"))]
    for i in range(1, step + 1):
        own = behind(keys[i], step - i, 2)
        parts.append((grouped * own[:, :, None]).sum(-1, keepdim=True))
    shares = torch.softmax(torch.cat(parts, -1).float() / math.sqrt(size), -1).to(q.dtype)
    seen = (shares[..., :n].flatten(2, 3) @ values[0]).view_as(grouped)
    for i in range(1, step + 1):
        seen = seen + shares[..., n + i - 1, None] * behind(values[i], step - i, 2)[:, :, None]
    return seen.reshape(rows, heads, n, size)
