"""The acceptance model: what is learned of judged drafts, and that it outlives the process."""

import pytest

from speccas.core.decoding.length.acceptance import BUCKETS, AcceptanceModel


def test_chances_learn_fade_and_survive_a_file() -> None:
    chances = AcceptanceModel()
    sure, unsure = chances.bucket(0.97), chances.bucket(0.15)
    for judged in range(40):
        assert chances.known == (judged >= 4)
        chances.learn([sure, unsure, sure], accepted=1)
    assert chances.chance(sure) > 0.9 and chances.chance(unsure) < 0.15
    assert chances.faded(5).judged[sure] == pytest.approx(5) and chances.faded(5).chance(sure) > 0.7
    assert AcceptanceModel.from_json(chances.as_json()) == chances
    with pytest.raises(ValueError):
        AcceptanceModel.from_json({**chances.as_json(), "judged": [0.0] * (BUCKETS + 3)})
