"""What a head begins as: fitted by least squares to what the expert says next, before a step of training.

Imported only by the steps that need torch.

Wanted is the expert's final state behind a pair's token, without the last norm's weights. One part after the other is
fitted to what those before it leave: the states and the token's embedding, linearly; what the attention sees; and the
feed-forward part of the expert's last layer, of which only the matrix that it ends with is new. For SmolLM2-135M and
19 thousand places that gives 0.30 of the expert's likeliest tokens.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from .divergence import floats
from .head_lessons import HeadLessons
from .head_network import BLOCK, attend, look, parts_of
from .network import NetworkShape, Weights, inner, norm, rope, to_network
from .weights import Array, output_rows

RIDGE = 1e-2  # of the mean square of what is fitted with: fewer places than numbers have a solution too
FOCUS = 1.5  # so that a token's own key has nine tenths of the attention, among some hundred
TEXTS = 8  # that are looked at together


def first_head(
    arrays: Mapping[str, Array], shape: NetworkShape, kept: Sequence[int], lessons: HeadLessons, seed: int = 0
) -> Weights:
    """A head for the expert of these arrays, that drafts its tokens `kept`, fitted to `lessons`."""
    last, width = f"blk.{shape.layers - 1}.", shape.width
    taken = {"output.weight": output_rows(arrays, kept), "output_norm.weight": arrays["output_norm.weight"]}
    taken |= {f"{BLOCK}{name}.weight": arrays[f"{last}{name}.weight"] for name in ("ffn_norm", "ffn_gate", "ffn_up")}
    found = to_network(taken, shape.head)
    found |= {f"{BLOCK}{name}.weight": torch.ones(width) for name in ("attn_norm", "attn_norm_2")}
    here = torch.from_numpy(lessons.worth > 0)
    wanted = floats(lessons.expert).float() / found["output_norm.weight"]
    states = floats(lessons.states).float()
    tokens = torch.from_numpy(lessons.tokens)
    e = F.rms_norm(F.embedding(tokens, torch.from_numpy(arrays["token_embd.weight"])), (width,), None, shape.epsilon)
    size = F.rms_norm(states[here], (states.shape[-1],), None, shape.epsilon).pow(2).mean(0).sqrt()
    found["enc.output_norm.weight"] = 1 / size.clamp_min(1e-3)  # so that rates suit all numbers alike
    normed = norm(states, found["enc.output_norm.weight"], shape.epsilon)
    both = fitted(torch.cat([normed, e], -1)[here], wanted[here])
    found["fc.weight"] = both[:, : states.shape[-1]].contiguous()
    found |= attention(both[:, states.shape[-1] :], e[here], shape, seed)
    layer = parts_of(found)
    x = F.linear(normed, layer["fc"])
    seen = attended(layer, shape, e, x)
    found[f"{BLOCK}attn_output.weight"] = fitted(seen[here], (wanted - x)[here])
    x = (x + F.linear(seen, found[f"{BLOCK}attn_output.weight"]))[here]
    made = inner(layer, shape, x, torch.float32)
    size = made.pow(2).mean(0).sqrt().clamp_min(1e-3)
    found[f"{BLOCK}ffn_up.weight"] = found[f"{BLOCK}ffn_up.weight"] / size[:, None]
    found[f"{BLOCK}ffn_down.weight"] = fitted(made / size, wanted[here] - x)
    return found


def fitted(given: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """The matrix (numbers wanted, numbers given) that best takes the rows of one to those of the other."""
    square, mixed = (given.T @ given).double().numpy(), (given.T @ wanted).double().numpy()
    square += RIDGE * square.diagonal().mean() * np.eye(len(square))
    return single(np.linalg.solve(square, mixed).T)  # numpy's: torch's waits for ever where OpenMP gives it one thread


def single(matrix: NDArray[np.float64]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(matrix, np.float32))


def attention(wish: torch.Tensor, e: torch.Tensor, shape: NetworkShape, seed: int) -> Weights:
    """Queries, keys and values by which a place sees its own token, and of it what `wish` (width, width) needs most;
    `e` are embeddings as they occur. One head of each group does; the others see all tokens alike."""
    rank, width, group = shape.kv_heads * shape.head, shape.width, shape.heads // shape.kv_heads
    sizes, axes = np.linalg.eigh((e.T @ e / len(e)).double().numpy())
    roots = np.sqrt(sizes.clip(0) + 1e-3 * sizes.mean())
    needed = single(np.linalg.svd(wish.double().numpy() @ (axes * roots))[2][:rank] @ (axes / roots).T)
    random = np.random.default_rng(seed).standard_normal((width, rank))
    keys = single(np.linalg.qr(random)[0].T * FOCUS**0.5)
    queries = torch.zeros(shape.kv_heads, group, shape.head, width)
    queries[:, 0] = keys.view(shape.kv_heads, shape.head, width)
    parts = {"attn_q": queries.view(-1, width), "attn_k": keys, "attn_v": needed}
    return {f"{BLOCK}{name}.weight": torch.cat([each, torch.zeros_like(each)], -1) for name, each in parts.items()}


def attended(layer: Weights, shape: NetworkShape, e: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    """What the attention sees at each pair, (rows, n, width), where all are read with the expert's states."""
    angles, found = rope(shape, e.shape[1], e.device), []
    for start in range(0, len(e), TEXTS):
        part = slice(start, start + TEXTS)
        q, k, v = look(layer, shape, e[part], g[part], angles)
        found.append(attend(q, [k], [v]).transpose(1, 2).flatten(2))
    return torch.cat(found)
