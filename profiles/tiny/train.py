"""Step 2, training: the drafter learns the expert's distribution from the waves. Resumes where it was cut off.

Knows schedules, checkpoints and the folder of a run; not how a loss is computed. Needs torch when it runs, not before.

The rate rises over the first steps, stays, and falls to nothing over the last third. A checkpoint holds weights,
optimiser and step; the held-out score decides which weights are the best.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from speccas.core.errors import UsageError
from speccas.core.models.vocabulary import Tokens

from .data import is_held_out, remember, waves
from .kept import Kept, choose, restore, spelling
from .lessons import Texts, order
from .weights import read_weights

WARM = 20  # steps


@dataclass(frozen=True)
class TrainSettings:
    """What a run depends on, beside the data. `layers` are the expert's, in order; `waves` 0 takes all there are."""

    layers: tuple[int, ...] = (0, 1, 2, 3, 28, 29)
    vocabulary: int = 12288
    batch: int = 32
    rate: float = 6e-4
    muon_rate: float = 2e-3
    waves: int = 0
    seed: int = 0
    bfloat16: bool = True


def share(step: int, steps: int) -> float:
    """The rate at `step` of `steps` as a share of the highest."""
    return min(1.0, (step + 1) / WARM, 3 * (steps - step) / steps)


def kept_tokens(folder: Path, expert: Tokens, texts: Texts, size: int) -> Kept:
    """The run's vocabulary: as remembered, or chosen from `texts` and remembered."""
    path = folder / "vocabulary.json"
    if path.exists():
        return restore(expert, json.loads(path.read_text()))
    kept = choose(expert, texts.counts(len(expert)), size)
    path.write_text(json.dumps(kept.ids) + "\n")
    return kept


def train(
    expert: Path,
    data: Path,
    folder: Path,
    settings: TrainSettings,
    steps: int,
    every: int,
    quantised: bool,
    device: str,
    say: Callable[[str], None],
) -> None:
    """Runs to `steps`, scoring and saving `every` so many. Unavailable without torch, UsageError without data."""
    import torch

    from .learn import Drafter, Optimiser, beginning
    from .network import Shape

    held_out = [number for number in waves(data) if is_held_out(number)]
    seen = [number for number in waves(data) if not is_held_out(number)]
    if not seen or not held_out:
        raise UsageError(f"{data} holds no waves to learn from and to test on", "run the step `data` first")
    seen = seen[: settings.waves or None]
    folder.mkdir(parents=True, exist_ok=True)
    remember(folder / "settings.json", {"expert": expert.name, **asdict(settings), "layers": list(settings.layers)})
    header, arrays = read_weights(expert)
    tokens = Tokens.of(header)
    known = Texts(data, seen, ())
    kept = kept_tokens(folder, tokens, known, settings.vocabulary)
    words = spelling(kept, tokens)
    spelled = [tuple(words.spell(token)) or (0,) for token in range(len(tokens))]
    known.spelled = spelled
    texts, test = known, Texts(data, held_out, spelled)
    covered = sum(texts.counts(len(tokens))[list(kept.ids)]) / max(1, sum(texts.counts(len(tokens))))
    say(f"{len(kept.ids):,} tokens cover {covered:.1%}; {texts.tokens:,} tokens to learn from, {test.tokens:,} held out")

    shape = Shape.of(header)
    rows = torch.from_numpy(arrays["token_embd.weight"][list(kept.ids)])
    begin = beginning(arrays, settings.layers, kept.ids, shape.head)
    small = Shape(**{**asdict(shape), "layers": len(settings.layers)})
    kind = torch.bfloat16 if settings.bfloat16 else torch.float32
    drafter = Drafter(begin, small, rows, kept.ids, device, kind)
    optimiser = Optimiser(drafter.weights, settings.rate, settings.muon_rate)
    step, best = 0, float("inf")
    last = folder / "last.pt"
    if last.exists():
        saved = torch.load(last, map_location=device, weights_only=True)
        for name, weight in drafter.weights.items():
            weight.data.copy_(saved["weights"][name])
        optimiser.load(saved["optimiser"])
        step, best = saved["step"], saved["best"]
        say(f"goes on at step {step}")
    drafter.quantise = quantised
    parts = [test.lessons(range(start, min(start + 32, len(test)))) for start in range(0, min(len(test), 192), 32)]
    began, done, losses = time.monotonic(), 0, []
    for batch in order(len(texts), settings.batch, settings.seed, step):
        if step >= steps:
            break
        losses.append(drafter.learn(texts.lessons(batch)))
        optimiser.step(share(step, steps))
        step, done = step + 1, done + 1
        if step % every and step < steps:
            continue
        scores = [drafter.score(part) for part in parts]
        count = max(1, sum(score.positions for score in scores))
        loss = sum(score.loss * score.positions for score in scores) / count
        agreement = sum(score.agreement * score.positions for score in scores) / count
        speed = done * settings.batch * parts[0].ids.shape[1] / (time.monotonic() - began)
        line = {
            "step": step, "loss": sum(losses) / len(losses), "held_out": loss, "agreement": agreement,
            "tokens": texts.tokens, "a_second": round(speed),
        }  # fmt: skip
        losses = []
        with (folder / "curve.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        say(" ".join(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in line.items()))
        weights = {name: weight.detach().cpu() for name, weight in drafter.weights.items()}
        if loss < best:
            best = loss
            torch.save(weights, folder / "best.part")
            (folder / "best.part").replace(folder / "best.pt")
        torch.save({"weights": weights, "optimiser": optimiser.state(), "step": step, "best": best}, folder / "last.part")
        (folder / "last.part").replace(last)
