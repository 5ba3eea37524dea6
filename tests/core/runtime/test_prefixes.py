"""Conversations that take turns on one pair: each goes on from its own caches, with every kind of model and head, and
writes what it would on caches that were never used."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from speccas.core.decoding.arms import parse_arm
from speccas.core.decoding.events import Judged, Started
from speccas.core.files.profiles import Profile
from speccas.core.files.source import Source
from speccas.core.runtime.backend import LoadOptions
from speccas.core.runtime.generate import FixedDrafting, Length, generate
from speccas.core.runtime.pair import Pair, load_pair
from speccas.core.runtime.prefixes import WORTH, PrefixCache
from speccas.core.runtime.prompt import Prompt
from tests.builders.heads import Eagle
from tests.builders.mtp import assistant, assisted, with_head
from tests.builders.random_models import random_model
from tests.builders.tiers import few_fast

LARGE = 64 << 20
Made = tuple[Source, Path]


def text(seed: int, length: int) -> list[int]:
    return [(i * i * 7919 + seed * 613 + i) % 14_000 + 20 for i in range(length)]


ONE, OTHER, TITLE, MORE = text(1, 200), text(2, 180), text(3, 50), text(4, 12)


def two(folder: Path, expert: str, drafter: str) -> Made:
    file = random_model(folder / "drafter.gguf", drafter, layers=1)
    return Source(path=str(file)), random_model(folder / "expert.gguf", expert)


def eagle(folder: Path) -> Made:
    expert = random_model(folder / "expert.gguf", "plain")
    return Source(path=str(Eagle().write(folder / "head.gguf", expert))), expert


def assisting(folder: Path) -> Made:
    expert = assisted(folder / "expert.gguf")
    return Source(path=str(assistant(folder / "head.gguf", expert))), expert


PAIRS: dict[str, Callable[[Path], Made]] = {
    "plain": lambda folder: two(folder, "plain", "plain"),
    "hybrid": lambda folder: two(folder, "hybrid", "gated"),
    "recurrent": lambda folder: two(folder, "recurrent", "hybrid"),
    "gated": lambda folder: two(folder, "gated", "recurrent"),
    "eagle3": eagle,
    "mtp": lambda folder: (Source(head="inside"), with_head(folder / "expert.gguf", "gated")),
}
WINDOWED: dict[str, Callable[[Path], Made]] = {
    "expert": lambda folder: two(folder, "windowed", "plain"),
    "drafter": lambda folder: two(folder, "plain", "windowed"),
    "several mtp layers": lambda folder: (Source(head="inside"), with_head(folder / "expert.gguf", "chained")),
    "assistant": assisting,
}


@pytest.fixture(params=few_fast(["plain", "gated", "mtp", *sorted(PAIRS.keys() - {"plain", "gated", "mtp"})], 3))
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    drafter, expert = PAIRS[request.param](tmp_path)
    options = LoadOptions(ctx=512, threads=1)
    with load_pair(Profile("made", drafter, Source(path=str(expert))), options) as found:
        yield found


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Pair]:
    drafter, expert = PAIRS["plain"](tmp_path)
    with load_pair(Profile("made", drafter, Source(path=str(expert))), LoadOptions(ctx=512, threads=1)) as found:
        yield found


def turn(pair: Pair, cache: PrefixCache, ids: Sequence[int], tokens: int = 16) -> tuple[list[int], dict[str, int]]:
    """An answer, and how many tokens of its prompt each model read, by role."""
    cache.route(pair, ids)
    models = {"expert": pair.expert, "drafter": pair.drafter}
    before = {role: model.evaluated for role, model in models.items()}
    read: dict[str, int] = {}
    answer: list[int] = []
    length = Length(tokens, ignore_eos=True)
    for event in generate(pair, Prompt(tuple(ids)), parse_arm("exact"), length=length, drafting=FixedDrafting(4)):
        if isinstance(event, Started):
            read = {role: model.evaluated - before[role] for role, model in models.items()}
        elif isinstance(event, Judged):
            answer += [token.id for token in event.tokens]
    pair.expert.mark()
    pair.drafter.mark()
    return answer, read


def test_the_second_turn_of_each_reads_what_is_new(pair: Pair) -> None:
    cache = PrefixCache(LARGE)
    answers = []
    for prompt in (ONE, OTHER):
        answer, read = turn(pair, cache, prompt)
        assert read["expert"] == len(prompt) - 1
        answers.append(answer)
        turn(pair, cache, TITLE)
    for prompt, answer in zip((ONE, OTHER), answers, strict=True):
        ids = [*prompt, *answer, *MORE]
        found, read = turn(pair, cache, ids)
        assert read["expert"] == len(MORE) and read["drafter"] <= len(MORE) + 2
        pair.clear()
        fresh, read = turn(pair, PrefixCache(0), ids)
        assert read["expert"] == len(ids) - 1
        assert found == fresh


@pytest.mark.parametrize("kind", WINDOWED)
def test_a_model_with_a_window_is_read_anew(kind: str, tmp_path: Path) -> None:
    """llama.cpp's copy of such a cache lacks what the window has passed."""
    drafter, expert = WINDOWED[kind](tmp_path)
    with load_pair(Profile("made", drafter, Source(path=str(expert))), LoadOptions(ctx=512, threads=1)) as pair:
        cache = PrefixCache(LARGE)
        turn(pair, cache, ONE, 40)
        turn(pair, cache, TITLE)
        found, read = turn(pair, cache, [*ONE, *MORE])
        assert not cache.kept and read["expert"] == len(ONE) + len(MORE) - 1
        pair.clear()
        assert found == turn(pair, PrefixCache(0), [*ONE, *MORE])[0]


def test_without_memory_for_it_all_is_read_again(plain: Pair) -> None:
    cache = PrefixCache(0)
    answer, _ = turn(plain, cache, ONE)
    turn(plain, cache, TITLE)
    ids = [*ONE, *answer, *MORE]
    assert turn(plain, cache, ids)[1]["expert"] == len(ids) - 1


def test_a_prompt_that_shares_a_beginning_leaves_the_conversation_kept(plain: Pair) -> None:
    """The beginning is not read again, and the conversation's own part is not given up for it."""
    cache = PrefixCache(LARGE)
    turn(plain, cache, ONE)
    turn(plain, cache, TITLE)
    for own in (text(5, 60), text(6, 60)):
        assert turn(plain, cache, [*ONE[:100], *own])[1]["expert"] == len(own) - 1
    assert turn(plain, cache, [*ONE, *MORE])[1]["expert"] == len(MORE) - 1


def test_what_is_said_again_or_goes_on_is_kept_once(plain: Pair) -> None:
    """A last message that is changed costs no copy; a conversation that has grown takes its own place."""
    cache = PrefixCache(LARGE)
    turn(plain, cache, [*ONE, *text(7, WORTH)])
    turn(plain, cache, [*ONE, *text(8, WORTH)])
    assert not cache.kept
    talks = [ONE, OTHER]
    for _ in range(3):
        for i, talk in enumerate(talks):
            answer, _ = turn(plain, cache, talk)
            talks[i] = [*talk, *answer, *MORE]
    turn(plain, cache, TITLE)
    assert sorted(len(each.ids) for each in cache.kept) == sorted(len(talk) - len(MORE) - 1 for talk in talks)


@pytest.mark.slow
def test_the_least_recently_used_go_first(plain: Pair) -> None:
    """The bound holds whatever comes, and counts what the copies take."""
    turn(plain, PrefixCache(0), ONE)
    one = plain.expert.snapshot().bytes + plain.drafter.snapshot().bytes
    cache = PrefixCache(4 * one)
    talks = [text(seed, len(ONE)) for seed in range(20, 28)]
    for talk in talks:
        turn(plain, cache, talk)
        turn(plain, cache, talks[0])
        assert len(cache.kept) * 0.9 * one < cache.bytes <= cache.most
    assert len(cache.kept) == 3
    for talk in (talks[0], talks[-1], talks[-2]):
        assert turn(plain, cache, [*talk, *MORE])[1]["expert"] == len(MORE) - 1
    assert turn(plain, cache, [*talks[1], *MORE])[1]["expert"] > len(ONE)
    small = PrefixCache(one // 2)
    turn(plain, small, OTHER)
    assert not small.kept


def test_a_kept_conversation_goes_on_from_an_earlier_place(pair: Pair) -> None:
    """The answer is given up, and the message that it was to: also where the memory goes back to marks alone."""
    cache = PrefixCache(LARGE)
    turn(pair, cache, ONE, 40)
    turn(pair, cache, TITLE)
    found, read = turn(pair, cache, [*ONE, *MORE])
    assert read["expert"] <= len(MORE) + 2
    pair.clear()
    assert found == turn(pair, PrefixCache(0), [*ONE, *MORE])[0]
