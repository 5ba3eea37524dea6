"""Record what a drafter says along the expert's own greedy answers: tests/core/decoding/length/replay.py plays them.

    python scripts/recordings.py PAIR FILE [--tokens 128] [--prompts 3]

For each token of an answer: the drafter's max q in hundredths, negative where its best token is not the expert's. A
greedy draft goes along the expert's own text as far as it is accepted, so these are the drafts of `exact` at any
length. recordings.json there holds the pairs Qwen2.5-Coder 0.5B and 1.5B (Q4_K_M) and tiny, made with the defaults.
"""

import argparse
import json
from pathlib import Path

from speccas.core.bench.suites import Item, load_suite
from speccas.core.conversation.template import Message
from speccas.core.decoding.sampling import distribution
from speccas.core.files.profiles import Profile, find_profile
from speccas.core.files.source import Source
from speccas.core.runtime.backend import LoadOptions
from speccas.core.runtime.generate import drain, read_prompt
from speccas.core.runtime.pair import Pair, load_pair
from speccas.core.runtime.prompt import prompt_of


def record(pair: Pair, item: Item, tokens: int) -> list[object]:
    """The group, and max q with its sign at each token of the answer."""
    prompt = prompt_of(pair, [Message("user", item.prompt)])
    drain(read_prompt(pair, prompt))
    token, said = prompt.ids[-1], []
    for _ in range(tokens):
        token_p = distribution(pair.expert.extend([token])[0]).argmax
        proposal = pair.second_model.next()
        if proposal is None:
            break
        q = round(100 * proposal.q1.max)
        said.append(max(q, 1) * (1 if proposal.q1.argmax == token_p else -1))
        token = token_p
        pair.cached.append(token)
        if pair.lexicon.ends(token):
            break
        pair.second_model.push(token)
    return [item.group, said]


def main() -> None:
    parser = argparse.ArgumentParser(description="Record a drafter along the expert's answers.")
    parser.add_argument("pair", help="a profile, or DRAFTER,EXPERT")
    parser.add_argument("file", type=Path)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--prompts", type=int, default=3, help="of each group")
    given = parser.parse_args()
    drafter, _, expert = given.pair.partition(",")
    profile = Profile("given", Source(path=drafter), Source(path=expert)) if expert else find_profile(given.pair)
    groups: dict[str, list[Item]] = {}
    for item in (*load_suite("builtin").items, *load_suite("copying").items):
        groups.setdefault(item.group, []).append(item)
    with load_pair(profile, LoadOptions(ctx=2048)) as pair:
        found = [record(pair, item, given.tokens) for items in groups.values() for item in items[: given.prompts]]
    given.file.write_text("[\n" + ",\n".join(json.dumps(each, separators=(",", ":")) for each in found) + "\n]\n")


if __name__ == "__main__":
    main()
