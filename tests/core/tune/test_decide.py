"""The decisions of `tune` on made-up samples: who is pruned, what the floor lets through, and what ties do."""

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest

from speccas.core.bench.samples import Sample
from speccas.core.bench.suites import Item
from speccas.core.decoding.length.latency import LatencyModel
from speccas.core.tune.candidates import FALLBACK, Candidate, candidates, unprofitable_lengths
from speccas.core.tune.decide import choose_setting, finding
from speccas.core.tune.halving import (
    FINALISTS,
    SLOWER_HALF,
    answers,
    elimination_reason,
    halving_sizes,
    prune,
    search_half,
    shown_above,
    survivors,
)
from speccas.core.tune.standing import Standing, front, standings
from tests.core.bench.test_protocol import sample

FLOOR = 0.02


def values(n: int, value: float, spread: float) -> dict[str, float]:
    """n prompts around a value, the same way up and down."""
    return {f"p{i}": value + spread * ((i % 3) - 1) for i in range(n)}


def standing(
    name: str, k: int | str = 4, times: float = 1.0, loss: float = 0.0, n: int = 12, spread: float = 0.01,
    score: Mapping[str, float] | None = None,
) -> Standing:  # fmt: skip
    """`loss` in nats a token."""
    speed = values(n, times, spread)
    return Standing(Candidate(name, k), speed, speed, values(n, -loss, 0.002), score or {})


def test_every_rule_at_every_length_and_the_fallback_once() -> None:
    found = candidates(["token:0.5", "exact"], ["auto", 2])
    assert found == [
        FALLBACK, Candidate("token:0.5", "auto"), Candidate("token:0.5", 2), Candidate("exact", 2),
    ]  # fmt: skip


def test_lengths_that_cannot_pay_are_known_from_the_curve_alone() -> None:
    costs = LatencyModel({1: 1.0, 2: 1.4, 3: 3.6, 5: 4.0}, step=0.1)
    left_out = unprofitable_lengths(costs, [1, 2, 4, "auto"])
    assert list(left_out) == [2] and left_out[2] == pytest.approx(3 / 3.8)


def test_the_search_gets_half_of_every_group() -> None:
    items = [Item(f"{group}{i}", group, "?") for i in range(4) for group in "abc"]
    mine = search_half(items)
    assert [item.id for item in mine] == [item.id for item in items if item in mine], "in their order"
    assert {group: sum(item.group == group for item in mine) for group in "abc"} == {"a": 2, "b": 2, "c": 2}
    assert len(search_half(items[:2])) == 1 and len(search_half(items[:3])) == 1 and not search_half(items[:1])


def test_rounds_double_and_end_with_the_prompts() -> None:
    assert halving_sizes(24) == [2, 4, 8, 16, 24] and halving_sizes(1) == [1] and halving_sizes(2) == [2]
    assert [survivors(alive) for alive in (70, 9, 5, 4, 1)] == [35, 5, 4, 4, 4]


def test_answers_count_the_expert_in_each_block() -> None:
    assert answers(4, 0, 1, 2, 1, 7) == 1 * (4 + 1) + 1 * (4 + 1)
    assert answers(8, 0, 8, 16, 2, 7) == 2 * (8 + 2) + 14 * 2 * (4 + 1)
    assert answers(20, 0, 8, 16, 1, 7) == 2 * (20 + 3) + 2 * (10 + 2) + 4 * (5 + 1) + 8 * (4 + 1)
    assert answers(5, 4, 8, 16, 1, 7) == 4 * (5 + 1) + 8 * (4 + 1)


def test_standings_pair_within_the_block_and_skip_blocks_without_the_expert() -> None:
    def made(name: str, k: int | None, prompt: str, repeat: int, speed: float, log_prob: float) -> Sample:
        one = replace(sample(name, prompt, repeat, speed=speed), k=k, score=0.5 if name == "expert" else 0.25)
        return replace(one, figures=replace(one.figures, expert_logprob=log_prob))

    samples = [
        made("expert", None, "a", 0, 10, -0.5), made("token", 2, "a", 0, 15, -0.6),
        made("expert", None, "a", 1, 20, -0.5), made("token", 4, "a", 1, 15, -0.5),
        made("token", 2, "b", 0, 99, -0.5),
    ]  # fmt: skip
    two, four = standings(samples, [Candidate("token", 2), Candidate("token", 4)])
    assert two.speed == {"a": pytest.approx(1.5)} and four.speed == {"a": pytest.approx(0.75)}
    assert two.log_prob == {"a": pytest.approx(-0.1)} and two.score == {"a": -0.25}
    assert two.loss == 0.25, "the larger of both measures"
    assert two.loss_by_log_prob().value == pytest.approx(1 - math.exp(-0.1))


def test_what_is_shown_needs_more_than_one_prompt_and_a_narrow_interval() -> None:
    assert not shown_above([9.0], 1.0)
    assert not shown_above([0.5, 1.9], 1.0) and shown_above([1.4, 1.41], 1.0)


def test_losers_go_for_what_they_are() -> None:
    found = [
        standing("exact", "auto", 0.98),
        standing("token:0.9", 4, 1.5, loss=0.3),
        standing("token:0.1", 4, 0.6),
        standing("token:0.5", 4, 1.2, loss=0.01),
    ]
    going, eliminated = prune(found, FLOOR, 4)
    assert going == [Candidate("token:0.5", 4), FALLBACK]
    assert eliminated == {Candidate("token:0.9", 4): "loses more than 2.0%", Candidate("token:0.1", 4): SLOWER}
    lossless = standing("exact", 8, 1.1, loss=9.0)
    assert elimination_reason(lossless, FLOOR) == "", "exact loses nothing, whatever is measured"


SLOWER = "slower than the expert alone"


def test_a_loss_of_score_is_a_loss_too() -> None:
    lost = standing("token", 2, 1.4, score=values(12, -0.5, 0.1))
    assert elimination_reason(lost, FLOOR) == "loses more than 2.0%"
    assert elimination_reason(standing("token", 2, 1.4, score=values(12, 0.0, 0.1)), FLOOR) == ""


def test_the_slower_half_goes_but_not_what_a_lossy_one_must_beat() -> None:
    rules = [standing(f"token:0.{i}", 2, 1 + i / 10) for i in range(1, 9)]
    going, eliminated = prune([standing("exact", "auto", 1.0), standing("exact", 2, 1.05), *rules], FLOOR, 5)
    assert [c.name for c in going] == ["token:0.8", "token:0.7", "token:0.6", "exact", "exact"]
    assert FALLBACK in going and Candidate("exact", 2) in going
    assert set(eliminated.values()) == {SLOWER_HALF} and len(eliminated) == 5


def test_the_fallback_goes_on_even_where_it_is_slower() -> None:
    going, eliminated = prune([standing("exact", "auto", 0.8), standing("exact", 2, 0.5)], FLOOR, 4)
    assert going == [FALLBACK] and eliminated == {Candidate("exact", 2): SLOWER}


def test_a_doubtful_loss_comes_behind_what_is_within_the_floor() -> None:
    """A loss beyond the floor that two prompts cannot show keeps its place in the race, but not before the others."""
    doubtful = Standing(Candidate("token:0.8", 2), values(2, 1.9, 0.1), {}, {"a": -0.04, "b": -0.09}, {})
    sound = Standing(Candidate("token:0.2", 2), values(2, 1.2, 0.1), {}, {"a": 0.0, "b": -0.01}, {})
    assert elimination_reason(doubtful, FLOOR) == ""
    assert prune([doubtful, sound], FLOOR, 4)[0] == [sound.candidate, doubtful.candidate]


def test_equals_keep_their_order() -> None:
    tied = [standing("exact", "auto"), *(standing(f"token:0.{i}", 2) for i in (5, 2, 9))]
    assert prune(tied, FLOOR, 4)[0] == [each.candidate for each in tied]


def test_the_frontier_holds_what_nothing_beats() -> None:
    found = [
        standing("exact", "auto", 1.1), standing("exact", 2, 0.9), standing("token:0.2", 4, 1.3, loss=0.01),
        standing("token:0.5", 4, 1.2, loss=0.02), standing("token:0.9", 4, 1.6, loss=0.2),
    ]  # fmt: skip
    assert [each.candidate.label for each in front(found)] == ["exact -k auto", "token:0.2 -k 4", "token:0.9 -k 4"]
    assert front([standing("exact", "auto", 0.9)]) == [], "the expert alone is better"


def test_the_fastest_within_the_floor_is_chosen() -> None:
    choice = choose_setting([standing("token:0.9", 4, 1.5, loss=0.05), standing("token:0.5", 4, 1.3, loss=0.01),
                     standing("exact", "auto", 1.1)], FLOOR)  # fmt: skip
    assert choice.candidate == Candidate("token:0.5", 4) and choice.faster
    first, second, third = choice.verdicts
    assert first.faster and not first.within and "may lose" in first.why
    assert second.within and third.within and not second.why
    told = finding(choice, FLOOR)
    assert told.startswith("token:0.5 -k 4: 1.30x [") and "floor 2.0%" in told


def test_a_loss_counts_as_accepted_only_where_its_whole_interval_is() -> None:
    """The mean loss is 1 %, the interval reaches beyond 2 %."""
    wide = Standing(Candidate("token", 2), values(12, 1.5, 0.01), values(12, 1.5, 0.01), values(12, -0.01, 0.04), {})
    assert wide.loss < FLOOR
    choice = choose_setting([wide, standing("exact", "auto", 1.0)], FLOOR)
    assert choice.candidate == FALLBACK and "may lose" in choice.verdicts[0].why
    assert choose_setting([wide, standing("exact", "auto", 1.0)], 0.2).candidate == wide.candidate


def test_a_floor_of_nothing_takes_lossless_settings_only() -> None:
    found = [standing("token", 2, 1.5), standing("exact", 2, 1.2)]
    choice = choose_setting(found, 0.0)
    assert choice.candidate == Candidate("exact", 2) and choice.faster
    assert finding(choice, 0.0).endswith("faster than the expert alone, and it loses nothing.")


def test_too_few_prompts_show_nothing() -> None:
    few = [standing("token", 2, 3.0, n=5), standing("exact", 2, 2.0, n=5), standing("exact", "auto", n=5)]
    choice = choose_setting(few, FLOOR)
    assert choice.candidate == FALLBACK and not choice.faster
    assert "fewer than 6 prompts" in choice.verdicts[0].why and "give more" in finding(choice, FLOOR)


def test_a_score_below_the_floor_is_refused_from_six_prompts_on() -> None:
    lost = standing("token", 2, 1.5, score=values(6, -0.1, 0.3))
    choice = choose_setting([lost, standing("exact", "auto", 1.0)], FLOOR)
    assert choice.candidate == FALLBACK and "by score" in choice.verdicts[0].why
    few = standing("token", 2, 1.5, score=values(5, -0.1, 0.3))
    assert choose_setting([few, standing("exact", "auto", 1.0)], FLOOR).candidate == few.candidate


def test_between_a_lossy_and_a_lossless_equal_nothing_is_given_away() -> None:
    for rival in (standing("exact", 2, 1.3), standing("exact", "auto", 1.3)):
        choice = choose_setting([standing("token", 2, 1.301, spread=0.05), rival], FLOOR)
        assert choice.candidate == rival.candidate and choice.faster
        assert f"not shown to be faster than {rival.candidate.label}" in choice.verdicts[0].why


def test_where_nothing_is_faster_that_is_said_and_the_fallback_kept() -> None:
    choice = choose_setting([standing("token", 2, 0.9), standing("exact", "auto", 0.99)], FLOOR)
    assert choice.candidate == FALLBACK and not choice.faster
    told = finding(choice, FLOOR)
    assert told.startswith("No setting within the floor was shown to be faster") and "0.99x" in told
    assert len(choice.verdicts) <= FINALISTS
