"""Openers: varied, the same for the same seed, and none of the prompts that the bench tests with."""

import json
from importlib.resources import files
from random import Random

from speccas.core.distill import openers
from speccas.core.distill.openers import Openers


def drawn(held_out: bool, count: int = 4000, seed: int = 1) -> list[openers.Opener]:
    source = Openers(Random(seed), held_out=held_out)
    return [opener for _ in range(count // 2) for opener in (source.first(), source.next())]


def bench_prompts() -> list[str]:
    lines = files("speccas.core.bench").joinpath("prompts/builtin.jsonl").read_text().splitlines()
    return [json.loads(line)["prompt"] for line in lines]


def test_no_prompt_of_the_bench_is_among_them() -> None:
    texts = {opener.text for held_out in (True, False) for opener in drawn(held_out, 20000)}
    prompts = bench_prompts()
    assert len(prompts) >= 40 and len(texts) > 8000
    for prompt in prompts:
        head = prompt[:40].lower()  # not even the beginning of one
        assert not [text for text in texts if text.lower().startswith(head)], prompt


def test_functions_that_the_bench_asks_for_are_not_asked_for() -> None:
    tested = {prompt.split("`")[1].split("(")[0] for prompt in bench_prompts() if "`" in prompt}
    assert len(tested) == 8
    assert not tested & {name.split("(")[0] for name, _ in openers.entry_pairs(openers.FUNCTIONS)}


def test_the_same_seed_gives_the_same_openers() -> None:
    assert drawn(False, 200) == drawn(False, 200) != drawn(False, 200, seed=2)


def test_held_out_conversations_are_about_other_things() -> None:
    topics = openers.entries_of(openers.TOPICS)
    left, right = openers.share_of(topics, False), openers.share_of(topics, True)
    assert sorted(left + right) == sorted(topic.strip() for topic in topics) and not set(left) & set(right)
    assert len(right) == len(topics) // openers.HELD_OUT
    learnt = {opener.text for opener in drawn(False) if opener.whole}
    assert not [opener for opener in drawn(True) if opener.whole and " about " in opener.text and opener.text in learnt]


def test_whole_openers_have_no_gaps_and_others_leave_room_for_the_expert() -> None:
    for opener in drawn(False) + drawn(True):
        assert "{" not in opener.text and "|" not in opener.text and opener.text == opener.text.strip()
        assert opener.whole == (opener.most == 0)
