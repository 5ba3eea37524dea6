"""The verdict on each finalist, which setting is kept, and what was found in a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..bench.stats import FASTER, LEAST, median, verdict
from .candidates import FALLBACK, Candidate
from .standing import Standing


@dataclass(frozen=True, slots=True)
class FinalistVerdict:
    """A finalist on the prompts that nothing was chosen by. `why`: what speaks against it; empty where nothing does."""

    standing: Standing
    faster: bool
    within: bool
    """Whether its loss of quality is within the floor."""
    why: str


@dataclass(frozen=True, slots=True)
class Choice:
    """What is kept. `faster`: it was shown to be faster than the expert alone."""

    candidate: Candidate
    faster: bool
    verdicts: tuple[FinalistVerdict, ...]

    @property
    def standing(self) -> Standing | None:
        return next((v.standing for v in self.verdicts if v.standing.candidate == self.candidate), None)


def finalist_verdict(found: Standing, floor: float) -> FinalistVerdict:
    """Faster: the interval of the speed-up lies above 1, and whole answers do not take longer. Within: lossless; or
    the interval of the loss by log-probability ends within the floor, and the loss by score is within it."""
    faster = verdict(found.speedup(), median(list(found.answer.values()))) == FASTER
    why = "" if faster else "not shown to be faster than the expert alone"
    within = found.candidate.lossless
    if not within:
        loss, lost = found.loss_by_log_prob(), found.loss_by_score()
        if loss.high is None:
            quality = f"fewer than {LEAST} prompts have no interval, so no loss is within the floor"
        elif loss.high > floor:
            quality = f"may lose {loss.high:.1%} by log-prob, which is more than {floor:.1%}"
        elif lost.n >= LEAST and (lost.value or 0) > floor:
            quality = f"loses {lost.value:.1%} by score, which is more than {floor:.1%}"
        else:
            quality = ""
        within = not quality
        why = "; ".join(part for part in (why, quality) if part)
    return FinalistVerdict(found, faster, within, why)


def choose_setting(found: Sequence[Standing], floor: float) -> Choice:
    """The first of the finalists, in the order that the search gave them, that is faster and within the floor. A lossy
    one must also be shown to be faster than the lossless one that would be kept without it: no quality is given for
    nothing."""
    verdicts = [finalist_verdict(each, floor) for each in found]
    good = [each for each in verdicts if each.faster and each.within]
    plain = next((each for each in good if each.standing.candidate.lossless), None)
    fallback = next((v.standing for v in verdicts if v.standing.candidate == FALLBACK), None)
    rival = plain.standing if plain else fallback
    for i, each in enumerate(verdicts):
        if each not in good or each.standing.candidate.lossless:
            continue
        if rival is None or beats(each.standing, rival):
            return Choice(each.standing.candidate, True, tuple(verdicts))
        why = f"not shown to be faster than {rival.candidate.label}, which loses nothing"
        verdicts[i] = FinalistVerdict(each.standing, each.faster, each.within, why)
    chosen = plain.standing.candidate if plain else FALLBACK
    return Choice(chosen, plain is not None, tuple(verdicts))


def beats(one: Standing, other: Standing) -> bool:
    """Whether the interval of the paired ratio of their speeds lies above 1."""
    ratios = [one.speed[prompt] / other.speed[prompt] for prompt in one.speed if other.speed.get(prompt)]
    found = median(ratios)
    return found.low is not None and found.low > 1


def finding(choice: Choice, floor: float, exactness: str = "") -> str:
    """What was found, in a sentence that may be quoted. `exactness`: what a lossless setting is lossless against, where
    that is a file that was made here."""
    against = f" ({exactness})" if exactness else ""
    found = choice.standing
    assert found is not None
    speed = found.speedup()
    told = f"{found.times:.2f}x"
    if speed.low is not None and speed.high is not None:
        told += f" [{speed.low:.2f}, {speed.high:.2f}]"
    told += f" over {found.prompts} prompts"
    if not choice.faster:
        few = f" Fewer than {LEAST} prompts cannot show it: give more." if found.prompts < LEAST else ""
        return (
            f"No setting within the floor was shown to be faster than the expert alone here.{few} "
            f"{choice.candidate.label} is kept: it drafts only where that pays, and loses nothing{against} ({told})."
        )
    told = f"{choice.candidate.label}: {told}, faster than the expert alone"
    if choice.candidate.lossless:
        return f"{told}, and it loses nothing{against}."
    loss, lost = found.loss_by_log_prob(), found.loss_by_score()
    by_score = "" if lost.value is None else f", by score {lost.value:.1%} over {lost.n} prompts"
    return f"{told}; loss by log-prob {loss.value:.1%}, at most {loss.high:.1%} (floor {floor:.1%}){by_score}."


NOTES = (
    "speed-up: median over prompts of tokens/s divided by the expert alone's in the same block, with a 95 % bootstrap "
    "interval (none below 6 prompts). faster = the interval lies above 1 and whole answers are not slower.",
    "loss by log-prob = 1 - exp(mean change of ln p a token): how much less likely the expert finds a token of the "
    "answer. loss by score = mean score lost, of 1, over the prompts that have one (right, BLEU, ROUGE-L).",
    "within the floor: exact; or the interval of the loss by log-prob ends within it, and the loss by score, from 6 "
    "prompts on, is within it. A lossy rule must also be shown to be faster than the lossless one that would be kept.",
    "The finalists are judged on prompts that the search did not use.",
)
