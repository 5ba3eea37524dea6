"""What the three tests that decide above temperature 0 are worth: `python scripts/tests_cost.py [PAIR] [K]
[TEMPERATURE] [TOKENS] [PROMPTS] [REPEATS]`.

`exact` under each of them answers the built-in prompts, interleaved, from the same caches, as `bench` plays its arms.
Prints each one's speed over that of `token`: the median of ratios over prompts with its interval, tokens a call, and
the time outside the models; asserts nothing.
"""

import sys

import numpy as np

from speccas.core.bench.protocol import Bench, Conditions, Plan, PlannedArm
from speccas.core.bench.samples import Sample
from speccas.core.bench.stats import median
from speccas.core.bench.suites import load_suite, spread
from speccas.core.decoding.arms import parse_arm
from speccas.core.decoding.sampling import Sampling
from speccas.core.decoding.verify import VERIFIERS
from speccas.core.files.profiles import find_profile
from speccas.core.runtime.generate import Length
from speccas.core.runtime.pair import load_pair

BASE = "token"


def main(name: str, k: int, temperature: float, tokens: int, prompts: int, repeats: int) -> None:
    exact = parse_arm("exact")
    # an arm's own sampling is what `filters` says, whatever its fields
    arms = tuple(PlannedArm(test, exact, k, {"test": test}) for test in VERIFIERS)  # type: ignore[dict-item]
    with load_pair(find_profile(name)) as pair:
        items = spread(load_suite("builtin").items, prompts)
        conditions = Conditions(Sampling(temperature), Length(tokens), lookup="off")
        bench = Bench(pair, Plan(arms, repeats), items, conditions, False, 0.0)
        found: dict[tuple[str, str], list[Sample]] = {}
        for i, (item, prompt) in enumerate(bench.prompts()):
            if i == 0:
                bench.warm_up(prompt)
            for repeat in range(repeats):
                bench.read(prompt)
                for order, planned in enumerate(bench.plan.block(item.id, repeat)):
                    sample = bench.sample(planned, item, prompt, repeat, order)
                    found.setdefault((planned.name, item.id), []).append(sample)
    ids = sorted({item for _, item in found})
    for test in VERIFIERS:
        speeds = [[np.mean([each.figures.tokens_per_second for each in found[of, item]]) for item in ids]
                  for of in (test, BASE)]  # fmt: skip
        ratio = median([float(own / base) for own, base in zip(*speeds, strict=True)])
        own = [each.figures for item in ids for each in found[test, item]]
        calls = sum(each.tokens for each in own) / sum(each.expert_calls for each in own)
        rest = sum(each.overhead_seconds for each in own) / sum(each.seconds for each in own)
        low, high = ("-" if each is None else f"{each:.3f}" for each in (ratio.low, ratio.high))
        print(f"{test:8} {ratio.value:.3f} [{low}, {high}] of {BASE}; {calls:.3f} tokens a call, {rest:.1%} outside")


if __name__ == "__main__":
    given = dict(enumerate(sys.argv))
    main(
        given.get(1, "tiny"), int(given.get(2, 4)), float(given.get(3, 1)),
        int(given.get(4, 96)), int(given.get(5, 48)), int(given.get(6, 2)),
    )  # fmt: skip
