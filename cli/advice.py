"""Says on stderr, once, that a pair is tuned, or that a setting makes it slower. Never on stdout, never with --json.

Knows consoles; what there is to say is in core/tune/advice.py.
"""

from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console
from rich.text import Text

from speccas.core.calibration.calibrate import alone_speed
from speccas.core.record.manifest import machine_of
from speccas.core.record.metrics import Figures
from speccas.core.runtime.pair import LoadedPair
from speccas.core.tune.advice import said_before, slower
from speccas.core.tune.store import tuned_of

from .view.safe import one_line

STEPS = 3  # single expert steps that one answer is held against


def tuned_lines(pair: LoadedPair) -> list[tuple[str, str]]:
    """(text, status) of what is to be said before an answer."""
    tuned = tuned_of(pair.pair)
    if tuned is None:
        return []
    notices, warnings = said_before(pair.settings, tuned, machine_of(pair))
    return [*((text, "quiet") for text in notices), *((f"warning: {text}", "warning") for text in warnings)]


def say_tuned(aside: Console, pair: LoadedPair) -> None:
    for text, status in tuned_lines(pair):
        say(aside, text, status)


def warn_slower(aside: Console, pair: LoadedPair, figures: Sequence[Figures]) -> None:
    """Figures with their speed-up; says nothing where none is slower."""
    text = slower(figures, pair.settings.draft_tokens, tuned_of(pair.pair))
    if text is not None:
        say(aside, f"warning: {text}", "warning")


def against_alone(pair: LoadedPair, figures: Figures) -> Figures:
    """The figures of one answer with its speed-up against single steps of the expert, measured behind it."""
    alone = alone_speed(pair, STEPS)
    own = figures.tokens_per_second
    return replace(figures, speedup=own / alone if own and alone else None)


def say(aside: Console, text: str, status: str) -> None:
    style = {"quiet": "dim", "warning": "yellow"}[status]
    aside.print(Text(one_line(text), style=style), soft_wrap=True)
