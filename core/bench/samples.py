"""One line of samples.jsonl: an arm that answered a prompt once, and the file of them.

Each line is written and flushed when its answer is done, so a run that is killed loses at most the answer it was at.
A torn last line is dropped and played again; any other bad line is an error.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from ..atomic import atomic_write, take_lock
from ..decoding.arms import REFERENCE
from ..errors import IntegrityError, UsageError
from ..record.metrics import Figures, first_difference, given_of

Key = tuple[str, int, str, str]
"""Prompt, repeat, arm as typed, k."""


@dataclass(frozen=True, slots=True)
class Sample:
    """An arm's figures on one prompt in one repeat, in the public shape (docs/json.md)."""

    figures: Figures
    prompt_id: str
    group: str
    repeat: int
    order: int
    """Place of this arm in its block: 0 was played first."""
    k: int | str | None
    min_p: float | None
    """Where the arm's own filter differs from the run's; `top_k` and `margin` likewise."""
    ids: tuple[int, ...]
    """The answer's tokens, in the expert's ids."""
    gaps: tuple[float | None, ...] | None
    """Distance of the expert's two best logits at each token; only the expert alone at temperature 0."""
    round_ends_ms: tuple[float, ...]
    round_tokens: tuple[int, ...]
    score: float | None
    scorer: str | None
    peak_memory_bytes: int | None
    """Of the process, until now."""
    load_seconds: float
    """What loading both models took in the process that made this sample."""
    top_k: float | None = None
    margin: float | None = None

    @property
    def key(self) -> Key:
        return self.prompt_id, self.repeat, self.figures.name, str(self.k)

    @property
    def label(self) -> str:
        """The arm in tables: the k is part of it where the run has several."""
        return self.figures.name if self.k is None else f"{self.figures.name} k={self.k}"

    def as_json(self) -> dict[str, Any]:
        own = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "figures"}
        return {**self.figures.as_json(), **own}

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> "Sample":
        """Raises KeyError or TypeError for a line that is no sample."""
        figures = Figures.from_json(line)
        own = given_of(cls, {**line, "figures": figures})
        for name in ("ids", "round_ends_ms", "round_tokens"):
            own[name] = tuple(own[name])
        own["gaps"] = None if own["gaps"] is None else tuple(own["gaps"])
        return cls(**own)


def read_samples(path: Path) -> tuple[list[Sample], int]:
    """The samples of a file, and how many of its bytes they take: what is behind is torn. Raises IntegrityError."""
    samples: list[Sample] = []
    seen: set[Key] = set()
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    for number, line in enumerate(data[:whole].split(b"\n")[:-1], 1):
        try:
            sample = Sample.from_json(json.loads(line))
            if sample.key in seen:
                raise ValueError("this sample stands there twice")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            what = f"{type(error).__name__}: {str(error)[:80]}"
            raise IntegrityError(
                f"{path}, line {number} is no sample ({what})", "mend the line, or start anew in another directory"
            ) from None
        seen.add(sample.key)
        samples.append(sample)
    return samples, whole


class RunExists(UsageError):
    """The directory holds samples of a run that is not to go on."""


class SampleFile:
    """samples.jsonl while a run writes it: what it holds already, and one more line at a time."""

    def __init__(self, path: Path, resume: bool, anew: bool = False) -> None:
        """`resume` what it holds, or begin `anew` without it. Raises RunExists where neither was said, and UsageError
        where another process writes here."""
        self.path = path
        if path.exists() and path.stat().st_size and not (resume or anew):
            raise RunExists(f"{path.parent} holds a run already")
        try:
            self.file = path.open("ab")
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}", "give a directory of yours") from None
        if not take_lock(self.file, wait=False):
            self.file.close()
            raise UsageError(f"another speccas bench writes to {path.parent}", "wait for it, or give another directory")
        if anew:
            self.file.truncate(0)
        try:
            self.samples, whole = read_samples(path)
        except IntegrityError:
            self.file.close()
            raise
        self.file.truncate(whole)

    def __enter__(self) -> "SampleFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()

    def add(self, sample: Sample) -> None:
        self.file.write(line(sample))
        self.file.flush()
        self.samples.append(sample)

    def complete(self) -> None:
        """Put what needs the expert's answer of the same block into every line: an arm may be played before it."""
        self.samples = compared(self.samples)
        atomic_write(self.path, b"".join(map(line, self.samples)))


def line(sample: Sample) -> bytes:
    return json.dumps(sample.as_json(), ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def compared(samples: Sequence[Sample]) -> list[Sample]:
    """The samples with speed-up, and at temperature 0 the first difference, against the expert in the same block."""
    experts = {(s.prompt_id, s.repeat): s for s in samples if s.figures.name == REFERENCE}
    return [
        replace(s, figures=against(s, experts[s.prompt_id, s.repeat])) if (s.prompt_id, s.repeat) in experts else s
        for s in samples
    ]


def against(sample: Sample, expert: Sample) -> Figures:
    own, other = sample.figures, expert.figures
    speedup = None
    if own.tokens_per_second and other.tokens_per_second:
        speedup = own.tokens_per_second / other.tokens_per_second
    if expert.gaps is None:  # sampled: another text is no difference of the method
        return replace(own, speedup=speedup)
    if sample.ids == expert.ids:
        return replace(own, speedup=speedup, identical_to_expert=True)
    first = first_difference(sample.ids, expert.ids)
    gap = expert.gaps[first] if first < len(expert.gaps) else None
    return replace(own, speedup=speedup, identical_to_expert=False, first_difference=first, first_difference_gap=gap)
