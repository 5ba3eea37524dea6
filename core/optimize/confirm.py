"""The proof: the files as they are and the new ones, each expert alone and each pair at `-k auto`, interleaved.

It ends as soon as one of a few looks shows which are faster, so its intervals are of 95 % at each look.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..bench.protocol import Bench, Conditions, Plan, PlannedArm
from ..bench.stats import IntervalEstimate, geometric_mean, median
from ..bench.suites import Item
from ..calibration.calibrate import Curve
from ..decoding.arms import parse_arm
from ..errors import Stopped
from ..runtime.generate import Length
from ..runtime.pair import Pair

ALONE, DRAFTED = PlannedArm("expert", parse_arm("expert")), PlannedArm("exact", parse_arm("exact"), "auto")
ARMS = (("source", ALONE), ("source", DRAFTED), ("new", ALONE), ("new", DRAFTED))


@dataclass(frozen=True, slots=True)
class ConfirmedSpeed:
    """Medians over prompts, paired by prompt: tokens a second of the four arms, and how many times as fast one is as
    another, with a 95 % interval from 6 prompts on."""

    prompts: int
    tokens: int
    """Most tokens of an answer."""
    source_alone: float
    source_pair: float
    new_alone: float
    new_pair: float
    source_pair_times: IntervalEstimate
    """The source pair over the source expert alone."""
    new_alone_times: IntervalEstimate
    """The new expert alone over the source expert alone."""
    own_times: IntervalEstimate
    """The new pair over the new expert alone."""
    times: IntervalEstimate
    """The new pair over the source expert alone."""
    gain: IntervalEstimate
    """The new pair over that of the source's two arms which is the faster on the whole, as a geometric mean. The faster
    at each prompt would be the luckier of two noisy measurements."""
    gain_alone: IntervalEstimate
    """The new expert alone over that."""

    @property
    def shown(self) -> bool:
        """Whether the new files were shown to be faster than the files as they are: the pair, or its expert alone where
        the pair is no slower in the middle, for drafts can be left off."""
        pair, alone = (each.low if each.low is not None else each.value or 0.0 for each in (self.gain, self.gain_alone))
        return pair > 1.0 or (alone > 1.0 and (self.gain.value or 0.0) >= 1.0)

    @property
    def settled(self) -> bool:
        """Whether more prompts would hardly change that: shown to be faster, or to be slower."""
        return self.shown or (self.gain.high is not None and self.gain.high < 1.0)


def confirm(
    source: tuple[Pair, Curve],
    new: tuple[Pair, Curve],
    items: Sequence[Item],
    tokens: int,
    tell: Callable[[int, int], None] = lambda done, of: None,
    look: int = 8,
) -> ConfirmedSpeed:
    """Answer each prompt by all four arms, in an order shuffled for each, until all are answered or, after any `look`
    of them, the result is settled; `tell` hears of answers. The draft length starts from the measured curves, as it
    will after this. Raises Stopped."""
    benches = {}
    for name, (pair, curve) in (("source", source), ("new", new)):
        conditions = Conditions(length=Length(tokens))
        bench = benches[name] = Bench(pair, Plan((ALONE, DRAFTED), 1), items, conditions, False, 0.0)
        bench.planner.adopt(curve.costs)
    prompts = {item.id: prompt for item, prompt in benches["source"].prompts()}
    also = {item.id: prompt for item, prompt in benches["new"].prompts()}
    played = [item for item in items if item.id in prompts and item.id in also]
    speeds: dict[str, dict[str, float]] = {f"{name} {arm.name}": {} for name, arm in ARMS}
    done = 0
    for number, item in enumerate(played):
        if number and number % look == 0 and confirmed(speeds, tokens).settled:
            break
        order = list(ARMS)
        random.Random(f"optimize/{item.id}").shuffle(order)
        for name, bench in benches.items():
            bench.read((prompts if name == "source" else also)[item.id])
            if not done:
                bench.warm_up(prompts[item.id])
        for name, planned in order:
            bench = benches[name]
            prompt = (prompts if name == "source" else also)[item.id]
            answer = bench.play(planned, prompt, bench.sampling(planned, 0), bench.conditions.length)
            if answer.figures.finish == "interrupted":
                raise Stopped("interrupted")
            speeds[f"{name} {planned.name}"][item.id] = answer.figures.tokens_per_second or 0.0
            done += 1
            tell(done, len(ARMS) * min(len(played), look * (number // look + 1)))
    return confirmed(speeds, tokens)


def confirmed(speeds: dict[str, dict[str, float]], tokens: int) -> ConfirmedSpeed:
    """From tokens a second by arm and prompt."""
    source, source_pair, new, pair = (speeds[f"{name} {arm.name}"] for name, arm in ARMS)
    played = [each for each in source if min(source[each], source_pair[each], new[each], pair[each]) > 0]

    def ratios(over: dict[str, float], under: dict[str, float]) -> list[float]:
        return [over[each] / under[each] for each in played]

    def times(over: dict[str, float], under: dict[str, float]) -> IntervalEstimate:
        return median(ratios(over, under))

    better = source_pair if (geometric_mean(ratios(source_pair, source)).value or 0.0) > 1.0 else source
    return ConfirmedSpeed(
        prompts=len(played),
        tokens=tokens,
        source_alone=median([source[each] for each in played]).value or 0.0,
        source_pair=median([source_pair[each] for each in played]).value or 0.0,
        new_alone=median([new[each] for each in played]).value or 0.0,
        new_pair=median([pair[each] for each in played]).value or 0.0,
        source_pair_times=times(source_pair, source),
        new_alone_times=times(new, source),
        own_times=times(pair, new),
        times=times(pair, source),
        gain=geometric_mean(ratios(pair, better)),
        gain_alone=geometric_mean(ratios(new, better)),
    )
