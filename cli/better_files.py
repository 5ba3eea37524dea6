"""Why a call of several tokens is dear with a pair's expert, in words, and what to type where another file of the same
model would be read cheaper.
"""

import shlex
from dataclasses import dataclass
from pathlib import Path

from speccas.core.calibration.ceiling import poor_scaling
from speccas.core.calibration.dear import DearCall, dear_call, dear_known
from speccas.core.decoding.length.latency import LatencyModel
from speccas.core.record.comparison import Comparison
from speccas.core.record.metrics import Figures
from speccas.core.record.verdict import ComparisonOutcome, call_of, verdict_of
from speccas.core.runtime.pair import Pair

from .view.verdict import word


@dataclass(frozen=True, slots=True)
class FilesAdvice:
    """`because`: what follows the cost of a call, empty where nothing is known. `command`: empty where none would
    help."""

    dear: DearCall
    because: str
    command: str

    @property
    def reason(self) -> str:
        """`a call of four costs 3.1 tokens because 29 of 339 tensors are Q6_K`."""
        return f"a call of {word(self.dear.tokens)} costs {self.dear.cost:.1f} tokens{self.because}"

    @property
    def hint(self) -> str:
        """What to type, as a clause; empty where nothing would help."""
        return f"`{self.command}` makes files that it reads cheaper" if self.command else ""

    @property
    def sentence(self) -> str:
        """Both, for a line of its own."""
        text = f"{self.reason[0].upper()}{self.reason[1:]}"
        return f"{text}: {self.hint}" if self.hint else text


def files_advice(pair: Pair, dear: DearCall | None) -> FilesAdvice | None:
    """What to say of a call that is dear; None where none is."""
    if dear is None:
        return None
    return FilesAdvice(dear, because(dear), command_for(pair) if dear.mendable else "")


def scaling_line(costs: LatencyModel, name: str, quant: str, better: FilesAdvice | None) -> str:
    """What a curve says against an expert's file: the most that drafts could win with it, and why; empty where nothing
    is to be said."""
    poor = poor_scaling(costs, name, quant)
    if better is None:
        return poor or ""
    return f"{poor}; {better.reason}" if poor else f"{name} ({quant}): {better.reason}"


def better_than(pair: Pair, compared: Comparison) -> FilesAdvice | None:
    """What to say of the calls of a comparison that nothing won."""
    found = verdict_of(compared)
    if found is None or found.call is None or found.outcome is not ComparisonOutcome.NOT_FASTER:
        return None
    return files_advice(pair, dear_call(pair, found.call.tokens, found.call.cost))


def better_after(pair: Pair, figures: Figures) -> FilesAdvice | None:
    """What to say of the calls of one answer, whose speed-up against the expert alone is known."""
    if not (figures.speedup and figures.tokens_per_second):
        return None
    call = call_of(figures, figures.speedup / figures.tokens_per_second)
    return None if call is None else files_advice(pair, dear_call(pair, call.tokens, call.cost))


def better_when_off(pair: Pair, figures: Figures, latency: LatencyModel | None) -> FilesAdvice | None:
    """What to say of an answer that was mostly written without drafts, since none paid; None unless something can be
    done about it."""
    if not figures.tokens or 2 * (figures.rounds_off or 0) < figures.tokens:
        return None
    found = files_advice(pair, dear_known(pair, latency))
    return found if found is not None and found.command else None


def because(dear: DearCall) -> str:
    if dear.mixture is not None:
        return f" because the expert is {dear.mixture.told}, and each token reads its own"
    if dear.tensors is None:
        return ""
    found, (*others, last) = dear.tensors, dear.tensors.types
    types = f"{', '.join(others)} or {last}" if others else last
    return f" because {found.count} of {found.total} tensors are {types} ({found.share:.0%} of what a token reads)"


def command_for(pair: Pair) -> str:
    """As it is typed for this pair; empty where its files were made so already, or the drafter is a head."""
    if pair.profile.optimized or pair.head is not None:
        return ""
    if pair.profile.origin:
        return f"speccas optimize {shlex.quote(Path(pair.profile.origin).stem)}"
    drafter, expert = (shlex.quote(str(source)) for source in (pair.profile.drafter, pair.profile.expert))
    return f"speccas optimize --drafter {drafter} --expert {expert} --save-as NAME"
