"""Some answers of a run, arm beside arm, for a person who wants to see what the figures stand for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..decoding.arms import REFERENCE
from .samples import Sample

MOST = 6
"""Prompts that are shown: the first of each group, in turn."""


@dataclass(frozen=True, slots=True)
class ShownAnswer:
    """What one arm answered."""

    label: str
    text: str
    figures: str
    same: bool
    """Whether it is the expert's own, token for token."""


@dataclass(frozen=True, slots=True)
class ShownPrompt:
    """A prompt and what each arm answered to it. `prompt`: its text, where it is known."""

    id: str
    group: str
    prompt: str
    answers: tuple[ShownAnswer, ...]


def shown(samples: Sequence[Sample], prompts: Mapping[str, str]) -> tuple[ShownPrompt, ...]:
    """Answers of the first repeat, to prompts of every group. `prompts`: their texts by id."""
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        if sample.repeat == 0:
            found.setdefault(sample.prompt_id, []).append(sample)
    several = len({sample.k for sample in samples if sample.k is not None}) > 1
    return tuple(
        ShownPrompt(id, found[id][0].group, prompts.get(id, ""), answers(found[id], several))
        for id in in_turn({id: own[0].group for id, own in found.items()})[:MOST]
    )


def in_turn(groups: Mapping[str, str]) -> list[str]:
    """Prompts, one of each group after another. `groups`: by prompt."""
    queues: dict[str, list[str]] = {}
    for id, group in groups.items():
        queues.setdefault(group, []).append(id)
    longest = max(map(len, queues.values()), default=0)
    return [queue[i] for i in range(longest) for queue in queues.values() if i < len(queue)]


def answers(samples: Sequence[Sample], several: bool) -> tuple[ShownAnswer, ...]:
    """One prompt's answers, the expert's first. `several`: the run has more than one draft length, which names then
    tell."""
    expert = next((sample for sample in samples if sample.figures.name == REFERENCE), None)
    ordered = sorted(samples, key=lambda sample: (sample is not expert, sample.label))
    return tuple(
        ShownAnswer(
            sample.label if several else sample.figures.name,
            sample.figures.text,
            figures(sample),
            expert is not None and sample.ids == expert.ids,
        )
        for sample in ordered
    )


def figures(sample: Sample) -> str:
    """Tokens, speed-up, and the score where the prompt has one."""
    own = sample.figures
    parts = [f"{own.tokens} tokens"]
    if own.speedup is not None and own.name != REFERENCE:
        parts.append(f"{own.speedup:.2f}x")
    if sample.score is not None:
        parts.append(f"{sample.scorer} {sample.score:.2g}")
    return " · ".join(parts)
