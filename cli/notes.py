"""Says on stderr, once, what became of what was said: no chat template, no place for a system message, an empty answer.

Never on stdout, never with -q or --json.
"""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from speccas.core.decoding.events import Finish
from speccas.core.headers.architecture import trained_context
from speccas.core.headers.check import swapped, times_as_large
from speccas.core.optimize.store import made_elsewhere
from speccas.core.record.metrics import Figures
from speccas.core.runtime.backend import ROLES
from speccas.core.runtime.pair import Pair
from speccas.core.runtime.prompt import folds_system

from .view.safe import one_line
from .view.theme import STYLES


def prompt_notes(pair: Pair, system: str, raw: bool) -> list[str]:
    """What is to be known of how this pair is sent a prompt. Errors as `said.say`."""
    if raw:
        return []
    if not pair.template:
        return [f"{pair.files['expert'].path.name} has no chat template: the prompt is sent as it is"]
    if system and folds_system(pair):
        return ["the chat template has no place for a system message: it stands at the head of the first message"]
    return []


def load_notes(pair: Pair) -> list[str]:
    """What is to be known of a pair as it was loaded: models that are the wrong way round, or that read on behind what
    they were trained for."""
    drafter, expert = (pair.files[role] for role in ROLES)
    notes = []
    if pair.probe is None:  # a server does not say how large its model is
        notes = swapped(times_as_large(drafter.header, expert.header, (drafter.bytes, expert.bytes)))
    for role, file in pair.files.items():
        trained = trained_context(file.header)
        if pair.context > trained:
            what = f"the {role} was trained for {trained:,} tokens, and the context has {pair.context:,}"
            notes.append(f"{what}: behind those it may write nonsense")
    return notes


def empty_notes(arms: Sequence[Figures]) -> list[str]:
    """Of answers that hold no text, why."""
    reasons: dict[str, list[str]] = {}
    for arm in arms:
        if not arm.text.strip() and arm.finish != Finish.INTERRUPTED:
            why = "the stop text came first" if arm.finish == Finish.STOP else "the model wrote nothing but its end"
            reasons.setdefault(why if arm.finish != Finish.LENGTH else "it holds white space only", []).append(arm.name)
    if len(arms) == 1:
        return [f"the answer is empty: {why}" for why in reasons]
    return [f"the answer of {', '.join(names)} is empty: {why}" for why, names in reasons.items()]


def made_notes(pair: Pair) -> list[str]:
    """What is to be known of files that were made for another machine."""
    told = made_elsewhere(pair.profile)
    return [] if told is None else [told]


def say_notes(aside: Console, notes: Sequence[str]) -> None:
    for note in notes:
        aside.print(Text(f"note: {one_line(note)}", style=STYLES["warning"]), soft_wrap=True)
