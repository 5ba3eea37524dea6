"""Step 1, data: the expert writes both sides of many conversations, and its final hidden states are kept.

Needs torch when it runs, not before.

A wave is `texts` conversations of `length` tokens, written side by side, and one file. It depends on the settings and
its number alone, so a step that was cut off goes on with the waves that are not there. Every sixteenth is held out.
"""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..atomic import atomic_file
from ..errors import UsageError
from ..headers.vocabulary import CONTROL, Tokens
from ..runtime.backend import ModelFile
from ..runtime.llama import LlamaBackend
from ..runtime.prompt import special_text
from .conversations import Dialogue, Frame, frame
from .openers import GivenOpeners, Openers
from .weights import read_weights

HELD_OUT = 16  # every sixteenth wave, beginning with the first


@dataclass(frozen=True)
class DataSettings:
    """What a wave depends on, beside the expert and its number."""

    texts: int = 192
    length: int = 256
    seed: int = 0
    bfloat16: bool = True
    states: tuple[int, ...] = ()
    """Layers whose input is kept beside a wave: what a head reads."""
    prompts: str = ""
    """SHA-256 of the requests that conversations begin with, where they are given."""

    def as_json(self) -> dict[str, object]:
        """Without what is not set: a folder of an earlier version knew neither states nor prompts."""
        return {name: value for name, value in asdict(self).items() if value not in ((), "")}


@dataclass(frozen=True)
class Wave:
    """`ids` and `parts` (texts, length); `hidden` (texts, length, width) holds bfloat16 numbers as uint16."""

    ids: NDArray[np.uint16 | np.uint32]
    parts: NDArray[np.uint8]
    hidden: NDArray[np.uint16]


def is_held_out(number: int) -> bool:
    return number % HELD_OUT == 0


def wave_path(folder: Path, number: int) -> Path:
    return folder / f"wave-{number:05}.npz"


def states_path(folder: Path, number: int) -> Path:
    return folder / f"wave-{number:05}.states.npy"


def load_states(folder: Path, number: int) -> NDArray[np.uint16]:
    """What a head reads of a wave, (texts, length, layers times width), bfloat16 as uint16: read as it is used."""
    found: NDArray[np.uint16] = np.load(states_path(folder, number), mmap_mode="r")
    return found


def waves(folder: Path) -> list[int]:
    """Numbers of the waves that are there."""
    return sorted(int(path.stem[5:]) for path in folder.glob("wave-?????.npz"))


def load_wave(folder: Path, number: int) -> Wave:
    with np.load(wave_path(folder, number)) as arrays:
        return Wave(arrays["ids"], arrays["parts"], arrays["hidden"])


def save_wave(folder: Path, number: int, wave: Wave) -> None:
    """Written beside its place and moved there, so that a wave is whole or not there."""
    with atomic_file(wave_path(folder, number)) as file:
        np.savez(file, ids=wave.ids, parts=wave.parts, hidden=wave.hidden)


def remember(path: Path, settings: dict[str, object]) -> None:
    """Writes the settings, or raises UsageError where the folder was begun with others."""
    settings = json.loads(json.dumps(settings))  # as they are read again: lists for tuples
    if path.exists():
        known = json.loads(path.read_text())
        changed = [name for name in settings if known.get(name) != settings[name]]
        if changed:
            raise UsageError(
                f"{path.parent} was begun with other settings: {', '.join(changed)}",
                "give them again, or another folder",
            )
        return
    path.write_text(json.dumps(settings, indent=1) + "\n")


def remembered(folder: Path) -> dict[str, Any]:
    """The settings that a folder was begun with. `states`: layers whose input is kept, none where nobody said so."""
    path = folder / "settings.json"
    return {"states": [], **(json.loads(path.read_text()) if path.exists() else {})}


def write_waves(
    expert: Path,
    folder: Path,
    settings: DataSettings,
    numbers: Iterable[int],
    device: str,
    say: Callable[[str], None],
    requests: Sequence[str] = (),
    tell: Callable[[int, float], None] = lambda number, share: None,
) -> None:
    """Writes those waves of `numbers` that are not there; `tell` hears how much of which is written. Conversations
    begin with `requests`, where there are any. Errors as the expert's reader; ModuleNotFoundError without torch."""
    from .generate import Generator

    folder.mkdir(parents=True, exist_ok=True)
    remember(folder / "settings.json", {"expert": expert.name, **settings.as_json()})
    missing = (number for number in numbers if not wave_path(folder, number).exists())
    first = next(missing, None)
    if first is None:
        return
    header, arrays = read_weights(expert)
    tokens = Tokens.of(header)
    with closing(LlamaBackend().load(ModelFile(expert, header, header.file_bytes), gpu_layers=0)) as model:

        def encode(text: str, special: bool) -> list[int]:
            return model.tokenize(text, special=special)

        lexicon = model.lexicon()
        ends = frozenset(token for token in range(len(tokens)) if tokens.type(token) == CONTROL and lexicon.ends(token))
        around = frame(
            str(header.metadata["tokenizer.chat_template"]), encode, ends, special_text(tokens, header, "eos")
        )
        generator = Generator(header, arrays, settings, device)
        for number in chain([first], missing):
            began = time.monotonic()
            texts = conversations(around, encode, settings, number, requests)
            wave, states = generator.wave(texts, settings.seed * 1_000_003 + number, partial(tell, number))
            if settings.states:  # first: a wave that is there is whole
                with atomic_file(states_path(folder, number)) as file:
                    np.save(file, states)
            save_wave(folder, number, wave)
            count = settings.texts * settings.length
            say(f"wave {number}: {count:,} tokens, {count / (time.monotonic() - began):.0f} a second")


def conversations(
    around: Frame,
    encode: Callable[[str, bool], list[int]],
    settings: DataSettings,
    number: int,
    requests: Sequence[str] = (),
) -> list[Dialogue]:
    """The conversations of a wave, at their beginning."""
    random = Random(f"{settings.seed}/{number}")
    held_out = is_held_out(number)
    openers = GivenOpeners(requests, random, held_out=held_out) if requests else Openers(random, held_out=held_out)
    return [Dialogue(around, openers, encode, random) for _ in range(settings.texts)]
