"""A temperature that is planted in a drafter is found again, and is used only where it helps on other prompts."""

import json
from pathlib import Path

import numpy as np
import pytest

from speccas.core.bench.suites import Item
from speccas.core.decoding.drafts.draft_source import Proposal
from speccas.core.decoding.drafts.stepwise import proposal
from speccas.core.decoding.penalty import NO_PENALTY
from speccas.core.decoding.sampling import Distribution, Floats, Shared
from speccas.core.errors import IntegrityError
from speccas.core.runtime.pair import Pair
from speccas.core.tune.confidence import (
    TEMPERATURES,
    Reading,
    calibration_error,
    confidence_of,
    keep_confidence,
    kept_confidence,
    measure_confidence,
    reading,
    told,
)
from tests.builders.loaded import asked

WORDS = 40


def rows(seed: int, count: int) -> list[Floats]:
    return list(np.random.default_rng(seed).normal(0, 2, (count, WORDS)).astype(np.float32))


def readings(seed: int, times: float, shared: Shared | None = None) -> list[Reading]:
    """Of a drafter that says what the expert says, at logits so many times as large."""
    p = rows(seed, 60)
    found = []
    for row in p:
        q = row * np.float32(times)
        said = Proposal(Distribution(q)) if shared is None else proposal(q, shared, NO_PENALTY, ())
        found.append(reading(said, Distribution(row)))
    return found


@pytest.mark.parametrize("times", [0.5, 1.0, 2.5])
def test_a_planted_temperature_is_found(times: float) -> None:
    found = confidence_of(readings(1, times), readings(2, times))
    assert found.fitted == pytest.approx(times, rel=0.05) and (found.fitted_on, found.judged_on) == (60, 60)
    if times == 1:
        assert found.temperature == 1 and found.before == pytest.approx(0, abs=1e-6)
        assert "as it is" in told(found)
    else:
        assert found.temperature == found.fitted and found.after < 0.2 * found.before
        assert ("too sure" in told(found)) is (times > 1)


def test_it_is_found_over_the_tokens_that_both_have() -> None:
    ids = np.arange(0, WORDS, 2, dtype=np.int32)
    found = confidence_of(*(readings(seed, 2.0, Shared(WORDS, len(ids), ids, ids)) for seed in (1, 2)))
    assert found.fitted == pytest.approx(2.0, rel=0.05)


def test_it_is_not_used_where_it_helps_no_other_prompts() -> None:
    found = confidence_of(readings(1, 3.0), readings(2, 1.0))
    assert found.fitted > 2 and found.temperature == 1.0 and found.after > found.before
    assert confidence_of([], readings(2, 1.0)).temperature == 1.0


def test_the_error_is_what_bins_say() -> None:
    sure, right = np.array([0.95, 1.0, 0.15]), np.array([0.5, 0.9, 0.25])
    assert calibration_error(sure, right) == pytest.approx((0.55 + 0.1) / 3)


def test_one_is_among_them() -> None:
    assert 1.0 in TEMPERATURES and list(TEMPERATURES) == sorted(set(TEMPERATURES))


def test_what_was_found_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "confidence.json"
    assert kept_confidence(file) is None
    found = confidence_of(readings(1, 2.0), readings(2, 2.0))
    keep_confidence(found, file)
    assert kept_confidence(file) == found
    for wrong in ("[", "{}", json.dumps({"temperature": 1})):
        file.write_text(wrong)
        with pytest.raises(IntegrityError, match="cannot be read"):
            kept_confidence(file)


@pytest.mark.tiny
def test_the_tiny_pair(tiny: Pair) -> None:
    """Its rows, read in the cache along the answers, are those of fresh reads."""
    items = [Item("1", "chat", "Name three primary colours."), Item("2", "chat", "Print hello in Python.")]
    heard: list[tuple[int, int]] = []
    prompts = [(item, asked(tiny, item.prompt)) for item in items]
    found = measure_confidence(tiny, prompts, lambda done, of: heard.append((done, of)))
    assert heard == [(1, 2), (2, 2)] and 0.5 < found.fitted < 3
    assert found.fitted_on > 5 and found.judged_on > 5 and 0 < found.before < 1
