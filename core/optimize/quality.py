"""What a file made from another one lost: how far its predictions are from the source's, over texts of our own.

The source is read once, for however many files are made of it. Of each of its rows the likeliest tokens are kept, and
what the others have together: a row of 152 thousand numbers at each of some thousand positions would be a gigabyte.
So the divergence is that of the row with those others as one outcome, which is never more than the whole row's, and
less by hundredths of it (the test of the real pair has both).
"""

import importlib.resources
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..conversation.tokenize import Tokenizer
from ..decoding.model import LanguageModel
from ..decoding.sampling import Floats
from ..runtime.backend import Context, Weights

Tell = Callable[[int, int], None]
"""Hears how many tokens are read, and of how many."""

ROWS = 32
"""Tokens that are read in a call: so many cost little more each than in a larger one, and their rows are 20 MB."""
LENGTH = 512
"""Positions of a cache that holds each of the built-in texts whole."""
KEPT = 2048  # tokens of a row
LEAST = 1e-9  # probability of all others together: beneath it is rounding


@dataclass(frozen=True, slots=True)
class Quality:
    """A file against its source, over `tokens` predicted tokens. Losses are mean negative log-probabilities of the
    texts' own tokens, and `kl` is KL(source || file); in nats a token. `same_argmax` is the share of positions at which
    both think the same token likeliest."""

    tokens: int
    kl: float
    same_argmax: float
    loss_source: float
    loss: float

    @property
    def cost(self) -> float:
        """What the texts' own tokens lost, nats a token; below zero where the file likes them better."""
        return self.loss - self.loss_source


@dataclass(frozen=True)
class Reference:
    """What a source predicts behind each token of `texts` (ids) but each one's last; a row for each, in order."""

    texts: tuple[tuple[int, ...], ...]
    vocabulary: int
    likeliest: NDArray[np.int32]
    """(positions, kept): ids, in no order."""
    log_probs: Floats
    """(positions, kept): theirs."""
    argmax: NDArray[np.int64]
    losses: Floats
    """(positions,): negative log-probability of the token that comes next."""


def builtin_texts() -> tuple[str, ...]:
    """Texts of many kinds, about 2,700 tokens: prose, code, mathematics, talk, several languages; no prompts of a
    bench."""
    data = importlib.resources.files(__package__).joinpath("texts.jsonl").read_text("utf-8")
    return tuple(json.loads(line)["text"] for line in data.splitlines())


def reader(weights: Weights, threads: int | None = None) -> Context:
    """A cache to read the built-in texts with. Raises DoesNotFit."""
    return weights.context(LENGTH, ROWS, threads)


def windows(
    tokenizer: Tokenizer, room: int = LENGTH, texts: Sequence[str] | None = None
) -> tuple[tuple[int, ...], ...]:
    """Ids of texts (by default the built-in ones), each cut to `room` tokens, with BOS where the model wants one.
    A text of one token predicts nothing, and is left out."""
    found = (tokenizer.tokenize(text, special=False, begin=True)[:room] for text in texts or builtin_texts())
    return tuple(tuple(ids) for ids in found if len(ids) > 1)


def reference(source: LanguageModel, texts: Sequence[Sequence[int]], tell: Tell | None = None) -> Reference:
    """Read the source; what its cache held is gone. Raises Stopped, ContextFull."""
    likeliest, log_probs, argmax, losses = [], [], [], []
    vocabulary = 0
    for rows, following in _read(source, texts, tell):
        vocabulary = rows.shape[1]
        kept = min(KEPT, vocabulary)
        ids = np.argpartition(rows, vocabulary - kept, axis=1)[:, vocabulary - kept :].astype(np.int32)
        whole = _log_total(rows)
        likeliest.append(ids)
        log_probs.append(np.take_along_axis(rows, ids, axis=1) - whole)
        argmax.append(rows.argmax(axis=1))
        losses.append((whole - np.take_along_axis(rows, following, axis=1))[:, 0])
    every = tuple(tuple(each) for each in texts)
    joined = (np.concatenate(each) for each in (likeliest, log_probs, argmax, losses))
    return Reference(every, vocabulary, *joined)


def quality(candidate: LanguageModel, source: Reference, tell: Tell | None = None) -> Quality:
    """Read a file that was made of the source, of the same vocabulary; what its cache held is gone. The same file gives
    0, 1 and the same losses. Raises Stopped, ContextFull, ValueError where the vocabulary is another."""
    at, divergence, same, loss = 0, 0.0, 0, 0.0
    for rows, following in _read(candidate, source.texts, tell):
        if rows.shape[1] != source.vocabulary:
            raise ValueError(f"a row of {rows.shape[1]} tokens, and the source has {source.vocabulary}")
        here = slice(at, at + len(rows))
        at += len(rows)
        whole = _log_total(rows)
        mine = (np.take_along_axis(rows, source.likeliest[here], axis=1) - whole).astype(np.float64)
        theirs = source.log_probs[here].astype(np.float64)
        p, q = np.exp(theirs), np.exp(mine)
        rest, other = (np.maximum(1 - each.sum(axis=1), LEAST) for each in (p, q))
        divergence += float((p * (theirs - mine)).sum() + (rest * np.log(rest / other)).sum())
        same += int((rows.argmax(axis=1) == source.argmax[here]).sum())
        loss += float((whole - np.take_along_axis(rows, following, axis=1)).sum(dtype=np.float64))
    before = float(source.losses.mean(dtype=np.float64))
    return Quality(at, max(0.0, divergence / at), same / at, before, loss / at)


def _log_total(rows: Floats) -> Floats:
    """(rows, 1): the logarithm of a row's sum of exponentials."""
    most = rows.max(axis=1, keepdims=True)
    total: Floats = (most + np.log(np.exp(rows - most).sum(axis=1, keepdims=True))).astype(np.float32)
    return total


def _read(
    model: LanguageModel, texts: Sequence[Sequence[int]], tell: Tell | None
) -> Iterator[tuple[Floats, NDArray[np.int64]]]:
    """Rows of logits (rows, vocabulary), and the token that follows each (rows, 1); a view until the next is asked
    for."""
    total, done = sum(len(ids) - 1 for ids in texts), 0
    most = min(ROWS, model.max_rows)
    for ids in texts:
        model.truncate(0)
        for at in range(0, len(ids) - 1, most):
            part = ids[at : min(at + most, len(ids) - 1)]
            rows = model.extend(part, rows=len(part))
            assert isinstance(rows, np.ndarray), "a model of whole rows"
            yield rows, np.array(ids[at + 1 : at + 1 + len(part)])[:, None]
            done += len(part)
            if tell is not None:
                tell(done, total)
