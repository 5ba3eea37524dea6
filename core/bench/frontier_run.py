"""A run that is to find the frontier: every alpha on the first prompts, those that none beats on all of them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..decoding.length.latency import LatencyModel
from ..errors import IntegrityError, UsageError
from .frontier import FIRST, StatedMachine, undominated
from .protocol import Bench, Progress
from .samples import SampleFile


def run_frontier(
    bench: Bench, file: SampleFile, machine: StatedMachine, tell: Callable[[Progress], None] = lambda _: None
) -> None:
    """Play what the file does not hold yet; which alphas go on depends on samples alone, so a run that was stopped goes
    on where it was. Raises Stopped."""
    items, plan = bench.items, bench.plan
    first = [item.id for item, _ in bench.prompts()][:FIRST]
    bench.items = [item for item in items if item.id in first]
    rest = (len(items) - len(first)) * plan.repeats * len(plan.arms)  # at most
    bench.run(file, lambda step: tell(replace(step, total=step.total + rest)))
    going = undominated(file.samples, first, machine)
    bench.items, bench.plan = items, replace(plan, arms=tuple(arm for arm in plan.arms if arm.name in going))
    gone = sum(each.figures.name not in going for each in file.samples)
    bench.run(file, lambda step: tell(replace(step, done=step.done - gone)))


def read_machine(path: Path) -> StatedMachine:
    """A machine as `doctor --curve --json` describes it. Raises UsageError, IntegrityError."""
    try:
        data = json.loads(path.read_bytes())
        curve = data.get("curve") or data
        seen = {int(n): float(seconds) for n, seconds in curve["seconds"].items()}
        costs = LatencyModel(seen, float(curve["drafter_step"]))
        name = f"the machine of {path.name} ({data.get('machine', {}).get('processor') or 'unnamed'})"
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", "check the path") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"{type(error).__name__}: {str(error)[:80]}"
        hint = "give the whole document that the doctor of that machine wrote"
        raise IntegrityError(f"{path} describes no machine ({what})", hint) from None
    if 1 not in seen or min(seen.values()) <= 0 or costs.step < 0:
        raise IntegrityError(f"{path} describes no machine: what a token costs is missing", "make it anew")
    return StatedMachine(name, costs)
