"""What an expert on a worker costs, beside the same one here, and what drafting gives over slow lines: measured, and as
the arithmetic has it. Needs an environment of scripts/rpc_venv.sh, a machine that is quiet, and the tests' builders:

    OMP_THREAD_LIMIT=1 PYTHONPATH=. .venv-rpc/bin/python scripts/rpc_cost.py [DRAFTER.gguf EXPERT.gguf]
"""

import statistics
import sys
from dataclasses import replace

from speccas.core.calibration.calibrate import of_times, times
from speccas.core.calibration.elsewhere import Elsewhere
from speccas.core.decoding.arms import parse_arm
from speccas.core.files.profiles import Profile, find_profile
from speccas.core.files.source import Source
from speccas.core.record.metrics import Figures, Fold
from speccas.core.runtime.backend import LoadOptions
from speccas.core.runtime.generate import FixedDrafting, Length, PromptRead, generate
from speccas.core.runtime.pair import Pair, load_pair
from tests.builders.loaded import asked, prefill
from tests.builders.slow_link import MEGABIT, SlowLink, slow_link
from tests.builders.workers import worker

SIZES = (1, 2, 4, 5, 8)
TRIPS = (0.001, 0.020, 0.080)
REPEATS, TOKENS = 5, 32
QUESTION = "Write a function in Python that counts how often each word stands in a text."
RATE = 50 * MEGABIT


def answer(pair: Pair, arm: str, k: int) -> Figures:
    fold, length = Fold(), Length(TOKENS, ignore_eos=True)
    for event in generate(pair, asked(pair, QUESTION), parse_arm(arm), length=length, drafting=FixedDrafting(k)):
        if not isinstance(event, PromptRead):
            fold(event)
    return fold.figures()


def row(*cells: object) -> None:
    print("| " + " | ".join(str(each) for each in cells) + " |", flush=True)


def ms(seconds: float) -> str:
    return f"{1e3 * seconds:.1f}"


def curve(pair: Pair, name: str) -> None:
    prefill(pair, asked(pair, QUESTION))
    seen, steps = times(pair, SIZES, REPEATS)
    row(name, *(ms(statistics.median(seen[n])) for n in SIZES), ms(statistics.median(steps)))


def over_lines(pair: Pair, link: SlowLink) -> None:
    """Tokens a second without drafts and with four, measured and computed."""
    for trip in TRIPS:
        link.trip, link.rate = trip, RATE
        prefill(pair, asked(pair, QUESTION))
        costs = of_times(*times(pair, (1, 5), 2))
        away = Elsewhere.measured(costs, trip)
        alone, drafted = answer(pair, "expert", 4), answer(pair, "exact", 4)
        link.trip, link.rate = 0.0, None
        gain = (drafted.tokens_per_second or 0) / (alone.tokens_per_second or 1)
        per_round = drafted.tokens / (drafted.expert_calls or 1)
        computed = per_round * away.alone / away.round(4)
        row(f"{1e3 * trip:.0f} ms", f"{alone.tokens_per_second:.1f}", f"{drafted.tokens_per_second:.1f}",
            f"{per_round:.2f}", f"{gain:.2f}", f"{computed:.2f}")  # fmt: skip


def main() -> None:
    profile = find_profile("tiny-model")
    if len(sys.argv) == 3:
        profile = Profile("given", Source(path=sys.argv[1]), Source(path=sys.argv[2]))
    options = LoadOptions(threads=1, ctx=1024)
    row("ms", *(f"{n} tokens" for n in SIZES), "a drafter's step")
    with load_pair(profile, options) as here:
        curve(here, "here")
    with worker() as own, slow_link(own.address) as link:
        expert = profile.expert
        with load_pair(replace(profile, expert=replace(expert, rpc=own.address)), options) as there:
            curve(there, "on a worker, loopback")
        own.idle()
        away = replace(expert, rpc=own.address, rpc_output="here")
        with load_pair(replace(profile, expert=away), options) as there:
            curve(there, "on a worker, its output here")
        own.idle()
        for output in ("there", "here"):
            print(f"\nover a line of 50 Mb/s, the output {output}")
            row("trip", "tokens/s alone", "with 4 drafted", "tokens a round", "measured", "computed")
            away = replace(expert, rpc=link.address, rpc_output=output)
            with load_pair(replace(profile, expert=away), options) as there:
                over_lines(there, link)
            own.idle()


if __name__ == "__main__":
    main()
