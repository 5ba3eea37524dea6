"""A backend of tables: models that write fixed texts byte by byte, without any file. For commands in this process."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from speccas.core.decoding.answer import Lexicon
from speccas.core.decoding.sampling import Floats
from speccas.core.decoding.table import TableModel, VirtualClock
from speccas.core.errors import UsageError
from speccas.core.files.source import Source
from speccas.core.headers.gguf import Header
from speccas.core.headers.spelling import LETTER
from speccas.core.headers.vocabulary import CONTROL, NORMAL
from speccas.core.machine.fit import Footprint
from speccas.core.runtime.backend import ModelFile
from speccas.core.runtime.stop import StopFlag
from tests.builders.gguf import model_file, parsed

END = 256  # the id of the end of an answer; every other id is a byte
TEXT = b" The sea is wide. The sea is deep, and the sea is blue."
WRITERS: dict[str, bytes] = {"expert": TEXT, "drafter": TEXT.replace(b"wide", b"calm")}
"""By name: the text that a model goes on with, whatever it was asked."""


def header(name: str) -> Header:
    """A byte-level vocabulary and nothing else."""
    return parsed(
        model_file(
            general__architecture="table",
            general__name=name,
            table__context_length=4096,
            tokenizer__ggml__model="gpt2",
            tokenizer__ggml__tokens=[*(LETTER[byte] for byte in range(END)), "<|end|>"],
            tokenizer__ggml__token_type=[NORMAL] * END + [CONTROL],
            tokenizer__ggml__merges=["a b"],
            tokenizer__ggml__eos_token_id=END,
        )
    )


def writer(text: bytes) -> Callable[[tuple[int, ...]], Floats]:
    """Goes on behind the longest end of what it has read that begins the text; ends behind the text."""

    def row(read: tuple[int, ...]) -> Floats:
        logits = np.zeros(END + 1, dtype=np.float32)
        at = next((n for n in range(min(len(text), len(read)), 0, -1) if bytes_of(read[-n:]) == text[:n]), 0)
        logits[text[at] if at < len(text) else END] = 9.0
        return logits

    return row


def bytes_of(ids: Sequence[int]) -> bytes:
    return bytes(token if token < END else 0 for token in ids)


class TableWeights:
    """One byte, one token."""

    def __init__(
        self, text: bytes, cost: Callable[[int], float] | None = None, clock: VirtualClock | None = None
    ) -> None:
        self.text = text
        self.cost = cost
        self.clock = clock
        self.closed = False

    def tokenize(self, text: str, *, special: bool, begin: bool = False, inside: bool = False) -> list[int]:
        return list(text.encode("utf-8", "replace"))

    def context(self, length: int, max_rows: int, threads: int | None = None, states: Sequence[int] = ()) -> TableModel:
        row = writer(self.text)
        return TableModel(row, order=10**6, max_rows=max_rows, room=length, cost=self.cost, clock=self.clock)

    def lexicon(self) -> Lexicon:
        return Lexicon(lambda token: bytes([token]) if token < END else b"", lambda token: token == END)

    def close(self) -> None:
        self.closed = True


class TableBackend:
    """`table:NAME` is the model of that name in WRITERS."""

    def __init__(
        self, costs: Mapping[str, Callable[[int], float]] | None = None, clock: VirtualClock | None = None
    ) -> None:
        """`costs`: by name, the seconds that reading so many tokens takes on the clock."""
        self.costs = costs or {}
        self.clock = clock

    def open(self, source: Source, pull: str = "") -> ModelFile:
        name = str(source).partition(":")[2]
        if name not in WRITERS:
            raise UsageError(f"there is no table {name!r}", f"one of {', '.join(WRITERS)}")
        return ModelFile(Path(f"{name}.table"), header(name), 1)

    def footprint(self, file: ModelFile, max_rows: int, gpu_layers: int, stretch: float) -> Footprint:
        return Footprint(file.header, file.bytes, max_rows, 128, stretch=stretch)

    def free_gpu_bytes(self) -> int | None:
        return None

    def free_worker_bytes(self, file: ModelFile) -> int:
        return 0

    def load(
        self, file: ModelFile, gpu_layers: int, stop: StopFlag, on_load: Callable[[float], None] | None
    ) -> TableWeights:
        name = file.path.stem
        return TableWeights(WRITERS[name], self.costs.get(name), self.clock)
