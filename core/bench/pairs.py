"""Samples paired with the expert alone's of the same block: ratios, agreement and totals, one value a prompt."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from statistics import fmean
from statistics import median as middle

from .samples import Sample


@dataclass(frozen=True, slots=True)
class PairedSample:
    """A sample and the expert alone's in the same block."""

    own: Sample
    expert: Sample


Value = Callable[[PairedSample], float | None]


def by_prompt(pairs: Iterable[PairedSample], value: Value) -> dict[str, float]:
    """Each prompt's median over repeats: prompts count once however often they were repeated."""
    found: dict[str, list[float]] = {}
    for pair in pairs:
        one = value(pair)
        if one is not None:
            found.setdefault(pair.own.prompt_id, []).append(one)
    return {prompt: middle(values) for prompt, values in found.items()}


def speed_ratio(pair: PairedSample) -> float | None:
    own, expert = pair.own.figures.tokens_per_second, pair.expert.figures.tokens_per_second
    return own / expert if own and expert else None


def time_ratio(pair: PairedSample) -> float | None:
    own, expert = pair.own.figures.seconds, pair.expert.figures.seconds
    return expert / own if own > 0 else None


def length_ratio(pair: PairedSample) -> float | None:
    return pair.own.figures.tokens / pair.expert.figures.tokens if pair.expert.figures.tokens else None


def gaps(sample: Sample) -> list[tuple[float, int]]:
    """Time between the ends of rounds, and how many tokens the later one brought. The first round's is in the time to
    first token."""
    ends = sample.round_ends_ms
    return [(b - a, n) for a, b, n in zip(ends, ends[1:], sample.round_tokens[1:], strict=False) if n]


def agreement(pair: PairedSample) -> float | None:
    """How much of the expert's own text this one is: 2 M / T over token ids."""
    if pair.own.ids == pair.expert.ids:
        return 1.0
    if not pair.own.ids:  # a peer that does not say its tokens
        return None
    return SequenceMatcher(None, pair.own.ids, pair.expert.ids, autojunk=False).ratio()


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts and times of an arm, added up over its samples; None where one of them does not apply."""

    pairs: Sequence[PairedSample]

    def sum(self, name: str) -> float | None:
        values = [getattr(pair.own.figures, name) for pair in self.pairs]
        return None if any(value is None for value in values) else sum(values)

    def over(self, above: float | None, below: float | None) -> float | None:
        return above / below if above is not None and below else None

    @property
    def acceptance(self) -> float | None:
        judged, deferred = self.sum("judged"), self.sum("deferred")
        return None if judged is None or deferred is None else self.over(judged - deferred, judged)

    @property
    def tokens_per_call(self) -> float | None:
        return self.over(self.sum("tokens"), self.sum("expert_calls"))

    @property
    def speedup_if_flat(self) -> float | None:
        """Tokens over what they would cost if every call of the expert cost one token's."""
        found = [(pair.own.figures.tokens, pair.own.figures.speedup_if_flat) for pair in self.pairs]
        costs = [tokens / flat for tokens, flat in found if flat]
        return self.over(self.sum("tokens"), sum(costs)) if costs and len(costs) == len(found) else None

    def share(self, name: str) -> float | None:
        return self.over(self.sum(name), self.sum("tokens"))

    def time(self, name: str) -> float | None:
        return self.over(self.sum(name), self.sum("seconds"))


def by_prompt_mean(pairs: Iterable[PairedSample], value: Value) -> dict[str, float]:
    """As `by_prompt`, with the mean: sampled answers are right in some repeats and wrong in others."""
    found: dict[str, list[float]] = {}
    for pair in pairs:
        one = value(pair)
        if one is not None:
            found.setdefault(pair.own.prompt_id, []).append(one)
    return {prompt: fmean(values) for prompt, values in found.items()}


def median_of(values: Iterable[float]) -> float | None:
    found = list(values)
    return middle(found) if found else None


def mean_of(values: Iterable[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return fmean(found) if found else None
