"""What this machine's calls cost, measured once and kept, and what was learned of drafts: the makings of `-k auto`.

Knows a loaded pair and a file of figures; not how drafting decides with them (core/decoding/length/policy.py).
"""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from ..atomic import read_json, update_json
from ..decoding.arms import Arm
from ..decoding.length.acceptance import AcceptanceModel, LookupStatistics
from ..decoding.length.auto import AutoPolicy
from ..decoding.length.constants import CONSTANTS
from ..decoding.length.latency import LatencyModel
from ..decoding.length.policy import FixedPolicy, Policy
from ..errors import RollbackRefused, Stopped
from ..runtime.pair import LoadedPair

QUICK = (1, 4)  # batch sizes that are measured at start-up; the run's own calls fill in the others
REPEATS = 2
FULL = (1, 2, 3, 4, 5, 6, 7, 8, 12, 16)  # what `doctor` and `tune` measure
FULL_REPEATS = 4
STEADY = 1.3  # spread of a size's two least times, above which something else is running
UNSTEADY = "times of the same call spread by {:.1f}x: something else is running, so these costs are not the machine's"


class Planner:
    """Makes the drafting of each arm: fixed, or auto with this machine's costs and this rule's chances.

    `path` is where they are kept between processes; None keeps them in memory.
    """

    def __init__(self, pair: LoadedPair, path: Path | None = None) -> None:
        self.pair = pair
        self.path = path
        self._kept: dict[str, Any] = read_json(path).get(self.key, {}) if path else {}
        self._chances = {name: AcceptanceModel.from_json(data) for name, data in self._kept.get("chances", {}).items()}
        self._rested = {name: float(seconds) for name, seconds in self._kept.get("rested", {}).items()}
        """By rule: seconds decoded without drafts since they were last tried."""
        self._autos: dict[str, AutoPolicy] = {}
        self._records: dict[str, LookupStatistics] = {}
        self._costs: LatencyModel | None = None
        if "seen" in self._kept:
            seen = {int(n): float(seconds) for n, seconds in self._kept["seen"].items()}
            bulk = float(self._kept.get("bulk", math.inf))
            self._costs = LatencyModel(seen, float(self._kept["step"]), float(self._kept["catch_up"]), bulk)

    @property
    def key(self) -> str:
        """What the figures hold for: both files, threads, layers and this build of llama.cpp."""
        parts = [f"llama-cpp-python {version('llama-cpp-python')}", f"threads {self.pair.expert.threads}"]
        settings = self.pair.settings
        parts.append(f"layers {settings.gpu_layers} {settings.drafter_gpu_layers}")
        for path, header in self.pair.files.values():
            parts.append(f"{path.name} {header.file_bytes} {path.stat().st_mtime_ns}")
        return " | ".join(parts)

    def drafting(self, arm: Arm) -> Policy:
        """The drafting of the next answer. Call it when both caches hold the prompt: what is not known yet is measured
        there, in a fraction of a second, and taken back."""
        k, lookup = self.pair.settings.draft_tokens, self.pair.settings.lookup
        name = self._name(arm)
        self._records[name] = self._records.get(name, LookupStatistics()).faded(CONSTANTS.remembered_drafts)
        if k != "auto" or arm.rule is None:
            return FixedPolicy(
                CONSTANTS.longest_draft if k == "auto" else int(k), self._records[name] if lookup == "on" else None
            )
        if self._costs is None:
            self._costs = measure(self.pair, QUICK, REPEATS)
        self._costs.learn_prefill(self.pair.expert.bulk)
        self._chances[name] = self._chances.get(name, AcceptanceModel()).faded(CONSTANTS.remembered_drafts)
        self._autos[name] = self._auto(name, self._costs, self._records[name])
        return self._autos[name]

    def reads(self, arm: Arm) -> bool:
        """Whether the drafter had best read the prompt with the expert: not where `auto` would leave it off, and not
        for the expert alone."""
        if self.pair.settings.draft_tokens != "auto" or arm.rule is None:
            return not arm.reference
        name = self._name(arm)
        known = self._costs is not None and name in self._chances
        return self._costs is None or not known or self._auto(name, self._costs, LookupStatistics()).would_draft

    def _auto(self, name: str, costs: LatencyModel, record: LookupStatistics) -> AutoPolicy:
        lookup, before = self.pair.settings.lookup, self._autos.get(name)
        chances = self._chances[name]
        rested = before.idle_seconds if before else self._rested.get(name)
        return AutoPolicy(
            latency=costs,
            acceptance=chances,
            idle_seconds=rested if chances.known else None,
            lookup=None if lookup == "off" else record,
            lookup_always=lookup == "on",
            unread=self.pair.drafter.behind,
        )

    def _name(self, arm: Arm) -> str:
        return f"{arm.name} {'greedy' if self.pair.settings.temperature == 0 else 'sampled'}"

    def adopt(self, costs: LatencyModel) -> None:
        """Decide with these costs from the next answer on: they were measured in full."""
        costs.learn_prefill(self.pair.expert.bulk)
        self._costs = costs

    def save(self) -> None:
        """Keep what was measured and learned. A file that cannot be written is no reason to fail an answer."""
        if self.path is None or self._costs is None:
            return
        costs = self._costs
        figures = {
            "seen": {str(n): seconds for n, seconds in sorted(costs.seen.items())},
            "step": costs.step,
            "catch_up": costs.catch_up,
            **({} if math.isinf(costs.prefill_token) else {"bulk": costs.prefill_token}),
            "chances": {name: chances.as_json() for name, chances in self._chances.items()},
            "rested": {**self._rested, **{name: auto.idle_seconds for name, auto in self._autos.items()}},
        }
        with suppress(OSError):
            update_json(self.path, lambda curves: curves.update({self.key: figures}))


def measure(pair: LoadedPair, sizes: Sequence[int], repeats: int) -> LatencyModel:
    """Seconds of expert calls of these sizes and of a drafter step, the least of `repeats`, on the caches as they are;
    they are as they were afterwards. Sizes for which the context has no room are left out."""
    return of_times(*times(pair, sizes, repeats))


Times = dict[int, list[float]]


def times(pair: LoadedPair, sizes: Sequence[int], repeats: int) -> tuple[Times, list[float]]:
    """Seconds of each expert call and of each drafter step, size after size and then all again: what disturbs the
    machine for a moment does not meet all calls of one size."""
    expert, small = pair.expert, pair.small
    token = pair.held[-1] if pair.held else 0
    own = [small_token(pair)]
    room = min(expert.max_rows, expert.context - len(expert))
    seen: Times = {n: [] for n in sizes if n <= room}
    steps: list[float] = []
    for _ in range(repeats):
        for n, seconds in seen.items():
            seconds.append(timed(expert, [token] * n, n))
        if len(small) < small.context:
            steps.append(timed(small, own, 1))
    return seen, steps


def of_times(seen: Times, steps: Sequence[float]) -> LatencyModel:
    """The least of each."""
    step = min(steps, default=0.0)
    return LatencyModel(
        {n: min(seconds) for n, seconds in seen.items()} or {1: 10 * step or 1.0}, step, CONSTANTS.catch_up_share * step
    )


@dataclass(frozen=True, slots=True)
class Curve:
    """A whole curve, and by how much its times spread: the largest ratio of a size's second-least time to its least."""

    costs: LatencyModel
    spread: float

    @property
    def steady(self) -> bool:
        return self.spread <= STEADY


def measure_full(pair: LoadedPair) -> Curve:
    """The whole curve, behind what the caches hold. Takes as long as a few hundred tokens of the expert alone."""
    seen, steps = times(pair, FULL, FULL_REPEATS)
    return Curve(of_times(seen, steps), spread(seen))


def spread(seen: Times) -> float:
    return max((sorted(seconds)[1] / min(seconds) for seconds in seen.values() if len(seconds) > 1), default=1.0)


def alone_speed(pair: LoadedPair, steps: int) -> float:
    """Tokens a second of the expert alone, by single steps behind what its cache holds, taken back afterwards; 0 where
    it cannot be measured, for want of room or because it was stopped."""
    expert = pair.expert
    length, before = len(expert), expert.seconds
    steps = min(steps, pair.context - length)
    spent = 0.0
    with suppress(Stopped):
        for _ in range(steps):
            expert.extend([pair.held[-1]])
        spent = expert.seconds - before
    try:
        expert.truncate(length)
    except RollbackRefused:  # a recurrent expert goes back to the beginning or not at all
        expert.truncate(0)
    return steps / spent if spent > 0 else 0.0


def timed(model: Any, ids: Sequence[int], rows: int) -> float:
    """Seconds of one extend, taken back."""
    length, before = len(model), model.seconds
    model.extend(ids, rows)
    spent = float(model.seconds - before)
    model.truncate(length)
    return spent


def small_token(pair: LoadedPair) -> int:
    """Some token of the drafter's own vocabulary."""
    return int(pair.vocabulary.spell(pair.held[-1])[-1]) if pair.held else 0


def curves_file() -> Path:
    return user_cache_path("speccas") / "curves.json"
