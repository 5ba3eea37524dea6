"""The automatic draft length of a pair on this machine: what calls cost here and how often drafts are accepted, kept
between runs."""

import math
from collections.abc import Mapping
from contextlib import suppress
from copy import deepcopy
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
from ..decoding.sampling import Sampling
from ..runtime.generate import Drafting, FixedDrafting, Plan, lookups
from ..runtime.pair import Pair
from .calibrate import QUICK, REPEATS, measure


@dataclass(frozen=True, slots=True)
class Wanted:
    """How much to draft, as a user says it. `k`: 1 to 16 tokens, or "auto": as many as pay. `lookup`: "auto" (with
    `k` auto, where it pays), "on" (wherever the text repeats) or "off"."""

    k: int | str = "auto"
    lookup: str = "auto"


FEWEST_JUDGED = 16
"""Drafted tokens from which on a share of them says something."""
MEASURED = "measured"
"""What acceptance that no arm learned is kept by."""


class Planner:
    """Plans the drafts of each answer on one pair. `path` is where figures are kept; None keeps them in memory."""

    def __init__(self, pair: Pair, path: Path | None = None) -> None:
        self.pair = pair
        self.path = path
        kept = read_json(path).get(key_of(pair), {}) if path else {}
        self.latency = latency_from(kept)
        self.acceptance = {name: AcceptanceModel.from_json(data) for name, data in kept.get("chances", {}).items()}
        """By arm and kind of sampling."""
        self.balances = {name: float(steps) for name, steps in kept.get("hope", {}).items()}
        """Expert steps that hope may still cost, as earlier processes left them."""
        self.policies: dict[str, AutoPolicy] = {}
        self.lookups: dict[str, LookupStatistics] = {}

    def drafting(self, wanted: Wanted) -> Drafting:
        """How to draft, for `generate`."""
        if wanted.k == "auto":
            return AutoDrafting(self, wanted.lookup)
        return FixedDrafting(int(wanted.k), wanted.lookup == "on")

    def adopt(self, latency: LatencyModel) -> None:
        """Plan with these latencies from the next answer on: they were measured in full, and stay as they are."""
        self.latency = deepcopy(latency)
        self.latency.learn_prefill(self.pair.expert.prefill_token)

    def note_agreement(self, share: float, positions: int) -> None:
        """So much of what the drafter proposes is what the expert writes, as it was measured."""
        self.acceptance[MEASURED] = AcceptanceModel.measured(share, positions).faded(CONSTANTS.borrowed_drafts)

    def acceptance_of(self, name: str) -> AcceptanceModel:
        """What is known of an arm's acceptance. One that never drafted borrows from what was measured, else from
        another arm, `exact` first: every rule accepts what it does, and more."""
        if name in self.acceptance:
            return self.acceptance[name]
        others = sorted(self.acceptance, key=lambda each: (each != MEASURED, not each.startswith("exact "), each))
        lent = self.acceptance[others[0]] if others else AcceptanceModel()
        return lent.faded(CONSTANTS.borrowed_drafts)

    def known_acceptance(self, name: str = "") -> float | None:
        """The share of drafted tokens that was accepted, in an arm's answers, or of those that `acceptance_of` falls
        back to; None where too few were judged."""
        counts = self.acceptance_of(name)
        judged = sum(counts.followed)
        return sum(counts.follows) / judged if judged >= FEWEST_JUDGED else None

    def save(self) -> None:
        """Keep what was measured and learned. A file that cannot be written is no reason to fail an answer."""
        if self.path is None:
            return
        figures = {
            **({} if self.latency is None else costs_as_json(self.latency)),
            "chances": {name: each.as_json() for name, each in self.acceptance.items()},
            "hope": {**self.balances, **{name: each.balance for name, each in self.policies.items()}},
        }
        with suppress(OSError):
            update_json(self.path, lambda curves: curves.update({key_of(self.pair): figures}))


@dataclass(frozen=True, slots=True)
class AutoDrafting:
    """As many tokens as pay, by the planner's latencies and acceptance; `lookup` as in `Wanted`."""

    planner: Planner
    lookup: str = "auto"

    def reads_prompt(self, pair: Pair, arm: Arm, sampling: Sampling) -> bool:
        """Not where drafts would be left off at once: reading the prompt would be for nothing."""
        if arm.rule is None:
            return "drafter" in arm.models
        planner, name = self.planner, name_of(arm, sampling)
        if planner.latency is None or name not in planner.acceptance:
            return True
        return self._policy(planner.latency, name, LookupStatistics(), careful(arm, sampling)).would_draft

    def plan(self, pair: Pair, arm: Arm, sampling: Sampling) -> Plan:
        """What is not known yet is measured here, in a fraction of a second, and taken back."""
        planner, name = self.planner, name_of(arm, sampling)
        if arm.rule is None:
            return FixedDrafting().plan(pair, arm, sampling)
        if planner.latency is None:
            planner.latency = measure(pair, QUICK, REPEATS)
        planner.latency.learn_prefill(pair.expert.prefill_token)
        planner.acceptance[name] = planner.acceptance_of(name).faded(CONSTANTS.remembered_drafts)
        statistics = planner.lookups[name] = planner.lookups.get(name, LookupStatistics()).faded(
            CONSTANTS.remembered_matches
        )
        policy = planner.policies[name] = self._policy(planner.latency, name, statistics, careful(arm, sampling))
        return policy, [*lookups(policy.lookup), pair.drafts]

    def _policy(self, latency: LatencyModel, name: str, statistics: LookupStatistics, careful: bool) -> AutoPolicy:
        planner = self.planner
        before = planner.policies.get(name)
        return AutoPolicy(
            latency=latency,
            acceptance=planner.acceptance[name],
            balance=before.balance if before else planner.balances.get(name),
            lookup=None if self.lookup == "off" else statistics,
            lookup_always=self.lookup == "on",
            unread=planner.pair.drafts.unread,
            careful=careful,
        )


def careful(arm: Arm, sampling: Sampling) -> bool:
    """Whether what is drafted decides what is written, with chance that later drafts share."""
    chance = not sampling.greedy and sampling.test == "coupled"
    return chance and arm.rule is not None and not arm.rule.lossless(sampling)


def name_of(arm: Arm, sampling: Sampling) -> str:
    """What acceptance is kept by: greedy drafts and sampled ones are accepted differently, and so are those that repeat
    nothing."""
    within = "" if sampling.budget is None or arm.lossless() else f" within {sampling.budget:g} nats"
    return f"{arm.name} {'greedy' if sampling.greedy else 'sampled'}{' penalised' * sampling.penalty.on}{within}"


def key_of(pair: Pair) -> str:
    """What the figures hold for: both files, threads, layers, workers and this build of llama.cpp."""
    parts = [f"llama-cpp-python {version('llama-cpp-python')}", f"threads {pair.expert.threads}"]
    parts.append(f"layers {pair.options.gpu_layers} {pair.options.drafter_gpu_layers}")
    for file in pair.files.values():
        if file.server is not None:
            parts.append(f"{file.server} {file.server.name}")
            continue
        parts.append(f"{file.path.name} {file.header.file_bytes} {file.modified_ns}{' inside' * file.inside}")
        if file.workers:
            parts.append(f"rpc {','.join(file.workers)}{' output here' * file.output_here}")
    return " | ".join(parts)


def costs_as_json(latency: LatencyModel) -> dict[str, Any]:
    return {
        "seen": {str(n): seconds for n, seconds in sorted(latency.seen.items())},
        "step": latency.step,
        "catch_up": latency.catch_up,
        **({} if math.isinf(latency.prefill_token) else {"bulk": latency.prefill_token}),
    }


def latency_from(kept: Mapping[str, Any]) -> LatencyModel | None:
    """What an earlier process measured; None where it measured nothing."""
    if "seen" not in kept:
        return None
    return LatencyModel(
        seen={int(n): float(seconds) for n, seconds in kept["seen"].items()},
        step=float(kept["step"]),
        catch_up=float(kept["catch_up"]),
        prefill_token=float(kept.get("bulk", math.inf)),
    )


def curves_file() -> Path:
    return user_cache_path("speccas") / "curves.json"
