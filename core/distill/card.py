"""The card of what the recipe made: where it is from, what it learnt from, how good it is, beside the file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..atomic import atomic_write
from ..headers.gguf import Header

SCHEMA = 1
TOLD = {"head": "EAGLE-3 draft head", "model": "small drafter"}
COLUMNS = {"held_out": "divergence", "agreement": "agreement", "acceptance": "acceptance"}


@dataclass(frozen=True)
class DistillDocument:
    """What was made. `curve`: a row a score, over held-out conversations: `step`, `loss` of the training, `held_out` KL
    divergence in nats, `agreement` at the first token of a draft and, of a head, `acceptance` of drafts of four."""

    kind: str
    expert: str
    file: str
    bytes: int
    sha256: str
    written_tokens: int
    prompts: int
    vocabulary: int
    steps: int
    curve: Sequence[Mapping[str, Any]]
    seconds: float
    card: str
    schema: int = SCHEMA

    @property
    def best(self) -> Mapping[str, Any]:
        """The score of the weights that were exported."""
        return min(self.curve, key=lambda row: float(row["held_out"]))

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def card_path(out: Path) -> Path:
    return out.with_suffix(".md")


def read_curve(run: Path) -> list[dict[str, Any]]:
    """The scores of a run, in order."""
    return [json.loads(line) for line in (run / "curve.jsonl").read_text().splitlines()]


def write_card(made: DistillDocument, expert: Header) -> None:
    atomic_write(Path(made.card), card(made, expert))


def card(made: DistillDocument, expert: Header) -> str:
    """The card as text."""
    licence = expert.get("general.license", str, "") or "the expert's"
    begun = f"{made.prompts:,} prompts that were given" if made.prompts else "requests of the recipe's own patterns"
    named = [name for name in COLUMNS if name in made.curve[0]]
    head = ["step", "training", *(COLUMNS[name] for name in named)]
    rows = [[str(row["step"]), f"{row['loss']:.3f}", *(f"{row[name]:.3f}" for name in named)] for row in made.curve]
    table = "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])
    best = made.best
    what = ", ".join(f"{COLUMNS[name]} {best[name]:.3f}" for name in named)
    return f"""# {Path(made.file).name}

A {TOLD[made.kind]} for {made.expert}, made by speccas {version("speccas")}. Licence: {licence}.

- {made.bytes:,} bytes, SHA-256 {made.sha256}.
- It drafts {made.vocabulary:,} of the expert's tokens at most.
- Data: {made.written_tokens:,} tokens of conversations that the expert wrote, begun with {begun}.
- Held out (every sixteenth wave of conversations, about other things): {what}.

The expert checks every draft, so with the rule `exact` the text is the expert's own. Alone the file writes nothing.

## Learning curve

Divergence (KL, nats) and agreement with the expert's likeliest token are of the first token of a draft, in answers at
temperature 0 that were held out; acceptance is accepted over judged of drafts of four tokens along these answers.

{table}
"""
