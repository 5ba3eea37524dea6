"""The acceptance model: what is learned of judged drafts, and that it outlives the process."""

import pytest

from speccas.core.decoding.length.acceptance import BUCKETS, START, AcceptanceModel


def test_chances_learn_fade_and_survive_a_file() -> None:
    chances = AcceptanceModel()
    sure, unsure = chances.bucket(0.97), chances.bucket(0.15)
    for _ in range(40):
        chances.learn([sure, unsure, sure], accepted=1)
    assert chances.chance(sure) > 0.9 and chances.chance(unsure) < 0.15
    assert chances.faded(5).judged[sure] == pytest.approx(5) and chances.faded(5).chance(sure) > 0.7
    assert AcceptanceModel.from_json(chances.as_json()) == chances
    with pytest.raises(ValueError):
        AcceptanceModel.from_json({**chances.as_json(), "judged": [0.0] * (BUCKETS + 3)})


def test_a_text_is_told_from_all_by_its_own_drafts() -> None:
    """Many texts of 0.9, then one in which nothing is accepted: a few drafts tell, and the next text starts anew."""
    chances = AcceptanceModel()
    sure = chances.bucket(0.97)
    for i in range(400):
        chances.learn([sure], accepted=int(i % 10 > 0))
    text = chances.faded(150)
    assert text.chance(sure) == pytest.approx(0.9, abs=0.02)
    for _ in range(3):
        text.learn([sure], accepted=0)
    assert text.chance(sure) < 0.7 and text.mean_chance(sure) > 0.85
    assert text.chance(sure, optimism=1.5) > text.chance(sure) + 0.1
    assert text.faded(150).chance(sure) > 0.85


def test_the_less_is_known_the_more_may_be_hoped_for() -> None:
    new, known = AcceptanceModel(), AcceptanceModel()
    for i in range(200):
        known.learn([6], accepted=i % 2)
    known = known.faded(150)
    assert new.precision < known.precision, "of a pair that is not known, and of a text"
    text = known.faded(150)
    for i in range(40):
        text.learn([6], accepted=i % 2)
    assert text.precision > known.precision


def test_what_was_measured_is_a_beginning() -> None:
    low, high = (AcceptanceModel.measured(share, 300).faded(20) for share in (0.4, 0.9))
    assert low.next_chance(START) < 0.65 < 0.8 < high.next_chance(START)
