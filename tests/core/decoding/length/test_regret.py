"""`-k auto` against the best of {off, k 1, 2, 3, 4, 7} in hindsight, by group of prompts, on recorded answers."""

from statistics import mean

import pytest

from tests.builders.tiers import few_fast
from tests.core.decoding.length.replay import MEASURED, arms, fresh, played, texts_of, warm


def regret(name: str, tokens: int) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """By group: speed of the first answer and of later ones over the best arm's, and the best arm's over off."""
    machine = MEASURED[name]
    first, later, gain = {}, {}, {}
    seconds = warm(machine, tokens)
    for group, texts in texts_of(machine, tokens).items():
        found = arms(machine, texts)
        best = min(found.values())
        first[group] = best / sum(fresh(machine, text) for text in texts)
        later[group], gain[group] = best / seconds[group], found[0] / best
    return first, later, gain


@pytest.mark.parametrize("name", few_fast(MEASURED, 2))
def test_auto_is_near_the_best_arm_in_hindsight(name: str) -> None:
    """Over the groups; a single group has three answers, and an answer of 20 tokens is over after one bad draft."""
    first, later, gain = regret(name, 96)
    assert mean(min(each, 1.0) for each in first.values()) >= 0.94
    assert mean(min(each, 1.0) for each in later.values()) >= 0.95
    assert min(first.values()) >= 0.82 and min(later.values()) >= 0.80
    assert all(later[group] >= 0.97 for group in later if gain[group] > 1.15), "where drafts pay most"


@pytest.mark.parametrize("name", ["Q4_K_M", "tiny"])
@pytest.mark.parametrize("tokens", [4, 8, 16, 96])
def test_files_as_they_come_lose_nothing(name: str, tokens: int) -> None:
    first, later, _ = regret(name, tokens)
    assert min(mean(first.values()), mean(later.values())) >= 0.97
    assert min(*first.values(), *later.values()) >= 0.92


@pytest.mark.parametrize("name", few_fast(MEASURED, 1))
@pytest.mark.parametrize("tokens", [4, 8, 16])
def test_short_answers_keep_what_the_expert_alone_has(name: str, tokens: int) -> None:
    machine = MEASURED[name]
    groups = texts_of(machine, tokens)
    off = sum(played(machine, text, None) for texts in groups.values() for text in texts)
    assert off / sum(fresh(machine, text) for texts in groups.values() for text in texts) >= 0.95
    assert off / 2 / (sum(warm(machine, tokens).values()) / 2) >= 0.95
