"""Step 2, training: the drafter learns the expert's distribution from the waves. Resumes where it was cut off.

Needs torch when it runs, not before.

The rate rises over the first steps, stays, and falls to nothing over the last third. A checkpoint holds weights,
optimiser and step; the held-out score decides which weights are the best.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..atomic import atomic_file
from ..errors import UsageError
from ..headers.gguf import Header
from ..headers.kept import Kept, choose, of_drafter, restore, spelling
from ..headers.vocabulary import Tokens
from .data import is_held_out, remember, waves
from .lessons import Lessons, Texts, order
from .weights import Array, beginning, continued, read_weights

if TYPE_CHECKING:
    from .learn import Optimiser, Score, Student

WARM = 10  # steps
SCORED = 48  # held-out texts that a score is taken on
PORT = 29517  # where processes of one run meet
MIXED = 10  # steps between two means of the processes' weights


@dataclass(frozen=True)
class TrainSettings:
    """What a run depends on, beside the data. `layers` are the expert's, in order; `waves` 0 takes all there are.

    `batch` is the texts that a process reads in a step, `greedy` the share of the expert's most likely token in what is
    learnt.
    `start` is the file of an earlier drafter to go on from: its tokens and layers, and `layers` behind them.
    """

    layers: tuple[int, ...] = (0, 1, 2, 3, 28, 29)
    vocabulary: int = 12288
    batch: int = 32
    rate: float = 6e-4
    muon_rate: float = 2e-3
    waves: int = 0
    seed: int = 0
    bfloat16: bool = True
    start: str = ""
    greedy: float = 0.0


def share(step: int, steps: int) -> float:
    """The rate at `step` of `steps` as a share of the highest."""
    return min(1.0, (step + 1) / WARM, 3 * (steps - step) / steps)


def kept_tokens(folder: Path, expert: Tokens, counts: NDArray[np.int64], size: int, base: Sequence[int]) -> Kept:
    """The run's vocabulary: as remembered, or chosen by `counts` and remembered."""
    path = folder / "vocabulary.json"
    if path.exists():
        return restore(expert, json.loads(path.read_text()))
    kept = choose(expert, counts, size, base)
    path.write_text(json.dumps(kept.ids) + "\n")
    return kept


@dataclass(frozen=True)
class Span:
    """How far a call goes: to `stop` of `steps`, with a score and a checkpoint every `every` steps."""

    steps: int
    stop: int
    every: int


def mean(drafter: "Student", parts: Sequence[Lessons]) -> "Score":
    """The score over all of the held-out parts."""
    scores: list[Score] = [drafter.score(part) for part in parts]
    count = max(1, sum(score.positions for score in scores))
    loss = sum(score.loss * score.positions for score in scores) / count
    agreement = sum(score.agreement * score.positions for score in scores) / count
    return replace(scores[0], loss=loss, agreement=agreement, positions=count)


def train(
    expert: Path,
    data: Path,
    folder: Path,
    settings: TrainSettings,
    span: Span,
    part: tuple[int, int],
    quantised: bool,
    device: str,
    say: Callable[[str], None],
) -> None:
    """Trains, as process `part` of so many. Unavailable without torch, UsageError without data."""
    from .learn import Optimiser, Peers

    held_out = [number for number in waves(data) if is_held_out(number)]
    seen = [number for number in waves(data) if not is_held_out(number)]
    if not seen or not held_out:
        raise UsageError(f"{data} holds no waves to learn from and to test on", "run the step `data` first")
    folder.mkdir(parents=True, exist_ok=True)
    remember(folder / "settings.json", {"expert": expert.name, **asdict(settings), "layers": list(settings.layers)})
    header, arrays = read_weights(expert)
    tokens = Tokens.of(header)
    texts, test = Texts(data, seen[: settings.waves or None]), Texts(data, held_out)
    earlier = read_weights(Path(settings.start)) if settings.start else None
    base = of_drafter(tokens, Tokens.of(earlier[0])).ids if earlier else ()
    counts = texts.counts(len(tokens))
    kept = kept_tokens(folder, tokens, counts, settings.vocabulary, base)
    words = spelling(kept, tokens)
    texts.spelled = test.spelled = [tuple(words.spell(token)) or (0,) for token in range(len(tokens))]
    covered = counts[list(kept.ids)].sum() / max(1, counts.sum())
    say(
        f"{len(kept.ids):,} tokens cover {covered:.1%}; {texts.tokens:,} tokens to learn from, {test.tokens:,} held out"
    )

    drafter = student(header, arrays, settings, kept, base, earlier, device)
    drafter.quantise = quantised
    optimiser = Optimiser(drafter.weights, settings.rate, settings.muon_rate)
    peers = Peers(*part, PORT)
    step, best = restored(folder, drafter, optimiser, device)
    if step:
        say(f"goes on at step {step}")
    parts = [test.lessons(range(start, min(start + 12, len(test)))) for start in range(0, min(len(test), SCORED), 12)]
    if step == 0:
        say("begins with " + shown(asdict(mean(drafter, parts))))
    began, begun, losses = time.monotonic(), step, []
    number, count = part
    for batch in order(len(texts), settings.batch * count, settings.seed, step):
        if step >= span.stop:
            break
        losses.append(
            optimiser.step(drafter.learn(texts.lessons(batch[number::count]), settings.greedy), share(step, span.steps))
        )
        step += 1
        ends = step % span.every == 0 or step == span.stop
        if ends or step % MIXED == 0:
            peers.mix(drafter.weights)
        if not ends or number > 0:
            continue
        score = mean(drafter, parts)
        minutes = (time.monotonic() - began) / 60
        read = (step - begun) * settings.batch * count * parts[0].ids.shape[1]
        line = {
            "step": step, "loss": sum(losses) / len(losses), "held_out": score.loss, "agreement": score.agreement,
            "tokens": texts.tokens, "minutes": minutes, "a_second": round(read / minutes / 60),
        }  # fmt: skip
        losses = []
        with (folder / "curve.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        say(shown(line))
        best = checkpoint(folder, drafter, optimiser, step, score.loss, best)
    peers.part()


def student(
    header: Header,
    arrays: Mapping[str, Array],
    settings: TrainSettings,
    kept: Kept,
    base: Sequence[int],
    earlier: tuple[Header, dict[str, Array]] | None,
    device: str,
) -> "Student":
    """The drafter before its first step: some of the expert's layers, or an earlier drafter and more of them."""
    import torch

    from .learn import Student
    from .network import NetworkShape, to_network

    shape = NetworkShape.of(header)
    if earlier:
        places = {token: i for i, token in enumerate(base)}
        first = to_network(continued(earlier[1], places, arrays, settings.layers, kept.ids), shape.head)
    else:
        first = to_network(beginning(arrays, settings.layers, kept.ids), shape.head)
    shape = replace(shape, layers=sum(name.endswith("attn_norm.weight") for name in first))
    kind = torch.bfloat16 if settings.bfloat16 else torch.float32
    rows = torch.from_numpy(arrays["token_embd.weight"][list(kept.ids)])
    return Student(first, shape, rows, kept.ids, device, kind)


def restored(folder: Path, drafter: "Student", optimiser: "Optimiser", device: str) -> tuple[int, float]:
    """The step and the least loss of the last checkpoint, which is loaded; 0 and infinity where there is none."""
    import torch

    last = folder / "last.pt"
    if not last.exists():
        return 0, float("inf")
    saved = torch.load(last, map_location=device, weights_only=True)
    for name, weight in drafter.weights.items():
        weight.data.copy_(saved["weights"][name])
    if saved["optimiser"]:
        optimiser.load(saved["optimiser"])
    return int(saved["step"]), float(saved["best"])


def checkpoint(folder: Path, drafter: "Student", optimiser: "Optimiser", step: int, loss: float, best: float) -> float:
    """Keep the weights, apart where they are the best so far; the least loss."""
    import torch

    weights = {name: weight.detach().cpu() for name, weight in drafter.weights.items()}
    if loss < best:
        best = loss
        with atomic_file(folder / "best.pt") as out:
            torch.save(weights, out)
    with atomic_file(folder / "last.pt") as out:
        torch.save({"weights": weights, "optimiser": optimiser.state(), "step": step, "best": best}, out)
    return best


def shown(values: Mapping[str, object]) -> str:
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items()
    )
