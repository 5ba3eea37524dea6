"""Steps of training, whatever learns: the rate, the held-out score, checkpoints. Resumes where it was cut off.

Needs torch when it runs, not before.

The rate rises over the first steps, stays, and falls to nothing over the last third. A checkpoint holds weights,
optimiser and step; the held-out score decides which weights are the best.
"""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..atomic import atomic_file
from ..errors import NativeError, UsageError
from .run import RunSettings
from .texts import order

if TYPE_CHECKING:
    from .learn import Gradient, Optimiser
    from .network import Weights

WARM = 10  # steps
SCORED = 48  # held-out texts that a score is taken on
TOGETHER = 12  # of those at a time
PORT = 29517  # where processes of one run meet
MIXED = 10  # steps between two means of the processes' weights


class Learner(Protocol):
    """What learns: a small drafter or a head. Its lessons are those that its texts give."""

    weights: dict[str, Any]

    def learn(self, lessons: Any, greedy: float) -> "Gradient": ...
    def score(self, lessons: Any) -> Any:
        """A frozen dataclass with `positions`, over which the other fields are means; `loss` is one of them."""


class Taught(Protocol):
    """Texts to learn from."""

    def __len__(self) -> int: ...
    @property
    def tokens(self) -> int: ...
    def lessons(self, which: Sequence[int]) -> Any: ...


@dataclass(frozen=True)
class Span:
    """How far a call goes: to `stop` of `steps`, with a score and a checkpoint every `every` steps."""

    steps: int
    stop: int
    every: int


def share(step: int, steps: int) -> float:
    """The rate at `step` of `steps` as a share of the highest."""
    return min(1.0, (step + 1) / WARM, 3 * (steps - step) / steps)


def mean(learner: Learner, parts: Sequence[Any]) -> Any:
    """The score over all of the held-out parts. UsageError where there is nothing to score; NativeError where the loss
    is no number: nothing that follows could be."""
    scores = [learner.score(part) for part in parts]
    count = sum(score.positions for score in scores)
    if not count:
        raise UsageError("no answer at temperature 0 is among the held-out conversations", "write longer ones, or more")
    names = [name for name in asdict(scores[0]) if name != "positions"]
    means = {name: sum(getattr(s, name) * s.positions for s in scores) / count for name in names}
    if not math.isfinite(means["loss"]):
        raise NativeError("the held-out loss is no number", "a lower rate, or another version of torch, may do better")
    return replace(scores[0], positions=count, **means)


def take_steps(
    make: "Callable[[Weights | None], Learner]",
    settings: RunSettings,
    texts: Taught,
    test: Taught,
    span: Span,
    part: tuple[int, int],
    folder: Path,
    say: Callable[[str], None],
    tell: Callable[[float], None],
) -> None:
    """Steps from the last checkpoint in `folder` on, as process `part` of so many. `make` gives the learner with these
    weights, or before its first step; of the texts `test`, which are held out, SCORED are scored; `tell` hears how far
    it is."""
    from .learn import Optimiser, Peers

    ends = min(len(test), SCORED)
    parts = [test.lessons(range(start, min(start + TOGETHER, ends))) for start in range(0, ends, TOGETHER)]
    peers = Peers(*part, PORT)
    saved = last_checkpoint(folder)
    learner = make(saved and saved["weights"])
    optimiser = Optimiser(learner.weights, settings.rate, settings.muon_rate)
    step, best = 0, float("inf")
    if saved:
        step, best = saved["step"], saved["best"]
        optimiser.load(saved["optimiser"])
        say(f"goes on at step {step}")
    else:
        say("begins with " + shown(asdict(mean(learner, parts))))
    began, begun, losses = time.monotonic(), step, []
    number, count = part
    for batch in order(len(texts), settings.batch * count, settings.seed, step):
        if step >= span.stop:
            break
        lessons = texts.lessons(batch[number::count])
        losses.append(optimiser.step(learner.learn(lessons, settings.greedy), share(step, span.steps)))
        step += 1
        tell(step / span.steps)
        ends = step % span.every == 0 or step == span.stop
        if ends or step % MIXED == 0:
            peers.mix(learner.weights)
        if not ends or number > 0:
            continue
        score = asdict(mean(learner, parts))
        minutes = (time.monotonic() - began) / 60
        read = (step - begun) * settings.batch * count * texts.tokens // len(texts)
        line = {
            "step": step, "loss": sum(losses) / len(losses), "held_out": score.pop("loss"), **score,
            "tokens": texts.tokens, "minutes": minutes, "a_second": round(read / minutes / 60),
        }  # fmt: skip
        losses = []
        with (folder / "curve.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        say(shown(line))
        best = checkpoint(folder, learner, optimiser, step, line["held_out"], best)
    peers.part()


def last_checkpoint(folder: Path) -> dict[str, Any] | None:
    """`weights`, `optimiser`, `step`, and `best`, the least loss so far; None where there is none."""
    import torch

    path = folder / "last.pt"
    found: dict[str, Any] | None = torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None
    return found


def checkpoint(folder: Path, learner: Learner, optimiser: "Optimiser", step: int, loss: float, best: float) -> float:
    """Keep the weights, apart where they are the best so far; the least loss."""
    import torch

    weights = {name: weight.detach().cpu() for name, weight in learner.weights.items()}
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
