"""How often `exact` accepts a sampled draft: by coupled sampling, and by the optimal test of each token.

Teacher-forced: at each position of the expert's own text both models' rows are read. The optimal test accepts with
probability 1 - TV(p, q); the coupled one is counted over 32 seeds. Run it with

    python scripts/acceptance.py [--drafter FILE --expert FILE] [--prompts 24] [--tokens 24]
"""

import argparse
import random
from dataclasses import replace

import numpy as np

from speccas.core.bench.suites import load_suite
from speccas.core.conversation.template import Message
from speccas.core.decoding.deferral import Position
from speccas.core.decoding.rules import Exact
from speccas.core.decoding.sampling import Sampling, distribution
from speccas.core.decoding.verify import CoupledVerifier
from speccas.core.files.profiles import Profile, find_profile
from speccas.core.files.source import parse_source
from speccas.core.runtime.backend import LoadOptions
from speccas.core.runtime.generate import drain, read_prompt
from speccas.core.runtime.pair import Pair, load_pair
from speccas.core.runtime.prompt import prompt_of

SEEDS = 32


def positions(pair: Pair, text: str, sampling: Sampling, tokens: int) -> list[tuple[float, float]]:
    """Of each token of the expert's answer: accepted by coupled sampling (mean over seeds), by the optimal test."""
    prompt = prompt_of(pair, [Message("user", text)])
    drain(read_prompt(pair, prompt))
    ids, found = list(prompt.ids), []
    own = CoupledVerifier(sampling)
    for position in range(tokens):
        pair.second_model.observe(ids)
        proposal = pair.second_model.next()
        p1 = distribution(pair.expert.extend(ids[-1:], rows=1)[0])
        if proposal is None:
            break
        at = Position(proposal.q1, p1, sampling)
        coupled = 0
        for seed in range(SEEDS):
            chance = CoupledVerifier(replace(sampling, seed=seed))
            coupled += chance.verdict(Exact(), chance.draw(proposal.q1, position), at, position).accepted
        found.append((coupled / SEEDS, 1 - at.total_variation))
        ids.append(own.draw(p1, position))
        if pair.lexicon.ends(ids[-1]):
            break
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--drafter")
    parser.add_argument("--expert")
    parser.add_argument("--prompts", type=int, default=24)
    parser.add_argument("--tokens", type=int, default=24)
    given = parser.parse_args()
    profile = find_profile("tiny-model")
    if given.expert:
        profile = Profile("given", parse_source(given.drafter), parse_source(given.expert))
    items = load_suite("builtin").items
    chosen = random.Random(0).sample(items, min(given.prompts, len(items)))
    with load_pair(profile, LoadOptions(threads=1)) as pair:
        for temperature in (0.7, 1.0):
            sampling = Sampling(temperature, seed=1)
            found = [each for item in chosen for each in positions(pair, item.prompt, sampling, given.tokens)]
            coupled, optimal = np.mean(found, axis=0)
            print(f"temperature {temperature}: {len(found)} positions, coupled {coupled:.3f}, optimal {optimal:.3f}")


if __name__ == "__main__":
    main()
