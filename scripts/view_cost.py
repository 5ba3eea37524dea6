"""What the view costs: the tiny pair's answers with it and without, interleaved. Not a test: times are noisy.

python scripts/view_cost.py [PAIRS]; run it alone on a machine. Prints the median ratio of speeds and its spread.
"""

import io
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

from rich.console import Console

from speccas.cli.view.columns import ColumnsView
from speccas.cli.view.theme import Look
from speccas.cli.view.tokens import TokenView
from speccas.core.conversation.template import Message
from speccas.core.decoding.answer import Request
from speccas.core.decoding.arms import parse_arm, play
from speccas.core.decoding.events import Event, Finished
from speccas.core.decoding.length.policy import FixedPolicy
from speccas.core.decoding.sampling import Sampling
from speccas.core.runtime.pair import LoadedPair, chosen_pair
from speccas.core.settings import Settings

TOKENS = 128


def seconds(pair: LoadedPair, ids: list[int], sink: Callable[[Event], None] | None) -> float:
    """Wall clock of one answer, the view's time included."""
    for _ in pair.prefill(ids):
        pass
    request = Request(tuple(ids), Sampling(0.0), TOKENS, pair.context, ignore_eos=True)
    events = play(
        parse_arm("token"), FixedPolicy(4), pair.expert, pair.drafter, request, pair.lexicon, time.perf_counter
    )
    pair.held = list(ids)
    began = time.perf_counter()
    for event in events:
        if sink is not None:
            sink(event)
        if isinstance(event, Finished):
            break
    spent = time.perf_counter() - began
    pair.expert.truncate(len(ids) - 1)
    return spent


def main(repeats: int) -> None:
    chosen = Settings(threads=1)
    with LoadedPair(chosen_pair(chosen), chosen) as pair:
        ids = pair.prompt_ids([Message("user", "Write a short poem about the sea.")])
        seconds(pair, ids, None)
        costs: dict[str, list[float]] = {"tokens": [], "columns": []}
        for i in range(repeats):
            for name, ratios in costs.items():
                console = Console(file=io.StringIO(), force_terminal=True, color_system="256", width=140, height=40)
                look = Look(console, live=True)
                with TokenView(look) if name == "tokens" else ColumnsView(look, ["token", "b"], time.monotonic) as view:
                    runs = [partial(seconds, pair, ids, None), partial(seconds, pair, ids, view)]
                    took = [run() for run in (runs if i % 2 else runs[::-1])]
                without, shown = took if i % 2 else took[::-1]
                ratios.append(shown / without)
        for name, ratios in costs.items():
            low, middle, high = statistics.quantiles(ratios, n=4)
            print(f"{name}: {middle - 1:+.1%} (quartiles {low - 1:+.1%} to {high - 1:+.1%}, {repeats} pairs)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 12)
