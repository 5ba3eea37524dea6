"""The sentence over a comparison's table: who won, and by what, or why nobody did."""

from dataclasses import dataclass

from speccas.core.record.comparison import Comparison, digits
from speccas.core.record.metrics import Figures
from speccas.core.record.verdict import ComparisonOutcome, ComparisonVerdict, verdict_of

from .difference import difference
from .safe import one_line

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
NO_GAIN = 1.05
"""Below this a speed-up that a machine with cheap calls would give is none."""
OFF = "drafting did not pay here, so it was off"


def times(figures: Figures) -> str:
    """A speed-up, no more exact than it was measured; nothing of an arm that drafted nothing."""
    if figures.speedup is None:
        return "-"
    if figures.drafted == 0 and figures.mode == "off":
        return "off"
    decimals = digits(figures.speedup_low, figures.speedup_high)
    return f"{'' if decimals else 'about '}{figures.speedup:.{decimals}f}x"


def word(count: int) -> str:
    """`five`, `93`."""
    return NUMBERS[count] if count < len(NUMBERS) else str(count)


def counted(count: int, what: str) -> str:
    """`five tokens`, `93 tokens`."""
    return f"{word(count)} {what}" + "s" * (count != 1)


@dataclass(frozen=True, slots=True)
class PairNotes:
    """What the sentence cannot see in figures. `because` follows the cost of a call that was too dear, `hint` is a
    clause on what to type about it, and `exactness` one on what `exact` means with files that were made here."""

    because: str = ""
    hint: str = ""
    exactness: str = ""


NO_NOTES = PairNotes()


def verdict_text(compared: Comparison, untimed: bool, notes: PairNotes = NO_NOTES) -> str | None:
    """One sentence; None where nothing can be said."""
    found = verdict_of(compared, untimed)
    if found is None:
        return None
    if found.outcome is ComparisonOutcome.NOT_FASTER:
        return one_line(not_faster(found, notes.because, notes.hint))
    told = TEXTS[found.outcome](found)
    of_text = found.outcome is not ComparisonOutcome.SHORT and notes.exactness
    return one_line(f"{told}; {notes.exactness}" if of_text else told)


def faster(found: ComparisonVerdict) -> str:
    best, lossy = found.lossless, found.lossy
    own = f"`{best.name}`: {text_of(best, found.expert)}, {times(best)}, {calls(best)}"
    if lossy is None:
        return own
    return f"{own}; `{lossy.name}`: {times(lossy)}, {text_of(lossy, found.expert)}{quality(lossy, found.expert)}"


def not_faster(found: ComparisonVerdict, because: str, hint: str) -> str:
    reason = "nothing was faster here"
    if found.call is not None and found.call.dear:
        cost = f"{found.call.cost:.1f} tokens on this machine"
        reason += f": a call of {word(found.call.tokens)} costs {cost}{because}"
    saved = f"drafts saved {max(0.0, found.saved):.0%} of the expert's calls"
    flat = found.lossless.speedup_if_flat
    if flat is None:
        return f"{reason}; {saved}" + (f"; {hint}" if hint else "")
    if flat < NO_GAIN:
        return f"{reason}; {saved}, too few for a drafter of this size: where a call costs as one token, {flat:.1f}x"
    saved += f", and where a call costs as one token (most GPUs) that would be {flat:.1f}x"
    return f"{reason}; {saved}" + (f"; {hint}" if hint else " (`speccas doctor --curve`)")


def untimed(found: ComparisonVerdict) -> str:
    best, flat = found.lossless, found.lossless.speedup_if_flat
    gain = "" if flat is None else f"; where a call costs as one token (most GPUs) that is {flat:.1f}x"
    return f"`{best.name}`: {text_of(best, found.expert)}, {calls(best)}{gain}"


def shortest(found: ComparisonVerdict) -> int:
    return min(found.expert.tokens, found.lossless.tokens)


def calls(figures: Figures) -> str:
    return f"{figures.tokens} tokens in {figures.expert_calls} expert calls"


def text_of(figures: Figures, expert: Figures) -> str:
    """Whose text it is."""
    if figures.identical_to_expert:
        return "the expert's own text"
    if figures.identical_to_expert is None:
        return "as likely a text as the expert's own" if figures.name == "exact" else "another text"
    return f"another text ({difference(figures, expert)})"


def quality(figures: Figures, expert: Figures) -> str:
    """What the expert thinks of a text that is not its own."""
    own, other = figures.expert_logprob, expert.expert_logprob
    if figures.identical_to_expert or own is None or other is None:
        return ""
    return f", log-prob {own:.2f} (the expert's own {other:.2f}; 0 is best)"


TEXTS = {
    ComparisonOutcome.FASTER: faster,
    ComparisonOutcome.OFF: lambda _: OFF + ": every token is the expert's own",
    ComparisonOutcome.SHORT: lambda found: f"{counted(shortest(found), 'token')}: too few to say what is faster",
    ComparisonOutcome.UNTIMED: untimed,
}


def caveats(compared: Comparison) -> list[str]:
    """What makes the speed-ups of this run inexact."""
    drift, told = compared.drift, []
    if drift is not None and compared.drifted:
        share, more = abs(drift - 1), "longer" if drift > 1 else "less"
        told.append(
            f"the expert alone took {share:.0%} {more} behind the arms than before them: something else ran on this "
            "machine, so the speed-ups are rough"
        )
    for arm in compared.impossible:
        told.append(
            f"by the clock {arm.name} was faster than its {counted(arm.expert_calls, 'expert call')} allow: something "
            "else ran while the expert was measured; compare again"
        )
    return [one_line(each) for each in told]
