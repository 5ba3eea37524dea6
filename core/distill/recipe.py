"""The whole recipe as one call: data, training, export, a card. Whatever is there already is not made again.

Needs torch when it runs, not before.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from ..errors import UsageError
from ..files.local import hash_file
from ..headers.gguf import read_header
from .card import DistillDocument, card_path, read_curve, write_card
from .data import DataSettings, remembered, write_waves
from .export import Types, export
from .head_export import export_head
from .head_lessons import STATES, state_layers
from .head_train import HeadSettings, train_head
from .openers import HELD_OUT
from .steps import Span
from .train import TrainSettings, train

BYTES = 2  # of a kept number
LAYERS = 4  # of the expert, that a small model starts from


@dataclass(frozen=True)
class Recipe:
    """What is to be made. `requests` begin the conversations where there are any; else the expert thinks of them."""

    kind: str
    expert: Path
    work: Path
    out: Path
    requests: Sequence[str] = ()
    data: DataSettings = field(default_factory=DataSettings)
    waves: int = 38
    vocabulary: int = 12288
    steps: int = 1000
    batch: int = 16
    every: int = 50
    device: str = "cpu"

    @property
    def run(self) -> Path:
        return self.work / self.kind

    @property
    def tokens(self) -> int:
        """That the expert is to write."""
        return self.waves * self.data.texts * self.data.length

    def disk(self) -> int:
        """Bytes of the data, about."""
        width = read_header(self.expert).get("llama.embedding_length", int, 0)
        return self.tokens * width * BYTES * (1 + STATES * (self.kind == "head"))


def require_sound(recipe: Recipe) -> None:
    """Raises UsageError where the result would be written over a file that is not this recipe's, or nowhere, and where
    there are too few prompts to hold some out."""
    out = recipe.out
    if not out.parent.is_dir():
        raise UsageError(f"there is no folder {out.parent}", "make it, or give another place")
    if out.exists() and not card_path(out).exists():
        raise UsageError(f"{out} is there, and no card says that it was made here", "give another place")
    if 0 < len(recipe.requests) < HELD_OUT:
        given = len(recipe.requests)
        raise UsageError(f"{given} prompts are too few", f"give at least {HELD_OUT}: every tenth is held out")


def distill(recipe: Recipe, say: Callable[[str], None], tell: Callable[[str, float], None]) -> DistillDocument:
    """Makes what is missing. `tell` hears which stage is how far, `say` lines with figures. Cut off at any time, the
    same call goes on: at the wave that was not whole, or at the last checkpoint.

    Raises UsageError, ModuleNotFoundError without torch, OSError.
    """
    from .network import NetworkShape

    require_sound(recipe)
    began = time.monotonic()
    shape = NetworkShape.of(read_header(recipe.expert))
    data = recipe.work / "data"
    states = tuple(remembered(data)["states"])
    if recipe.kind == "head" and not states:
        states = state_layers(shape.layers)
    given = "\n".join(recipe.requests)
    digest = sha256(given.encode()).hexdigest() if given else ""
    settings = replace(recipe.data, states=states, prompts=digest)
    stage = "the expert writes conversations"
    write_waves(
        recipe.expert, data, settings, range(recipe.waves), recipe.device, say, recipe.requests,
        lambda number, share: tell(stage, (number + share) / recipe.waves),
    )  # fmt: skip
    _train(recipe, say, lambda share: tell(f"the {recipe.kind} learns", share))
    tell("export", 0.0)
    types = Types("Q8_0", "Q8_0")
    if recipe.kind == "head":
        say(export_head(recipe.expert, data, recipe.run, recipe.out, types))
    else:
        say(export(recipe.expert, recipe.run, recipe.out, types))
    document = DistillDocument(
        kind=recipe.kind,
        expert=recipe.expert.name,
        file=str(recipe.out),
        bytes=recipe.out.stat().st_size,
        sha256=hash_file(recipe.out),
        written_tokens=recipe.tokens,
        prompts=len(recipe.requests),
        vocabulary=recipe.vocabulary,
        steps=recipe.steps,
        curve=read_curve(recipe.run),
        seconds=time.monotonic() - began,
        card=str(card_path(recipe.out)),
    )
    write_card(document, read_header(recipe.expert))
    tell("export", 1.0)
    return document


def _train(recipe: Recipe, say: Callable[[str], None], tell: Callable[[float], None]) -> None:
    span = Span(recipe.steps, recipe.steps, recipe.every)
    data, device, whole = recipe.work / "data", recipe.device, (0, 1)
    size, batch, seed, bfloat16 = recipe.vocabulary, recipe.batch, recipe.data.seed, recipe.data.bfloat16
    if recipe.kind == "head":
        head = HeadSettings(vocabulary=size, batch=batch, seed=seed, bfloat16=bfloat16)
        train_head(recipe.expert, data, recipe.run, head, span, whole, device, say, tell)
    else:
        layers = tuple(range(min(LAYERS, read_header(recipe.expert).get("llama.block_count", int, 0))))
        model = TrainSettings(
            vocabulary=size, batch=batch, seed=seed, bfloat16=bfloat16, greedy=0.5, layers=layers
        )  # fmt: skip
        train(recipe.expert, data, recipe.run, model, span, whole, False, device, say, tell)
