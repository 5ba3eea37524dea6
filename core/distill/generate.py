"""The expert in torch, writing a wave of conversations."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from ..errors import NativeError
from ..headers.gguf import Header
from .conversations import Dialogue
from .data import DataSettings, Wave
from .network import NetworkShape, Writer, to_network


class Generator:
    """The expert, loaded; `wave` is what it writes."""

    def __init__(
        self, header: Header, arrays: Mapping[str, NDArray[np.float32]], settings: DataSettings, device: str
    ) -> None:
        self.settings, self.device = settings, torch.device(device)
        shape = NetworkShape.of(header)
        weights = {name: tensor.to(self.device) for name, tensor in to_network(arrays, shape.head).items()}
        kind = torch.bfloat16 if settings.bfloat16 else torch.float32
        self.writer = Writer(weights, shape, settings.texts, settings.length, kind, settings.states)
        self.numbers = np.uint16 if len(weights["token_embd.weight"]) <= 1 << 16 else np.uint32

    def wave(
        self, texts: Sequence[Dialogue], seed: int, tell: Callable[[float], None] = lambda share: None
    ) -> tuple[Wave, NDArray[np.uint16]]:
        """`texts`, written to the settings' length, one token each at a time; and the states that go in beside the
        layers of the settings, (texts, length, layers times width), bfloat16 as uint16. Raises NativeError where torch
        computed no numbers."""
        settings, writer = self.settings, self.writer
        random = torch.Generator(self.device).manual_seed(seed)
        ids = np.zeros((settings.texts, settings.length), self.numbers)
        parts = np.zeros((settings.texts, settings.length), np.uint8)
        hidden = np.zeros((settings.texts, settings.length, writer.shape.width), np.uint16)
        inputs = np.zeros((settings.texts, settings.length, len(settings.states) * writer.shape.width), np.uint16)
        writer.at = 0
        state: torch.Tensor | None = None
        for at in range(settings.length):
            open_rows = [row for row, text in enumerate(texts) if text.given is None]
            drawn: dict[int, int] = {}
            if open_rows:
                assert state is not None, "a conversation begins with given tokens"
                temperatures = torch.tensor([texts[row].temperature for row in open_rows], device=self.device)
                logits = F.linear(state[open_rows].to(writer.kind), writer.head)
                drawn = dict(zip(open_rows, draw(logits, temperatures, random).tolist(), strict=True))
            for row, text in enumerate(texts):
                ids[row, at], parts[row, at] = text.take(drawn[row]) if row in drawn else text.give()
            state = writer.step(torch.from_numpy(ids[:, at].astype(np.int64)).to(self.device))
            hidden[:, at] = stored(state)
            if settings.states:
                inputs[:, at] = stored(writer.inputs)
            tell((at + 1) / settings.length)
        if state is None or not bool(state.isfinite().all()):
            raise NativeError(
                "torch's hidden states are no numbers", "another machine or version of torch may do better"
            )
        return Wave(ids, parts, hidden), inputs


def stored(state: torch.Tensor) -> NDArray[np.uint16]:
    """Numbers as bfloat16, as they are kept."""
    found: NDArray[np.uint16] = state.bfloat16().cpu().view(torch.int16).numpy().view(np.uint16)
    return found


def draw(logits: torch.Tensor, temperatures: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """A token a row of `logits` (rows, vocabulary), at the row's temperature; 0 takes the most likely."""
    tokens = logits.argmax(-1)
    warm = temperatures > 0
    if warm.any():
        scaled = logits[warm].float() / temperatures[warm, None]
        below = torch.softmax(scaled, -1).cumsum(-1)
        spot = torch.rand(len(below), 1, generator=random, device=logits.device) * below[:, -1:]
        tokens[warm] = torch.searchsorted(below, spot, right=True).clamp_(max=logits.shape[-1] - 1)[:, 0]
    return tokens
