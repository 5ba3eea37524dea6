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
from speccas.core.decoding.arms import parse_arm
from speccas.core.decoding.events import Event
from speccas.core.files.profiles import find_profile
from speccas.core.runtime.backend import LoadOptions
from speccas.core.runtime.generate import Length, PromptRead, drain, generate, read_prompt
from speccas.core.runtime.pair import Pair, load_pair
from speccas.core.runtime.prompt import Prompt, prompt_of

TOKENS = 128


def seconds(pair: Pair, prompt: Prompt, sink: Callable[[Event], None] | None) -> float:
    """Wall clock of one answer, the view's time included."""
    drain(read_prompt(pair, prompt))
    began = time.perf_counter()
    for event in generate(pair, prompt, parse_arm("token"), length=Length(TOKENS, ignore_eos=True)):
        if sink is not None and not isinstance(event, PromptRead):
            sink(event)
    return time.perf_counter() - began


def main(repeats: int) -> None:
    with load_pair(find_profile("tiny"), LoadOptions(threads=1)) as pair:
        prompt = prompt_of(pair, [Message("user", "Write a short poem about the sea.")])
        seconds(pair, prompt, None)
        costs: dict[str, list[float]] = {"tokens": [], "columns": []}
        for i in range(repeats):
            for name, ratios in costs.items():
                console = Console(file=io.StringIO(), force_terminal=True, color_system="256", width=140, height=40)
                look = Look(console, live=True)
                with TokenView(look) if name == "tokens" else ColumnsView(look, ["token", "b"], time.monotonic) as view:
                    runs = [partial(seconds, pair, prompt, None), partial(seconds, pair, prompt, view)]
                    took = [run() for run in (runs if i % 2 else runs[::-1])]
                without, shown = took if i % 2 else took[::-1]
                ratios.append(shown / without)
        for name, ratios in costs.items():
            low, middle, high = statistics.quantiles(ratios, n=4)
            print(f"{name}: {middle - 1:+.1%} (quartiles {low - 1:+.1%} to {high - 1:+.1%}, {repeats} pairs)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 12)
